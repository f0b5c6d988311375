"""Plans of the tiny study, edited, and files under results/ by the names that plans give them."""

from helpers import TINY, changed
from reactivation.planning.plan import make_plan, sources
from reactivation.planning.requests import Request, request
from reactivation.planning.segment_costs import all_image_counts
from reactivation.study.load import load_study

WIDTH = "experiments.widths.grid.width"
FIGURE = [f"tiny/figures/fig4.{kind}" for kind in ("pdf", "png", "csv", "json")]
HASH = "-0123456789"  # which no plan gives


def plan(*edits):
    return make_plan(load_study(changed(*edits)))


def asked(config, device="cpu", stated=None) -> tuple[Request, Request]:
    """The requests of the last segment's training and of its kernels."""
    study = load_study(config)
    plan = make_plan(study)
    (counts,) = all_image_counts(plan, sources(study))[0].values()
    training, kernels = (request(plan, list(of)[-1], counts, device, stated) for of in (plan.segments, plan.kernels))
    return training, kernels


def named(config=TINY):
    """Files of every kind that a study has, as the workflow names them."""
    plan = make_plan(load_study(config))
    files = [f"data/{name}.h5" for name in plan.datasets]
    files += [f"{kind}/{name}.npz" for kind in ("splits", "probes") for name in getattr(plan, kind)]
    files += [f"segments/{name}/{file}" for name in plan.segments for file in ("checkpoints/step1.pt", "segment.json")]
    files += [f"segments/{name}.h5" for name in plan.kernels]
    files += [f".state/{name}/train-0a/state.pt" for name in plan.segments]
    return files + [f"tiny/runs/{name}.csv" for name in plan.runs] + FIGURE


def fill(results, files, size=10):
    """Make files of `size` bytes, named by their paths from `results`."""
    for name in files:
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_bytes(b"x" * size)


def files(folder):
    """All files, by their paths from `folder`."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
