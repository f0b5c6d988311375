"""A study's config: its keys, their types, ranges, defaults and meaning.

The keys of each section have a file of their own (schema_datasets.py, …). `make schema` writes `config/schema.yaml`
from here, for editors.
"""

from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BeforeValidator, Field

from reactivation.study.schema_claims import Claims
from reactivation.study.schema_datasets import Dataset
from reactivation.study.schema_experiments import SECTIONS, AnyExperiment
from reactivation.study.schema_figures import AnyPanel, Figure, FigureName
from reactivation.study.values import ExperimentName, Name, Natural, Strict, Truth, distinct, no_bool


class Keeping(Strict):
    """What stays on disk. Not part of a run's identity."""

    keep: Literal["all", "final", "none"] = "all"
    """Which weights of a segment stay once all that is measured on them is there: all checkpoints; the final weights,
    from which the next task starts; or none, once that task has been trained. Deleted weights are trained again when
    code or config ask for other kernels, or whatever else is measured on them."""


class Study(Strict):
    """One config file: experiments and figures, with results in `results/<study>/`."""

    study: Name
    """Name of the study's folder under `results/`."""
    seeds: Annotated[list[Natural], Field(min_length=1), AfterValidator(distinct)]
    """Each seed gives one run, with an initialisation and an order of batches of its own."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train and compute kernels. `auto` uses a GPU if there is one; on a cluster, jobs ask for one. Not part
    of a run's identity."""
    data_root: str = "data"
    """Folder of the data sets that are read from disk. Not part of a run's identity."""
    checkpoints: Keeping = Keeping()
    """Which weights stay on disk."""
    save_every: Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(no_bool)] = 60
    """Seconds after which a job saves its state; a killed job loses no more than that. Not part of a run's identity."""
    versions: Literal["rerun", "warn"] = "rerun"
    """What happens to results of other versions of torch, numpy or h5py than jobs have now: they are made again, or
    stay, and each figure that mixes versions names them. Not part of a run's identity."""
    record_host: Truth = False
    """Whether results say which machine made them, by its name. Results are published, so that is left out unless you
    ask. Not part of a run's identity."""
    flops_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(no_bool)] | None = None
    """Floating-point operations per second of the device. `snakemake budget` derives hours from it, and jobs on a
    cluster the time that they ask for. By default `budget` measures this machine in a few seconds, and jobs ask for
    more time than most devices need."""
    datasets: dict[Name, Dataset] = {}
    """Data sets by name."""
    experiments: Annotated[dict[ExperimentName, AnyExperiment], Field(min_length=1)]
    """Experiments by name."""
    figures: dict[FigureName, Figure] = {}
    """Figures by name. The name is also a target: `snakemake fig4`."""
    claims: Claims = Claims()
    """Which of the paper's claims are tested, on which experiment, against which thresholds."""


def schema_text() -> str:
    """The schema that editors check config files against: config/schema.yaml, written by `make schema`."""
    schema = Study.model_json_schema()
    for form in (form for forms in SECTIONS.values() for form in forms):
        schema["$defs"][form.__name__].pop("required")  # the grid may give it
    for panel in get_args(get_args(AnyPanel)[0]):
        schema["$defs"][panel.__name__]["required"].remove("kind")  # the figure gives it
    text = yaml.safe_dump(_for_editors(schema), sort_keys=False, allow_unicode=True, width=110)
    return "# Written by `make schema` from workflow/scripts/reactivation/study/.\n" + text


def _for_editors(schema: Any) -> Any:
    """The schema without the titles that pydantic makes from the names of keys, and with `anyOf` instead of `oneOf`.

    The key that names a section's form may be in the grid. Several forms then fit, which `oneOf` forbids.
    """
    if isinstance(schema, list):
        return [_for_editors(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    # A key of ours may also be called title: its value is then a mapping.
    kept = {k: v for k, v in schema.items() if k != "discriminator" and (k != "title" or isinstance(v, dict))}
    return {"anyOf" if k == "oneOf" else k: _for_editors(v) for k, v in kept.items()}


if __name__ == "__main__":
    print(schema_text(), end="")
