"""What axes and legends say."""

import pytest

from drawing import figure, figure_of
from reactivation.figures import words


@pytest.mark.parametrize(
    "runs, diverged, left_out, said",
    [
        (12, 3, 2, "3 of 12 runs diverged: 2 left out, 1 drawn up to there"),
        (2, 1, 0, "1 of 2 runs diverged: drawn up to there"),
        (2, 2, 2, "both runs diverged: left out"),
        (1, 1, 0, "the run diverged: drawn up to there"),
        (3, 3, 1, "all 3 runs diverged: 1 left out, 2 drawn up to there"),
    ],
)
def test_how_many_diverged_is_said_in_words(runs, diverged, left_out, said):
    names = {key: ["run"] * n for key, n in (("runs", runs), ("diverged", diverged), ("left_out", left_out))}
    assert words.diverged(names) == said


@pytest.mark.parametrize(
    "seeds, draws, said",
    [
        (3, [1, 1], "3 seeds"),
        (15, [5], "3 seeds × 5 probes"),
        (5, [5, 5], "1 seed × 5 probes"),
        (15, [5, 1], "15 seeds and probes"),
    ],
)
def test_what_bands_go_over(seeds, draws, said):
    panels = [{"draws": n} if n > 1 else {} for n in draws]
    assert words.pooled(seeds, panels, most=False) == said
    assert words.pooled(seeds, panels, most=True) == f"up to {said}"


def test_panels_say_what_their_metric_leaves_open(runs):
    def labels(*panels):
        return [ax.get_ylabel() for ax in figure_of(figure(*panels), runs).axes if ax.axison]

    one = labels({"metric": "kernel_distance", "reference": "task_start"}, {"metric": "kernel_velocity", "dt": 2})
    assert one == ["kernel distance $S$\nfrom the task's start", "kernel velocity (1/epoch)\nover 2 epochs"]
    two = labels({"metric": "alignment"}, {"metric": "alignment", "kernel": "trace"}, {"metric": "test_accuracy"})
    assert two[0].endswith("summed logits") and two[1].endswith("mean over outputs") and two[2] == "test accuracy"
