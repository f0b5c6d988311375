"""The budget as a user asks for it, and against a finished study."""

import re

import pytest

from helpers import REPOSITORY, TINY, changed, copy_repository, finished, snakemake
from reactivation.planning import budget_table, segment_costs
from reactivation.planning.plan import make_plan, sources
from reactivation.study.load import load_study


def test_a_finished_study_has_what_was_foreseen(tmp_path):
    """Sizes of real files, which no formula of ours can tell."""
    figures = TINY["figures"] | {"narrow": TINY["figures"]["fig4"] | {"where": {"width": 2}, "color": None}}
    config = changed(("figures", figures), ("experiments.widths.grid.width", [2, 64]))
    study, folder = load_study(config), finished(tmp_path / "clone", config | {"figures": {}})
    plan = make_plan(study)
    counts, assumed = segment_costs.all_image_counts(plan, sources(study))
    assert assumed == []
    of, sizes = segment_costs.costs(plan, counts), budget_table.data_bytes(plan, counts)
    for name, cost in of.items():
        found = list((folder / "results/segments" / name / "checkpoints").glob("*.pt"))
        assert len(found) == cost.checkpoints
        assert sum(path.stat().st_size for path in found) == pytest.approx(cost.checkpoints * cost.weights, rel=0.2)
    rates = [(0.0, 1e9)], [(0.0, 1e9)]
    *_, final, operations, seconds = budget_table.row(plan, plan.runs, of, sizes, "all", rates, 2)
    files = [path for path in (folder / "results").rglob("*.*") if path.is_file()]
    # Pages have megabytes of libraries, whatever the study.
    real = sum(path.stat().st_size for path in files if path.name != "final.pt" and path.suffix != ".html")
    assert final == pytest.approx(real, rel=0.3)
    assert seconds == pytest.approx(operations / 1e9 + 8 * 3 * budget_table.START)
    runs, segments, checkpoints, peak, less, *_ = budget_table.row(plan, plan.runs, of, sizes, "final", rates, 2)
    assert (runs, segments, checkpoints) == (4, 8, sum(c.checkpoints for c in of.values()))
    weights = sum((c.checkpoints - 1) * c.weights for c in of.values())
    assert less == pytest.approx(final - weights) and less < peak < final
    assert budget_table.row(plan, plan.figures["narrow"].runs, of, sizes, "all", rates, 2)[:2] == [2, 4]


def test_from_the_command_line(tmp_path):
    """It needs no --cores, and runs and writes nothing."""
    folder = copy_repository(tmp_path / "clone")
    run = snakemake(folder, "budget", config=TINY)
    assert run.returncode == 0, run.stdout
    numbers = re.search(r"^total +4 +8 +44 ", run.stdout, re.MULTILINE)
    assert numbers and "core hours" in run.stdout and "Measured here (cpu, one thread)" in run.stdout
    assert not (folder / "results").exists()
    (folder / "config/paper.yaml").write_text((REPOSITORY / "config/paper.yaml").read_text())
    run = snakemake(folder, "budget", "--configfile", "config/paper.yaml", "--config", "flops_per_second=1e14")
    assert run.returncode == 0, run.stdout
    assert re.search(r"^total +255 +588 ", run.stdout, re.MULTILINE) and "At 1e+14 FLOP/s" in run.stdout
    run = snakemake(folder, "budget", "--config", "flops_per_second=1e14", "device=cuda")  # wherever that GPU is
    assert run.returncode == 0 and "At 1e+14 FLOP/s" in run.stdout, run.stdout
