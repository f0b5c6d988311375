"""Kinds of values that keys of a config have, and the base of all its sections."""

import math
import re
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt

from reactivation.study.arithmetic import check_names, evaluate


def no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("Input should be a number")
    return value


def _digits(value: Any) -> Any:
    """Text of a whole number as a number: Snakemake leaves numbers inside `--config key=[1,2]` as text."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d+", value) else value


def _truth(value: Any) -> Any:
    """Text of a truth value as one: Snakemake leaves `--config key=true` as text."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def name_of(pattern: str) -> str:
    """A name's pattern in words."""
    dash = ", - " if "-]" in pattern else " "
    start = "letter or digit" if "0-9" in pattern.split("]")[0] else "letter"
    return f"name of letters, digits{dash}and _, beginning with a {start}"


def distinct(values: list) -> list:
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice:
        raise ValueError(f"names {twice[0]!r} twice")
    return values


def no_script(text: str) -> str:
    """Refuse text that would end a script: the report's page has it, unescaped, inside one."""
    for mark in ("</script", "<!--"):
        if mark in text.lower():
            raise ValueError(f"must not contain {mark}, which would end the report's own script")
    return text


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=40)]
# No dash: in a run's name, the first dash ends the experiment's name.
ExperimentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$", max_length=40)]
Text = Annotated[str, AfterValidator(no_script)]
Digits = BeforeValidator(_digits)
Natural = Annotated[StrictInt, Field(ge=0), Digits]
Positive = Annotated[StrictInt, Field(ge=1), Digits]
Truth = Annotated[StrictBool, BeforeValidator(_truth)]
# Not strict: PyYAML reads 1e-3 as text.
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(no_bool)]


def _learning_rate(value: Any) -> float | str:
    """A number, or an expression that depends on the width, as text without spaces."""
    text = "".join(str(value).split())
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("Input should be a number or arithmetic with width")
    if "width" in text:
        check_names(text, "width")  # its value depends on the run's width
        return text
    try:
        number = float(text)
    except ValueError:
        number = evaluate(text, width=1)
    if not 0 < number < math.inf:
        raise ValueError("Input should be greater than 0 and finite")
    return number


LearningRate = Annotated[float | str, BeforeValidator(_learning_rate)]

Kernel = Literal["sum", "trace"]


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", use_attribute_docstrings=True, protected_namespaces=())
