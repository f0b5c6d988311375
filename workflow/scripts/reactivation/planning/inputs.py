"""What each job reads: the files of other jobs, by the names that its rule gives them."""

from typing import Any

from reactivation.planning import paths
from reactivation.planning.plan import Plan, Run
from reactivation.study.grid import DRAW

Files = dict[str, Any]  # a path, or a list of paths, by the input's name


def segment_inputs(plan: Plan, name: str) -> Files:
    """Inputs of a training: its images and, for a later task, the segment before."""
    segment = plan.segments[name]
    files = {
        "dataset": paths.DATASET.format(dataset=segment.dataset),
        "split": paths.SPLIT.format(split=segment.split),
    }
    if segment.parent is not None:
        files["parent"] = paths.FINAL.format(segment=segment.parent)
        files["record"] = paths.RECORD.format(segment=segment.parent)
    return files


def kernel_inputs(plan: Plan, name: str) -> Files:
    """Inputs of the kernels "<segment>/ntk-<hash>"."""
    kernels = plan.kernels[name]
    return {
        "dataset": paths.DATASET.format(dataset=plan.segments[kernels.segment].dataset),
        "probe": paths.PROBE.format(probe=kernels.probe),
        "checkpoints": paths.CHECKPOINTS.format(segment=kernels.segment),
    }


def function_inputs(plan: Plan, name: str) -> Files:
    """Inputs of the comparison "<twin>/function-<hash>". A later task has `start`, the weights that both start from."""
    functions = plan.functions[name]
    twin = plan.segments[functions.segment]
    start = {"start": paths.FINAL.format(segment=twin.parent)} if twin.parent else {}
    return start | {
        "dataset": paths.DATASET.format(dataset=twin.dataset),
        "split": paths.SPLIT.format(split=twin.split),
        "probe": paths.PROBE.format(probe=functions.probe),
        "twin": paths.CHECKPOINTS.format(segment=functions.segment),
        "network": paths.CHECKPOINTS.format(segment=functions.network),
    }


def within_inputs(plan: Plan, name: str) -> Files:
    """Inputs of a segment's accuracies within tasks."""
    segment = plan.segments[name]
    return {
        "dataset": paths.DATASET.format(dataset=segment.dataset),
        "split": paths.SPLIT.format(split=segment.split),
        "checkpoints": paths.CHECKPOINTS.format(segment=name),
    }


def convergence_inputs(plan: Plan, name: str) -> Files:
    """Inputs of the kernels of untrained networks."""
    convergence = plan.convergences[name]
    return {
        "dataset": paths.DATASET.format(dataset=convergence.dataset),
        "probe": paths.PROBE.format(probe=convergence.probe),
    }


def run_inputs(plan: Plan, name: str) -> Files:
    """Inputs of a run's table: files of its segments, or the file of kernels from elsewhere."""
    run = plan.runs[name]
    if run.given is not None:
        return {"given": run.given}
    return {
        "kernels": [paths.kernels(kernels) for kernels in run.kernels],
        "functions": [paths.function(functions) for functions in run.functions],
        "evaluations": [paths.EVALUATION.format(segment=segment) for segment in run.segments],
        "within": [paths.WITHIN.format(segment=segment) for segment in run.within],
        "of_networks": [paths.EVALUATION.format(segment=segment) for segment in run.networks],
        "records": [paths.RECORD.format(segment=segment) for segment in run.trained],
    }


def figure_inputs(plan: Plan, study: str, name: str) -> Files:
    """Inputs of a figure: the tables of its runs, of others' numbers, and of the figure whose scales it takes."""
    figure = plan.figures[name]
    runs = [paths.RUN.format(study=study, run=run) for run in figure.runs]
    runs += [paths.CONVERGENCE.format(study=study, convergence=of) for of in figure.convergences]
    beside = {"beside": paths.FIGURE_TABLE.format(study=study, figure=figure.beside)} if figure.beside else {}
    return {"runs": runs} | beside | ({"others": list(figure.others)} if figure.others else {})


def switch_runs(plan: Plan) -> dict[str, dict[str, Any]]:
    """What tables of switches need of each run, sorted by name: axes, dt of velocities, files, twin."""
    twins = {
        (run.spec["experiment"], run.networks, run.spec["axes"].get(DRAW)): name
        for name, run in plan.runs.items()
        if run.networks
    }
    found = {}
    for name, run in sorted(plan.runs.items()):
        spec = run.spec
        found[name] = {
            "experiment": spec["experiment"],
            "seed": spec["seed"],
            "axes": spec["axes"],
            "dt": spec["velocity_dt"][0],
            "files": run_files(plan, run),
            "twin": twins.get((spec["experiment"], run.segments, spec["axes"].get(DRAW))),
        }
    return found


def run_files(plan: Plan, run: Run) -> list[dict[str, str]]:
    """Paths for each task of a run: its segment, its kernels or (of a twin) its function, its images, its probe."""
    if run.listed is not None:
        return [{"kernels": run.listed}] * len(run.spec["epochs"])
    measured = [{"kernels": paths.kernels(name), "probe": plan.kernels[name].probe} for name in run.kernels]
    measured += [{"function": paths.function(name), "probe": plan.functions[name].probe} for name in run.functions]
    return [
        {
            "segment": paths.SEGMENT.format(segment=name),
            "dataset": paths.DATASET.format(dataset=plan.segments[name].dataset),
            "split": paths.SPLIT.format(split=plan.segments[name].split),
            **of_task,
            "probe": paths.PROBE.format(probe=of_task["probe"]),
        }
        for name, of_task in zip(run.segments, measured, strict=True)
    ]
