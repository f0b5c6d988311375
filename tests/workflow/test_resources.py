"""What real jobs take, and what a dry run says they ask for."""

import json
import re
import subprocess

import pytest

from helpers import TINY, call, changed, copy_repository, snakemake
from plans import WIDTH, asked
from reactivation.planning.plan import make_plan
from reactivation.study.load import load_study


def test_real_jobs_take_less_than_they_ask_for(tmp_path):
    """Results record the seconds and peak bytes that they took, which only processes of their own have."""
    config = changed((WIDTH, [64]), ("datasets.glyphs.image_size", 32), ("seeds", [0]), ("figures", {}))
    config["experiments"]["widths"]["scenario"]["tasks"] = 1
    folder = copy_repository(tmp_path / "clone")
    job = folder / "workflow/scripts/reactivation/jobs/job.py"
    said = 'print("peak", *(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))'
    job.write_text(job.read_text().replace("            yield\n", f"            yield\n            {said}\n"))
    targets = [f"results/segments/{name}.h5" for name in make_plan(load_study(config)).kernels]
    run = subprocess.run(**call(folder, "--cores", "2", *targets, config=config), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for of, rule in zip(asked(config), ("train", "ntk"), strict=True):
        (log,) = (folder / f"results/logs/{rule}").glob("*-task1-*.log")
        peak = int(re.search(r"^peak (\d+)", log.read_text(), re.MULTILINE)[1]) * 1024
        assert 1e8 < peak < of.memory * 1e6 < 8 * peak
    (record,) = folder.glob("results/segments/*-task1-*/segment.json")
    assert float(json.loads(record.read_text())["seconds"]) < asked(config)[0].minutes * 60


@pytest.mark.parametrize("device, gpus", [("cpu", 0), ("auto", 1), ("cuda", 1)])
def test_a_dry_run_shows_what_is_asked_for(tmp_path, device, gpus):
    run = snakemake(copy_repository(tmp_path / "clone"), "-n", config=TINY | {"device": device})
    found = re.findall(r"gpu=(\d).*runtime=(\d+).* mem_mb=(\d+)", run.stdout)
    assert len(found) == 24 and {int(gpu) for gpu, *_ in found} == {gpus}
    assert all(int(memory) > 1000 and int(minutes) > 0 for _, minutes, memory in found)
