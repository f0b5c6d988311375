"""What rules look up, stage by stage: their inputs, and what they ask of the machine. No rules: Snakemake's linter wants them apart."""

import hashlib
import os
from functools import cache
from pathlib import Path

from reactivation.captions import plain
from reactivation.costs import image_counts
from reactivation.errors import InputError
from reactivation.requests import convergence_request, request
from reactivation.resolved import resolved

# `device: auto` asks for a GPU too. Without one, the type that a profile may ask for counts for nothing.
GPU = {"gpu": 1} if STUDY.device != "cpu" else {"gpu": 0, "gpu_model": ""}


@cache
def counted(dataset):
    """Images of each class; once for all segments, as a folder may have many files."""
    root = config["where"]["sources"][dataset]["root"]
    counts, _ = image_counts(PLAN.datasets[dataset], root, Path(f"results/data/{dataset}.h5"))
    return counts


@cache
def requested(name):
    """What the training of a segment, or kernels, ask of a cluster."""
    try:
        counts = counted(PLAN.segments[name.partition("/")[0]].dataset)
        return request(PLAN, name, counts, STUDY.device, STUDY.flops_per_second)
    except InputError as error:
        raise WorkflowError(str(error)) from None


@cache
def requested_untrained(name):
    """What the kernels of untrained networks ask of a cluster."""
    return convergence_request(PLAN.convergences[name].spec, STUDY.device, STUDY.flops_per_second)


def source_state(wildcards):
    """Changes with the images of a folder or file, not with its place, nor when it is gone once it is read."""
    if "root" not in PLAN.datasets[wildcards.dataset]:  # drawn; or torchvision's, which checks its files itself
        return ""
    from reactivation import datasets, storage  # here: most calls of Snakemake need neither

    root = config["where"]["sources"][wildcards.dataset]["root"]
    built = f"results/data/{wildcards.dataset}.h5"
    try:
        return datasets.source_state(Path(root)) or storage.read_source_state(built) or ""
    except InputError as error:
        raise WorkflowError(str(error)) from None


def decoding_threads(wildcards):
    """Files of images are decoded on all cores; the other sources have nothing to share out."""
    settings = workflow.resource_settings
    cores = settings.cores or settings.local_cores  # on a cluster, those of its head
    return cores if PLAN.datasets[wildcards.dataset]["source"] == "image_folder" else 1


def dataset_environment(wildcards):
    """With torchvision, and torch, which that imports, only where it is the source."""
    source = PLAN.datasets[wildcards.dataset]["source"]
    return f"../../envs/{'torchvision' if source == 'torchvision' else 'data'}.yaml"


def segment_inputs(wildcards):
    segment = PLAN.segments[wildcards.segment]
    files = {
        "dataset": f"results/data/{segment.dataset}.h5",
        "split": f"results/splits/{segment.split}.npz",
    }
    if segment.parent is not None:
        files["parent"] = f"results/segments/{segment.parent}/final.pt"
        files["record"] = f"results/segments/{segment.parent}/segment.json"
    return files


def function_inputs(wildcards):
    of = PLAN.functions[f"{wildcards.segment}/{wildcards.function}"]
    twin = PLAN.segments[of.segment]
    start = {"start": f"results/segments/{twin.parent}/final.pt"} if twin.parent else {}
    return start | {
        "dataset": f"results/data/{twin.dataset}.h5",
        "split": f"results/splits/{twin.split}.npz",
        "probe": f"results/probes/{of.probe}.npz",
        "twin": f"results/segments/{of.segment}/checkpoints",
        "network": f"results/segments/{of.network}/checkpoints",
    }


def kernel_inputs(wildcards):
    kernels = PLAN.kernels[f"{wildcards.segment}/{wildcards.kernels}"]
    return {
        "dataset": f"results/data/{PLAN.segments[wildcards.segment].dataset}.h5",
        "probe": f"results/probes/{kernels.probe}.npz",
        "checkpoints": f"results/segments/{wildcards.segment}/checkpoints",
    }


