"""What jobs ask of a cluster, against what they take."""

import json
import re

import pytest

from helpers import TINY, changed, copy_repository, snakemake
from reactivation.planning.plan import make_plan, sources
from reactivation.planning.requests import Request, request
from reactivation.planning.segment_costs import all_image_counts
from reactivation.study.load import load_study

WIDTH = "experiments.widths.grid.width"
WIDE = ((WIDTH, [512]), ("datasets.glyphs.image_size", 64))


def asked(config, device="cpu", stated=None) -> tuple[Request, Request]:
    """Of the last segment's training, and of its kernels."""
    study = load_study(config)
    plan = make_plan(study)
    (counts,) = all_image_counts(plan, sources(study))[0].values()
    return tuple(request(plan, list(of)[-1], counts, device, stated) for of in (plan.segments, plan.kernels))


@pytest.mark.parametrize(
    "edit, more",
    [
        ((WIDTH, [1024]), "time and memory of both"),
        (("datasets.glyphs.image_size", 128), "time and memory of both"),
        (("experiments.widths.training.epochs", 200), "time of both"),
        (("experiments.widths.training.batch_size", 4000), "memory of training"),
        (("experiments.widths.probe.size", 16), "time of kernels"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_is_larger_asks_for_more(edit, more):
    before = asked(changed(*WIDE))
    after = asked(changed(*WIDE, edit))
    for kind, small, large in zip(("training", "kernels"), before, after, strict=True):
        affected = kind in more or "both" in more
        if "time" in more:
            assert (large.seconds > small.seconds) == affected
        if "memory" in more:
            assert (large.memory > small.memory) == affected


def test_a_gpu_is_asked_for_memory_where_there_may_be_one():
    for on_cpu, on_gpu in zip(asked(TINY, "cpu"), asked(TINY, "auto"), strict=True):
        assert on_cpu.gpu_memory == 0 < on_gpu.gpu_memory < on_gpu.memory and on_cpu.memory < on_gpu.memory


def test_stated_speed_counts():
    config = changed(*WIDE, ("experiments.widths.training.epochs", 100))
    slow, fast = asked(config, stated=1e8), asked(config, stated=1e15)
    assert all(s.minutes > 5 * f.minutes > 0 for s, f in zip(slow, fast, strict=True))


def test_real_jobs_take_less_than_they_ask_for(tmp_path):
    """Seconds and peak bytes, as results say of themselves."""
    config = changed((WIDTH, [64]), ("datasets.glyphs.image_size", 32), ("seeds", [0]), ("figures", {}))
    folder = copy_repository(tmp_path / "clone")
    job = folder / "workflow/scripts/reactivation/jobs/job.py"
    said = 'print("peak", *(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))'
    job.write_text(job.read_text().replace("            yield\n", f"            yield\n            {said}\n"))
    run = snakemake(folder, "--cores", "2", config=config)
    assert run.returncode == 0, run.stdout
    for of, rule in zip(asked(config), ("train", "ntk"), strict=True):
        (log,) = (folder / f"results/logs/{rule}").glob("*-task2-*.log")
        peak = int(re.search(r"^peak (\d+)", log.read_text(), re.MULTILINE)[1]) * 1024
        assert 1e8 < peak < of.memory * 1e6 < 8 * peak
    (record,) = folder.glob("results/segments/*-task2-*/segment.json")
    assert float(json.loads(record.read_text())["seconds"]) < asked(config)[0].minutes * 60


@pytest.mark.parametrize("device, gpus", [("cpu", 0), ("auto", 1), ("cuda", 1)])
def test_a_dry_run_shows_what_is_asked_for(tmp_path, device, gpus):
    run = snakemake(copy_repository(tmp_path / "clone"), "-n", config=TINY | {"device": device})
    found = re.findall(r"gpu=(\d).*runtime=(\d+).* mem_mb=(\d+)", run.stdout)
    assert len(found) == 16 and {int(gpu) for gpu, *_ in found} == {gpus}
    assert all(int(memory) > 1000 and int(minutes) > 0 for _, minutes, memory in found)
