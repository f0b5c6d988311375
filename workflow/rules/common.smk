"""What rules look up besides the plan: requests to the machine, templates, configs.

No rules are here: Snakemake's linter wants them apart from functions.
"""

import hashlib
import os
from functools import cache
from pathlib import Path

from reactivation.errors import InputError
from reactivation.planning import inputs, paths
from reactivation.planning.requests import convergence_request, request
from reactivation.planning.segment_costs import image_counts

# `device: auto` asks for a GPU too. Jobs without one must not ask for the GPU type of a profile.
GPU = {"gpu": 1} if STUDY.device != "cpu" else {"gpu": 0, "gpu_model": ""}


@cache
def counted(dataset):
    """Images of each class, counted once for all segments: a folder may have many files."""
    root = config["where"]["sources"][dataset]["root"]
    counts, _ = image_counts(PLAN.datasets[dataset], root, Path(paths.DATASET.format(dataset=dataset)))
    return counts


@cache
def requested(name):
    """What the training of a segment, or the job of its kernels, asks a cluster for."""
    try:
        counts = counted(PLAN.segments[name.partition("/")[0]].dataset)
        return request(PLAN, name, counts, STUDY.device, STUDY.flops_per_second)
    except InputError as error:
        raise WorkflowError(str(error)) from None


@cache
def requested_untrained(name):
    """What the kernels of untrained networks ask a cluster for."""
    return convergence_request(PLAN.convergences[name].spec, STUDY.device, STUDY.flops_per_second)


def source_state(wildcards):
    """A mark that changes with a source's images, but not when the source moves or, once read, is gone."""
    if "root" not in PLAN.datasets[wildcards.dataset]:  # drawn, or torchvision's, which checks its own files
        return ""
    from reactivation.data import sources  # imported here: most calls of Snakemake need neither
    from reactivation.storage.datasets import read_source_state

    root = config["where"]["sources"][wildcards.dataset]["root"]
    try:
        there = sources.source_state(Path(root))
        return there or read_source_state(paths.DATASET.format(dataset=wildcards.dataset)) or ""
    except InputError as error:
        raise WorkflowError(str(error)) from None


def decoding_threads(wildcards):
    """All cores for image files, which are decoded in parallel; one for the other sources."""
    settings = workflow.resource_settings
    cores = settings.cores or settings.local_cores  # on a cluster, those of the machine that runs Snakemake
    return cores if PLAN.datasets[wildcards.dataset]["source"] == "image_folder" else 1


def dataset_environment(wildcards):
    """The environment of a data set's job. Only torchvision's data sets need torchvision, which imports torch."""
    source = PLAN.datasets[wildcards.dataset]["source"]
    return f"../../envs/{'torchvision' if source == 'torchvision' else 'data'}.yaml"


def kernels_name(wildcards):
    """What the plan calls the kernels of a segment."""
    return f"{wildcards.segment}/{wildcards.kernels}"


def kernel_spec(wildcards):
    """Which kernels of which segment are computed."""
    kernels = PLAN.kernels[kernels_name(wildcards)]
    spec = {"segment": PLAN.segments[kernels.segment].spec, "kernels": kernels.kinds}
    return spec | {"layers": True} if kernels.layers else spec


FIRST_KERNELS = {kernels.segment: name for name, kernels in reversed(PLAN.kernels.items())}


def kernel_group(wildcards):
    """The segment's group for its first kernels; a group of their own for kernels on further probes.

    In one group, kernels on several probes would run, and ask for GPUs, at the same time.
    """
    segment, kernels = wildcards.segment, wildcards.kernels
    return segment if f"{segment}/{kernels}" == FIRST_KERNELS[segment] else f"{segment}-{kernels}"


def figure_files(name):
    """The files of a figure."""
    templates = (paths.FIGURE, paths.FIGURE_PICTURE, paths.FIGURE_TABLE, paths.FIGURE_ORIGIN)
    return [template.format(study=STUDY.study, figure=name) for template in templates]


def template(name):
    """The name and digest of a page's template: when the template changes, the page is made again."""
    content = Path(workflow.basedir, "workflow/report", name).read_bytes()
    return f"report/{name}:{hashlib.sha256(content).hexdigest()[:10]}"


def study_configs(wildcards):
    """The config files of all studies in config/, here and in the workflow's folder."""
    found = {
        path.resolve(): os.path.relpath(path)
        for folder in (Path(workflow.basedir) / "config", Path("config"))
        for path in sorted(folder.glob("*.yaml"))
        if path.name != "schema.yaml"
    }
    return list(found.values())
