"""Index sets of tasks and probes."""

import numpy as np
import pytest

from reactivation.data.indices import balanced_probe, first_task, split
from reactivation.errors import InputError

LABELS = np.repeat(np.arange(6), 20)[np.random.default_rng(1).permutation(120)]
TEST = np.tile(np.arange(6), 5)


def task(classes, weights=None, replay=0):
    return {"classes": classes, "weights": weights or [1.0] * len(classes), "replay": replay}


def spec(tasks, limit=None, seed=0, run_seed=0):
    tasks = [t if isinstance(t, dict) else task(t) for t in tasks]
    classes = sorted({c for t in tasks for c in t["classes"]})
    return {"tasks": tasks, "images": {"classes": classes, "limit_per_class": limit, "seed": seed}, "seed": run_seed}


def test_tasks_have_all_and_only_the_images_of_their_classes():
    indices = split(spec([[0, 1], [4, 3]]), LABELS, TEST)
    for k, classes in ((1, [0, 1]), (2, [3, 4])):
        np.testing.assert_array_equal(indices[f"task{k}_train"], np.flatnonzero(np.isin(LABELS, classes)))
    np.testing.assert_array_equal(indices["test"], np.flatnonzero(np.isin(TEST, [0, 1, 3, 4])))
    assert not set(indices["task1_train"]) & set(indices["task2_train"])


def test_a_limit_takes_so_many_of_each_class_and_a_higher_one_adds_to_them():
    few = split(spec([[0, 1]], limit=3), LABELS, TEST)["task1_train"]
    more = split(spec([[0, 1]], limit=7), LABELS, TEST)["task1_train"]
    assert np.bincount(LABELS[few], minlength=2).tolist() == [3, 3]
    assert set(few) < set(more)
    other = split(spec([[0, 1]], limit=3, seed=1), LABELS, TEST)["task1_train"]
    assert set(few) != set(other)


def test_a_class_keeps_its_images_whatever_the_tasks():
    """Otherwise runs that share a beginning could not share its segments."""
    alone = split(spec([[2]], limit=4), LABELS, TEST)["task1_train"]
    later = split(spec([[0, 1], [2]], limit=4), LABELS, TEST)["task2_train"]
    np.testing.assert_array_equal(alone, later)


def test_too_few_images_for_the_limit():
    with pytest.raises(InputError, match="limit_per_class is 21, but class 0 has 20"):
        split(spec([[0]], limit=21), LABELS, TEST)


@pytest.mark.parametrize("size", [6, 8, 32, 33])
def test_the_probe_is_balanced_over_classes_and_tasks(size):
    index = balanced_probe({**spec([[0, 1, 2], [3, 4, 5]]), "size": size, "held_out": 0, "seed": 0}, LABELS, TEST)[
        "index"
    ]
    counts = np.bincount(LABELS[index], minlength=6)
    assert len(set(index)) == size == counts.sum()
    assert counts.max() - counts.min() <= 1
    assert abs(counts[:3].sum() - counts[3:].sum()) <= 1


def test_the_probe_has_a_seed_of_its_own():
    probes = [
        balanced_probe({**spec([[0, 1, 2]]), "size": 9, "held_out": 0, "seed": seed}, LABELS, TEST)["index"]
        for seed in (0, 0, 1)
    ]
    assert (probes[0] == probes[1]).all() and (probes[0] != probes[2]).any()


def test_the_probe_is_drawn_from_the_images_trained_on():
    limited = spec([[0, 1, 2], [3, 4, 5]], limit=4)
    trained = split(limited, LABELS, TEST)
    index = balanced_probe({**limited, "size": 12, "held_out": 0, "seed": 3}, LABELS, TEST)["index"]
    assert set(index) <= {*trained["task1_train"], *trained["task2_train"]}
    with pytest.raises(InputError, match="needs 5 of class"):
        balanced_probe({**limited, "size": 30, "held_out": 0, "seed": 0}, LABELS, TEST)


