"""Arithmetic in a config, such as `0.1/width`: numbers and names, never code."""

import ast
import contextlib
import math
import operator
from collections.abc import Callable

OPERATIONS: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}


def evaluate(text: str, **names: float) -> float:
    """The value of `text`: numbers, `names`, + - * / **, brackets and sqrt(…). ValueError lists what is allowed."""
    try:
        return float(_value(ast.parse(text.strip(), mode="eval").body, names))
    except (SyntaxError, KeyError, TypeError, ArithmeticError, ValueError, RecursionError, MemoryError):
        allowed = ", ".join(["numbers", *names, "+ - * / **", "sqrt()"])
        raise ValueError(f"Input should be a number, or arithmetic with {allowed}") from None


def check_names(text: str, *names: str) -> None:
    """Raise ValueError unless `text` is an expression that has a value for some values of `names`."""
    for value in (1, 2, 3, 64, 1000):
        with contextlib.suppress(ValueError):
            evaluate(text, **dict.fromkeys(names, value))
            return
    evaluate(text, **dict.fromkeys(names, 1))


def is_arithmetic(text: str, *names: str) -> bool:
    """Whether `check_names` accepts `text`."""
    try:
        check_names(text, *names)
    except ValueError:
        return False
    return True


def _value(node: ast.expr, names: dict[str, float]) -> float:
    match node:
        case ast.Constant(value=float(value) | int(value)) if not isinstance(value, bool):
            return float(value)
        case ast.Name(id=name):
            return float(names[name])
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATIONS[type(op)](_value(left, names), _value(right, names))
        case ast.UnaryOp(op=ast.USub() as op, operand=operand):
            return OPERATIONS[type(op)](_value(operand, names))
        case ast.Call(func=ast.Name(id="sqrt"), args=[argument], keywords=[]):
            return math.sqrt(_value(argument, names))
    raise SyntaxError
