"""Index sets of tasks and probes."""

import itertools

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


def probe_of(size, tasks=((0, 1, 2), (3, 4, 5)), held_out=0, **more):
    return balanced_probe(
        {**spec(list(map(list, tasks))), "size": size, "held_out": held_out, "seed": 0, **more}, LABELS, TEST
    )


def test_further_probes_are_drawn_anew_and_as_balanced():
    first, second, third = (probe_of(12, held_out=6, **draw) for draw in ({}, {"draw": 1}, {"draw": 2}))
    for one, other in ((first, second), (second, third), (first, third)):
        assert set(one["index"][:12]) != set(other["index"][:12])
    for probe in (second, third):
        assert (
            np.bincount(probe["label"][:12]).tolist() == [2] * 6
            and np.bincount(probe["label"][12:]).tolist() == [1] * 6
        )
        assert (LABELS[probe["index"][:12]] == probe["label"][:12]).all()


def test_draws_are_independent():
    """Each probe has 5 of a class's 20 images, so two probes share 5 · 5/20 on average."""
    draws = [set(probe_of(5, tasks=((0,),), draw=k)["index"]) for k in range(1, 201)]
    shared = np.mean([len(one & other) for one, other in itertools.pairwise(draws)])
    assert shared == pytest.approx(1.25, abs=0.2)


def test_a_probe_can_be_spread_over_tasks_whatever_the_classes():
    groups = [[0, 1, 2], [3, 4, 5]]
    found = [probe_of(11, held_out=4, groups=groups, draw=k)["label"] for k in range(1, 30)]
    for labels in found:
        assert [(labels[:11] < 3).sum(), (labels[:11] >= 3).sum()] == [5, 6] and (labels[11:] < 3).sum() == 2
    counts = [np.bincount(labels[:5], minlength=3) for labels in found]
    assert np.mean(counts, 0) == pytest.approx([5 / 3] * 3, abs=0.6)
    assert any(count.max() - count.min() > 1 for count in counts)


@pytest.mark.parametrize("key, sizes", [("size", (120, 0)), ("held_out", (12, 30))])
def test_there_is_no_second_probe_of_all_images(key, sizes):
    probe_of(*sizes[:1], held_out=sizes[1])
    with pytest.raises(
        InputError, match=f"probe.draws has no other images to draw: probe.{key} is .* lower probe.{key}"
    ):
        probe_of(*sizes[:1], held_out=sizes[1], draw=1)


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


def test_images_drawn_anew_in_each_epoch_are_not_in_the_split():
    """The training draws them from the earlier tasks' own, which are there."""
    anew = {"replay_drawn": "each_epoch"}
    tasks = [task([0, 1]), task([2, 3], replay=5) | anew, task([4, 5], replay=5) | anew]
    indices = split(spec(tasks), LABELS, TEST)
    assert all((LABELS[indices[f"task{k}_train"]] // 2 == k - 1).all() for k in (1, 2, 3))
    assert [len(indices[f"task{k}_train"]) for k in (1, 2, 3)] == [40, 40, 40]
    with pytest.raises(InputError, match="replay is 41, but task 1 has 40 images: lower it"):
        split(spec([[0, 1], task([2], replay=41) | anew]), LABELS, TEST)


# ---------------------------------------------------------------------------------------------------- held out
def holding_out(share, limit=None, seed=0):
    of = spec([[0, 1, 2], [3, 4]], limit, seed)
    return of | {"images": of["images"] | {"held_out": share}}


def test_a_share_of_each_class_is_held_out_and_tested_on():
    whole, indices = split(spec([[0, 1, 2], [3, 4]]), LABELS, TEST), split(holding_out(0.1), LABELS, TEST)
    trained = np.concatenate([indices["task1_train"], indices["task2_train"]])
    assert "test" not in indices and (np.diff(indices["held_out"]) > 0).all()
    assert np.bincount(LABELS[indices["held_out"]]).tolist() == [2] * 5
    assert set(trained).isdisjoint(indices["held_out"])
    assert {*trained, *indices["held_out"]} == {*whole["task1_train"], *whole["task2_train"]}
    assert set(split(holding_out(0.1, seed=1), LABELS, TEST)["held_out"]) != set(indices["held_out"])


def test_a_larger_share_holds_out_every_image_of_a_smaller_one_and_a_limit_comes_first():
    some, more = (set(split(holding_out(share), LABELS, TEST)["held_out"]) for share in (0.2, 0.5))
    assert some < more
    limited = split(holding_out(0.25, limit=8), LABELS, TEST)
    assert np.bincount(LABELS[limited["held_out"]]).tolist() == [2] * 5
    assert np.bincount(LABELS[limited["task1_train"]]).tolist() == [6] * 3


@pytest.mark.parametrize("share, words", [(0.02, "0: raise"), (0.98, "all of them: lower")])
def test_of_each_class_there_are_images_on_both_sides(share, words):
    with pytest.raises(InputError, match=rf"a share of {share} of class 0's 20 training images rounds to {words}"):
        split(holding_out(share), LABELS, TEST)


def test_the_probe_keeps_to_the_sides_of_the_split():
    of = holding_out(0.2)
    indices = split(of, LABELS, TEST)
    probe = balanced_probe(of | {"size": 10, "held_out": 15, "seed": 0}, LABELS, TEST)
    train, others = probe["index"][~probe["held_out"]], probe["index"][probe["held_out"]]
    assert set(train) <= {*indices["task1_train"], *indices["task2_train"]} and set(others) <= set(indices["held_out"])
    assert np.bincount(LABELS[others]).tolist() == [3] * 5 and probe["in_train"].all()
    np.testing.assert_array_equal(probe["label"], LABELS[probe["index"]])
    with pytest.raises(InputError, match=r"needs 5 of class 0, which has 4: lower probe.held_out"):
        balanced_probe(of | {"size": 10, "held_out": 25, "seed": 0}, LABELS, TEST)
