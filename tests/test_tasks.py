"""Index sets of tasks and probes."""

import numpy as np
import pytest
from reactivation.job import InputError
from reactivation.tasks import balanced_probe, first_task, split

LABELS = np.repeat(np.arange(6), 20)[np.random.default_rng(1).permutation(120)]
TEST = np.tile(np.arange(6), 5)


def spec(tasks, limit=None, classes=None, seed=0):
    classes = sorted(set().union(*tasks)) if classes is None else classes
    return {"tasks": tasks, "images": {"classes": classes, "limit_per_class": limit, "seed": seed}}


def test_tasks_have_all_and_only_the_images_of_their_classes():
    indices = split(spec([[0, 1], [4, 3]]), LABELS, TEST)
    for k, classes in ((1, [0, 1]), (2, [3, 4])):
        np.testing.assert_array_equal(indices[f"task{k}_train"], np.flatnonzero(np.isin(LABELS, classes)))
        np.testing.assert_array_equal(indices[f"task{k}_test"], np.flatnonzero(np.isin(TEST, classes)))
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
    """Else runs that share a beginning could not share its segments."""
    alone = split(spec([[2]], limit=4), LABELS, TEST)["task1_train"]
    later = split(spec([[0, 1], [2]], limit=4), LABELS, TEST)["task2_train"]
    np.testing.assert_array_equal(alone, later)


def test_too_few_images_for_the_limit():
    with pytest.raises(InputError, match="limit_per_class is 21, but class 0 has 20"):
        split(spec([[0]], limit=21), LABELS, TEST)


@pytest.mark.parametrize("size", [6, 8, 32, 33])
def test_the_probe_is_balanced_over_classes_and_tasks(size):
    index = balanced_probe({**spec([[0, 1, 2], [3, 4, 5]]), "size": size, "seed": 0}, LABELS)
    counts = np.bincount(LABELS[index], minlength=6)
    assert len(set(index)) == size == counts.sum()
    assert counts.max() - counts.min() <= 1
    assert abs(counts[:3].sum() - counts[3:].sum()) <= 1


def test_the_probe_has_a_seed_of_its_own():
    probes = [balanced_probe({**spec([[0, 1, 2]]), "size": 9, "seed": seed}, LABELS) for seed in (0, 0, 1)]
    assert (probes[0] == probes[1]).all() and (probes[0] != probes[2]).any()


def test_the_probe_is_drawn_from_the_images_trained_on():
    limited = spec([[0, 1, 2], [3, 4, 5]], limit=4)
    trained = split(limited, LABELS, TEST)
    index = balanced_probe({**limited, "size": 12, "seed": 3}, LABELS)
    assert set(index) <= {*trained["task1_train"], *trained["task2_train"]}
    with pytest.raises(InputError, match="needs 5 of class"):
        balanced_probe({**limited, "size": 30, "seed": 0}, LABELS)


def test_an_image_belongs_to_the_first_task_that_has_its_class():
    assert first_task(np.array([0, 1, 2, 3, 5]), [[0, 1], [1, 2], [3]]).tolist() == [1, 1, 2, 3, 0]
