"""The budget with the measured speed of this machine."""

import pytest
import torch

from helpers import changed
from reactivation.planning import segment_costs
from reactivation.planning.plan import make_plan, sources
from reactivation.study.load import load_study
from reactivation.training import calibrate


def test_what_is_not_here_is_said():
    entry = {"source": "image_folder", "root": "nowhere", "image_size": 8, "classes": 4}
    study = load_study(changed(("datasets.glyphs", entry)))
    text = calibrate.budget(make_plan(study), sources(study), "all", 1e12, torch.device("cpu"))
    assert "nowhere is not unpacked here: 1,300 training and 50 test images a class are assumed" in text


@pytest.mark.parametrize("slower", ["float32", "bf16"])
def test_of_the_same_work_in_both_precisions_the_slower_counts(monkeypatch, slower):
    grid = {"precision": ["bf16", "float32"], "width": [2, 4, 16]}
    study = load_study(changed(("experiments.widths.grid", grid), ("figures", {})))
    plan = make_plan(study)
    of = segment_costs.costs(plan, segment_costs.all_image_counts(plan, sources(study))[0])
    monkeypatch.setattr(calibrate, "_time_kernels", lambda *_: 1.0)

    def seconds(plan, name, _):
        return 2e-3 if plan.segments[name].spec["training"]["precision"] == slower else 1e-3

    monkeypatch.setattr(calibrate, "_time_step", seconds)
    rates, _ = calibrate.calibrate(plan, of, torch.device("cpu"))
    assert len(rates) > 1 and all(rate == work / 2e-3 for work, rate in rates)
    assert [work for work, _ in rates] == sorted({work for work, _ in rates})
