"""The table of operations that are taken apart. Each file in operations/ adds its own."""

from collections.abc import Callable
from typing import Any

Rule = Callable[..., Any]

RULES: dict[Callable, Rule] = {}
EXACT: dict[Callable, Callable] = {}  # what computes functions in the float64 pass instead of torch
FASTER: dict[Callable, Callable] = {}  # the same where float32 is asked for: with rounding errors of 1e-13
OPENED: dict[
    Callable, Rule
] = {}  # Python functions whose own operations are taken apart, or that are rewritten by others
MENDED: dict[Callable, Rule] = {}  # those of them whose backward pass in torch can be wrong


def takes_apart(*functions: Callable) -> Callable[[Rule], Rule]:
    """Register a rule for `functions` of torch. Its arguments are the `Capture` and those of the function.

    It returns the function's value, made by `Capture.node`, or NotImplemented, which leaves the call to autograd.
    """

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(functions, rule))
        return rule

    return register


def opens(*functions: Callable, mends: bool = False) -> Callable[[Rule], Rule]:
    """Register a rule that computes `functions` by other functions of torch, which are then taken apart.

    `mends`: torch's own backward pass of `functions` can be wrong.
    """

    def register(rule: Rule) -> Rule:
        OPENED.update(dict.fromkeys(functions, rule))
        MENDED.update(dict.fromkeys(functions if mends else (), rule))
        return rule

    return register


def exact(*functions: Callable, table: dict[Callable, Callable] = EXACT) -> Callable[[Callable], Callable]:
    """Register what computes `functions` in the forward pass in float64, with the same arguments."""

    def register(replacement: Callable) -> Callable:
        table.update(dict.fromkeys(functions, replacement))
        return replacement

    return register