def test_an_image_belongs_to_the_first_task_that_has_its_class():
    assert first_task(np.array([0, 1, 2, 3, 5]), [task([0, 1]), task([1, 2]), task([3])]).tolist() == [1, 1, 2, 3, 0]


def test_a_probe_can_have_held_out_images_too():
    probe = balanced_probe({**spec([[0, 1, 2]]), "size": 6, "held_out": 9, "seed": 0}, LABELS, TEST)
    train, test = probe["index"][~probe["held_out"]], probe["index"][probe["held_out"]]
    assert np.bincount(LABELS[train]).tolist() == [2, 2, 2] and np.bincount(TEST[test]).tolist() == [3, 3, 3]
    assert probe["label"].tolist() == [*LABELS[train], *TEST[test]]
    with pytest.raises(InputError, match=r"needs 6 of class 0, which has 5: lower probe.held_out"):
        balanced_probe({**spec([[0, 1, 2]]), "size": 6, "held_out": 18, "seed": 0}, LABELS, TEST)


# ------------------------------------------------------------------------------------------- shares and replay
@pytest.mark.parametrize("alpha", [0.1, 0.3, 0.5, 0.9])
def test_a_mixture_has_its_proportions_and_keeps_its_size(alpha):
    """(1−α)N images of D̃_0 and αN of D̃_1, N the size of D̃_0."""
    mixture = task([0, 1, 2, 3, 4, 5], [1 - alpha] * 3 + [alpha] * 3)
    chosen = split(spec([[0, 1, 2, 3, 4, 5], mixture]), LABELS, TEST)["task2_train"]
    counts = np.bincount(LABELS[chosen], minlength=6)
    assert counts.tolist() == [round(20 * (1 - alpha))] * 3 + [round(20 * alpha)] * 3
    assert len(chosen) == len(set(chosen)) == 60


def test_shares_are_nested_and_drawn_by_the_runs_seed():
    """From α to β only as many images change as must, and none if β = α."""

    def images(weight, run_seed=0):
        return set(split(spec([task([0, 1], [weight, 1.0])], run_seed=run_seed), LABELS, TEST)["task1_train"])

    assert images(0.2) < images(0.7) < images(1.0)
    assert images(0.5) == images(0.5) != images(0.5, run_seed=1)
    with pytest.raises(InputError, match=r"a share of 0.02 of class 0's 20 images rounds to 0: raise weights or alpha"):
        images(0.02)


def test_replay_mixes_in_images_of_every_earlier_task():
    tasks = [task([0, 1]), task([2, 3], replay=5), task([4, 5], replay=5)]
    indices = split(spec(tasks), LABELS, TEST)
    assert [len(indices[f"task{k}_train"]) for k in (1, 2, 3)] == [40, 45, 50]
    memory = {k: set(indices[f"task{k}_train"]) & set(indices["task1_train"]) for k in (2, 3)}
    assert memory[2] == memory[3] and len(memory[2]) == 5  # the same images of a task in all later ones
    third = np.bincount(LABELS[indices["task3_train"]] // 2, minlength=3)
    assert third.tolist() == [5, 5, 40]
    np.testing.assert_array_equal(indices["task1_train"], split(spec([[0, 1]]), LABELS, TEST)["task1_train"])
    other = split(spec(tasks, run_seed=1), LABELS, TEST)
    assert set(other["task2_train"]) != set(indices["task2_train"])
    with pytest.raises(InputError, match="replay is 41, but task 1 has 40 images: lower it"):
        split(spec([[0, 1], task([2], replay=41)]), LABELS, TEST)


def test_replayed_images_that_are_the_tasks_own_come_twice():
    """In A → B → A, each earlier task gives as many images as the config asks for."""
    indices = split(spec([[0], [1], task([0], replay=3)]), LABELS, TEST)["task3_train"]
    assert len(indices) == 20 + 3 + 3 and len(set(indices)) == 20 + 3
