"""What rules look up besides the plan: requests to the machine, templates, configs.

No rules are here: Snakemake's linter wants them apart from functions.
"""

import hashlib
import os
import sys
from functools import cache
from pathlib import Path

from snakemake.settings.types import DeploymentMethod

from reactivation.errors import InputError
from reactivation.jobs.bound import identity
from reactivation.planning import inputs, paths
from reactivation.planning.requests import convergence_request, request
from reactivation.planning.segment_costs import image_counts
from reactivation.planning.binding import binding, expected_versions
from reactivation.storage.others import check_there

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


def bound(rule, script, environment, result, **params):
    """Params for a script that runs in envs/<environment>.yaml, those given among them, with what binds its result.

    `result` is the path that stands for all that is made. Params may be functions of wildcards.
    """
    with_conda = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    versions = expected_versions(Path(workflow.basedir, f"envs/{environment}.yaml"), with_conda)
    config["where"]["versions"][rule] = versions
    params["code"] = fingerprint(script)

    # It takes wildcards alone: Snakemake does not compare params that depend on outputs.
    def still_bound(wildcards):
        values = {key: value(wildcards) if callable(value) else value for key, value in params.items()}
        path = result.format(study=STUDY.study, **wildcards)
        return binding(path, identity(values), versions, STUDY.versions == "warn", os.environ[CALL])

    return params | {"binding": still_bound}


@cache
def digested(dataset):
    """The digest of a data set's images: those at its place or, if they are gone, those that were read before."""
    if "root" not in PLAN.datasets[dataset]:  # drawn, or torchvision's, which checks its own files
        return ""
    from reactivation.jobs.known_images import known  # imported here: most calls of Snakemake need neither
    from reactivation.storage.datasets import read_source_digest

    try:
        found = known(PLAN.datasets[dataset], config["where"]["sources"][dataset]["root"])
        return found.digest if found else read_source_digest(paths.DATASET.format(dataset=dataset)) or ""
    except InputError as error:
        sys.exit(f"error: {error}")  # Snakemake would add a traceback to any other exception


def source_digest(wildcards):
    """What changes with a source's images, but not when the source moves or, once read, is gone."""
    return digested(wildcards.dataset)


def given_digest(wildcards):
    """The digest of the file of a run's kernels, if they are from elsewhere."""
    path = PLAN.runs[wildcards.run].given
    if path is None:
        return ""
    from reactivation.jobs.known_images import known

    try:
        found = known({"source": "kernels"}, path)
    except InputError as error:
        sys.exit(f"error: {error}")
    return found.digest if found else ""


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


# Jobs with a `slot` run one at a time within a cluster's job, which so asks for the cores, memory and GPU of one. The
# profile tells that to the call that submits it; in the job, Snakemake plans anew and is not told what the profile says.
if workflow.remote_exec:
    workflow.register_resource("slot", 1)


FIRST_KERNELS = {kernels.segment: name for name, kernels in reversed(PLAN.kernels.items())}


def kernel_group(wildcards):
    """The segment's group for its first kernels; a group of their own for kernels on further probes.

    In one group, kernels on several probes would run, and ask for GPUs, at the same time.
    """
    segment, kernels = wildcards.segment, wildcards.kernels
    return segment if f"{segment}/{kernels}" == FIRST_KERNELS[segment] else f"{segment}-{kernels}"


def figure_sources(wildcards):
    """What a figure is drawn from. A table of others' numbers has to be there, and nobody makes it."""
    files = inputs.figure_inputs(PLAN, STUDY.study, wildcards.figure)
    try:
        for path in files.get("others", []):
            check_there(path)
    except InputError as error:
        sys.exit(f"error: {error}")  # Snakemake would add a traceback to any other exception
    return files


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


def conda_options():
    """Options by which another call of Snakemake, perhaps in another folder, finds the conda environments of this one."""
    if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
        return []
    prefix = workflow.deployment_settings.conda_prefix or ".snakemake/conda"
    return ["--sdm", "conda", "--conda-prefix", str(Path(prefix).resolve())]
