"""What jobs ask of a cluster."""

import pytest

from helpers import TINY, changed
from plans import WIDTH, asked

WIDE = ((WIDTH, [512]), ("datasets.glyphs.image_size", 64))


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
