"""The keys of kernels from elsewhere: where their files are, and the names and values that tell them apart."""

import contextlib
import math
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from reactivation.storage.headers import BESIDE_AXES
from reactivation.study.values import Strict


def _axis(name: str) -> str:
    if name in BESIDE_AXES:
        raise ValueError(f"{name} is a column of tables; choose another name")
    return name


def _axis_value(value: Any) -> Any:
    """A number or a word. Text that is a number becomes one, as PyYAML reads 1e-3 as text."""
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("Input should be a number or a word")
    for number in (int, float) if isinstance(value, str) else ():
        with contextlib.suppress(ValueError):
            if math.isfinite(number(value)):
                return number(value)
    return value


AxisName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40), AfterValidator(_axis)]
AxisValue = Annotated[int | float | str, BeforeValidator(_axis_value)]


class KernelFile(Strict):
    """Files of kernels that were computed elsewhere; docs/data-format.md says what they hold."""

    path: str
    """Path of each run's HDF5 file, below `data_root` unless absolute. `{seed}` and `{<axis>}` stand for the run's
    values, as Python writes them (0.001, 1e-05). Without `{seed}` the experiment has one run for each combination of
    the grid, with the first of `seeds`."""


FORMS = ("[trained]", "[imported]")  # in brackets, so that pydantic's locations of errors show that they are not keys


def is_imported(experiment: Any) -> bool:
    """Whether an experiment, raw or checked, has its kernels from files."""
    kernels = experiment.get("kernels") if isinstance(experiment, dict) else getattr(experiment, "kernels", None)
    return isinstance(kernels, dict | KernelFile)
