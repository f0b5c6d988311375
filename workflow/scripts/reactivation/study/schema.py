"""A study's config: its keys, their types, ranges, defaults and meaning.

The keys of each section have a file of their own (schema_datasets.py, …). `config/schema.yaml` is written from here (`make schema`), for editors.
"""

from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BeforeValidator, Field

from reactivation.study.schema_claims import Claims
from reactivation.study.schema_datasets import Dataset
from reactivation.study.schema_experiments import SECTIONS, AnyExperiment
from reactivation.study.schema_figures import AnyPanel, Figure, FigureName
from reactivation.study.values import ExperimentName, Name, Natural, Strict, distinct, no_bool


class Keeping(Strict):
    """What stays on disk. Not part of a run's identity."""

    keep: Literal["all", "final", "none"] = "all"
    """Of a segment's weights, once its kernels exist: all checkpoints; the final weights, from which the next task starts;
    nothing, once that has been trained. What is not kept is trained again when code or config ask for other kernels."""


class Study(Strict):
    """One config file: its experiments and its figures, in `results/<study>/`."""

    study: Name
    """Name of the study's folder under `results/`."""
    seeds: Annotated[list[Natural], Field(min_length=1), AfterValidator(distinct)]
    """One run each; they move the initialisation and the order of batches."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train and compute kernels; `auto` takes a GPU if there is one, and jobs of a cluster ask for it. Not part of
    a run's identity."""
    data_root: str = "data"
    """Folder of data sets that are read from disk. Not part of a run's identity."""
    checkpoints: Keeping = Keeping()
    """Which weights stay on disk."""
    save_every: Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(no_bool)] = 60
    """Seconds after which a job saves its state: what it loses, at most, when it is killed. Not part of a run's identity."""
    flops_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(no_bool)] | None = None
    """Of the device: `snakemake budget` counts hours by it, and jobs of a cluster ask for time. By default budget measures
    this machine, in a few seconds, and jobs ask for more time than most devices need."""
    datasets: dict[Name, Dataset] = {}
    """Data sets by name."""
    experiments: Annotated[dict[ExperimentName, AnyExperiment], Field(min_length=1)]
    """Experiments by name."""
    figures: dict[FigureName, Figure] = {}
    """Figures by name, which is also their target: `snakemake fig4`."""
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
    """Without the titles that pydantic makes up from the keys' names, and with `anyOf` for `oneOf`.

    Without the key that says which form is meant, as where the grid gives it, several forms fit.
    """
    if isinstance(schema, list):
        return [_for_editors(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    # A key of ours may be called title as well: its value is then a mapping.
    kept = {k: v for k, v in schema.items() if k != "discriminator" and (k != "title" or isinstance(v, dict))}
    return {"anyOf" if k == "oneOf" else k: _for_editors(v) for k, v in kept.items()}


if __name__ == "__main__":
    print(schema_text(), end="")
