"""Names of what a study makes: words for people, then a hash of everything that determines the result.

So runs that begin alike share segments, and studies share whatever is the same. A name that is too long for a file is
cut and ends in a hash of all of it.
"""

import re
from collections.abc import Mapping
from typing import Any

from reactivation.storage.files import json_digest
from reactivation.storage.partial import LONGEST, fitting

# Bytes that names may have, so that there is room for what is put around them. Shorter names must not change.
SEGMENT = LONGEST - len("-ntk-0123456789.log")
TWIN = LONGEST - len("-function-0123456789.log")
RUN = LONGEST - len(".partial-1-.csv")  # what releases before 0.1.0 put around it; now temporary names are cut as well


def short(value: Any) -> str:
    """A value as part of a file name: 64, 0.05, 1e-4."""
    if isinstance(value, float):
        mantissa, _, exponent = f"{value:.12g}".partition("e")
        if not exponent and 0 < abs(value) < 0.01:
            mantissa, _, exponent = f"{value:.11e}".partition("e")
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}" if exponent else mantissa
    text = ".".join(map(short, value)) if isinstance(value, list) else "default" if value is None else str(value)
    safe = re.sub(r"[^A-Za-z0-9.+-]+", "_", text)
    if safe != text:  # such as 0.1/width, which is not 0.1*width
        safe = f"{safe}_{json_digest({'value': text})[:4]}"
    return safe if len(safe) <= 24 else json_digest({"value": text})


def dataset_name(name: str, spec: Mapping[str, Any]) -> str:
    """The name of a data set's file. `name`, like `dataset` below, is the data set's name in the config."""
    return f"{name}-{json_digest(spec)}"


def probe_name(dataset: str, spec: Mapping[str, Any]) -> str:
    return f"{dataset}-{spec['size'] + spec['held_out']}images-{json_digest(spec)}"


def split_name(dataset: str, spec: Mapping[str, Any]) -> str:
    return f"{dataset}-{len(spec['tasks'][-1]['classes'])}classes-task{len(spec['tasks'])}-{json_digest(spec)}"


def segment_name(dataset: str, spec: Mapping[str, Any]) -> str:
    """The name of a segment of a network or of a linearised twin."""
    model, training = spec["model"], spec["training"]
    network = f"{model['name']}{'-linearized' if 'dynamics' in training else ''}-w{model['width']}"
    where = f"s{spec['seed']}-task{len(spec['tasks'])}"
    name = f"{dataset}-{network}-lr{short(training['lr'])}-{where}-{json_digest(spec)}"
    return fitting(name, TWIN if "dynamics" in training else SEGMENT)


def kernels_name(segment: str, probe: Mapping[str, Any], kinds: list[str], layers: bool) -> str:
    """The name of a segment's kernels, with the segment's folder."""
    return f"{segment}/ntk-{json_digest({'probe': probe, 'kernels': kinds} | ({'layers': True} if layers else {}))}"


def function_name(twin: str, probe: Mapping[str, Any]) -> str:
    """The name of a twin's comparison with its network, with the folder of the twin's segment."""
    return f"{twin}/function-{json_digest({'probe': probe})}"


def convergence_name(spec: Mapping[str, Any]) -> str:
    return f"{spec['experiment']}-{json_digest(spec)}"


def run_name(experiment: str, axes: Mapping[str, Any], seed: int) -> str:
    end = f"-s{seed}"
    name = "-".join([experiment, *(f"{key}{short(value)}" for key, value in axes.items())]) + end
    return fitting(name, RUN, end if len(end) < 40 else "")