def kernel_spec(wildcards):
    """What is computed of which network."""
    kernels = PLAN.kernels[f"{wildcards.segment}/{wildcards.kernels}"]
    spec = {"segment": PLAN.segments[kernels.segment].spec, "kernels": kernels.kinds}
    return spec | {"layers": True} if kernels.layers else spec


FIRST_KERNELS = {kernels.segment: name for name, kernels in reversed(PLAN.kernels.items())}


def kernel_group(wildcards):
    """The segment's; of its own for kernels on further probes, as those of one group would run, and ask for GPUs, at once."""
    segment, kernels = wildcards.segment, wildcards.kernels
    return segment if f"{segment}/{kernels}" == FIRST_KERNELS[segment] else f"{segment}-{kernels}"


def convergence_inputs(wildcards):
    convergence = PLAN.convergences[wildcards.convergence]
    return {
        "dataset": f"results/data/{convergence.dataset}.h5",
        "probe": f"results/probes/{convergence.probe}.npz",
    }


def run_inputs(wildcards):
    run = PLAN.runs[wildcards.run]
    if run.given is not None:
        return {"given": run.given}
    return {
        "kernels": [f"results/segments/{kernels}.h5" for kernels in run.kernels],
        "functions": [f"results/segments/{functions}.csv" for functions in run.functions],
        "evaluations": [f"results/segments/{segment}/evaluation.csv" for segment in run.segments],
        "of_networks": [f"results/segments/{segment}/evaluation.csv" for segment in run.networks],
        "records": [f"results/segments/{segment}/segment.json" for segment in run.trained],
    }


def figure_files(name):
    return expand(
        "results/{study}/figures/{name}.{kind}",
        study=STUDY.study,
        name=name,
        kind=["pdf", "png", "csv", "json"],
    )


def figure_inputs(wildcards):
    figure = PLAN.figures[wildcards.figure]
    files = {"runs": [f"results/{STUDY.study}/runs/{run}.csv" for run in figure.runs]}
    files["runs"] += [f"results/{STUDY.study}/convergence/{name}.csv" for name in figure.convergences]
    if figure.beside is not None:
        files["beside"] = f"results/{STUDY.study}/figures/{figure.beside}.csv"
    return files


def template(name):
    """What stands for the content of a page's template: a change of it makes the page again."""
    content = Path(workflow.basedir, "workflow/report", name).read_bytes()
    return f"report/{name}:{hashlib.sha256(content).hexdigest()[:10]}"


def study_configs(wildcards):
    """Every study of this folder and of the workflow's own, whatever this call is about."""
    found = {
        path.resolve(): os.path.relpath(path)
        for folder in (Path(workflow.basedir) / "config", Path("config"))
        for path in sorted(folder.glob("*.yaml"))
        if path.name != "schema.yaml"
    }
    return list(found.values())


def numbered_runs():
    """Of each run, in whatever order the config names them, what tables say of it: its axes, dt of its velocities, its twin, its files."""
    specs = {name: PLAN.runs[name].spec for name in sorted(PLAN.runs)}
    twins = {(run.spec["experiment"], run.networks): name for name, run in PLAN.runs.items() if run.networks}
    return {
        name: {key: spec[key] for key in ("experiment", "seed", "axes")}
        | {"dt": spec["velocity_dt"][0], "files": run_files(PLAN.runs[name])}
        | {"twin": twins.get((spec["experiment"], PLAN.runs[name].segments))}
        for name, spec in specs.items()
    }


def run_files(run):
    """Of each task of a run, where its training, its kernels or its twin's function, images and probe are."""
    if run.given is not None:
        return [{"kernels": run.given}] * len(run.spec["epochs"])
    measured = [{"kernels": f"results/segments/{name}.h5", "probe": PLAN.kernels[name].probe} for name in run.kernels]
    measured += [
        {"function": f"results/segments/{name}.csv", "probe": PLAN.functions[name].probe} for name in run.functions
    ]
    return [
        {
            "segment": f"results/segments/{name}",
            "dataset": f"results/data/{PLAN.segments[name].dataset}.h5",
            "split": f"results/splits/{PLAN.segments[name].split}.npz",
            **of,
            "probe": f"results/probes/{of['probe']}.npz",
        }
        for name, of in zip(run.segments, measured)
    ]
