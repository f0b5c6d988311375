"""The tasks of every kind of scenario, and how similar each is to the one before."""

import pydantic
import pytest

from reactivation.study.scenarios import problems, similarity, tasks, universe
from reactivation.study.schema_scenarios import AnyScenario

SCENARIO = pydantic.TypeAdapter(AnyScenario)


def scenario(**keys):
    return SCENARIO.validate_python(keys)


def window(shift, **more):
    return scenario(kind="sliding_window", classes=20, window=10, shift=shift, **more)


def mixture(alpha, start=0.1, first=(0, 1, 2, 3, 4), second=(5, 6, 7, 8, 9)):
    return scenario(kind="mixture", first=list(first), second=list(second), start=start, alpha=alpha)


def classes(of):
    return [list(task.classes) for task in tasks(of)]


@pytest.mark.parametrize("count, size", [(2, 5), (5, 2), (10, 10)])
def test_class_splits_are_disjoint_and_cover_all(count, size):
    split = scenario(kind="class_split", tasks=count, classes_per_task=size)
    groups = classes(split)
    assert [len(group) for group in groups] == [size] * count
    assert sorted(c for group in groups for c in group) == universe(split) == list(range(count * size))
    assert [similarity(a, b) for a, b in zip(tasks(split), tasks(split)[1:], strict=False)] == [0] * (count - 1)
    reversed_order = list(range(count * size))[::-1]
    assert classes(split.model_copy(update={"class_order": reversed_order}))[0] == reversed_order[:size]


@pytest.mark.parametrize("shift", range(11))
def test_windows_bring_as_many_new_classes_as_they_move(shift):
    """E_i: task 1 has the classes 0–9, task 2 the classes i … i+9."""
    first, second = tasks(window(shift))
    assert list(first.classes) == list(range(10)) and list(second.classes) == list(range(shift, shift + 10))
    assert len(set(second.classes) - set(first.classes)) == shift
    assert similarity(first, second) == pytest.approx((10 - shift) / (10 + shift))  # |D_0 ∩ D_i| / |D_0 ∪ D_i|
    assert universe(window(shift)) == list(range(20))


def test_windows_move_on_along_the_order_of_classes():
    order = [*range(19, -1, -1)]
    assert classes(window(5, tasks=3, class_order=order)) == [order[0:10], order[5:15], order[10:20]]


@pytest.mark.parametrize("start", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.3, 0.5, 0.9, 1.0])
def test_mixtures_have_their_proportions(alpha, start):
    """D̃_α = (1−α)D̃_0 + αD̃_1, of the size of D̃_0; similarity 1 − |α − β|."""
    first, second = tasks(mixture(alpha, start))
    weight = dict(zip(second.classes, second.weights, strict=True))
    assert sum(weight.get(c, 0) for c in range(5)) == pytest.approx(5 * (1 - alpha))
    assert sum(weight.get(c, 0) for c in range(5, 10)) == pytest.approx(5 * alpha)
    assert all(0 < w <= 1 for w in weight.values())
    assert similarity(first, second) == pytest.approx(1 - abs(alpha - start))


def test_mixtures_of_groups_of_other_sizes_keep_the_size_of_the_first():
    _, task = tasks(mixture(0.5, first=[0, 1], second=[2, 3, 4, 5]))
    assert task.weights == (0.5, 0.5, 0.25, 0.25, 0.25, 0.25) and sum(task.weights) == 2


def test_the_same_frequencies_are_the_same_task():
    first, second = tasks(mixture(0.1))
    assert first == second and similarity(first, second) == 1


def test_a_sequence_is_what_it_says():
    there_and_back = [{"classes": [0, 1]}, {"classes": [2, 3], "epochs": 3}, {"classes": [0, 1], "weights": [1, 0.25]}]
    a, b, c = tasks(scenario(kind="sequence", tasks=there_and_back))
    assert (a.classes, a.weights, a.epochs) == ((0, 1), (1.0, 1.0), None)
    assert b.epochs == 3 and similarity(a, b) == similarity(b, c) == 0
    assert c.weights == (1, 0.25)
    assert similarity(a, c) == pytest.approx(1 - (0.3 + 0.3) / 2)  # frequencies ½, ½ and 0.8, 0.2
    assert universe(scenario(kind="sequence", tasks=there_and_back)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "of, key, message",
    [
        (
            window(5, tasks=4),
            "",
            "the last of 4 windows of 10, each shifted by 5, ends at class 25; scenario.classes is 20",
        ),
        (window(11), "", "the last of 2 windows of 10, each shifted by 11, ends at class 21; scenario.classes is 20"),
        (window(1, class_order=list(range(19))), "", "windows over 20 classes need as many; class_order names 19"),
        (
            window(1, class_order=[*range(19), 20]),
            "class_order",
            "class 20 is out of range: letters has classes 0 to 19",
        ),
        (mixture(0.5, second=[5, 6, 20]), "second", "class 20 is out of range: letters has classes 0 to 19"),
        (mixture(0.5, second=[4, 5]), "second", "class 4 is in `first` as well: the two groups must be disjoint"),
        (
            mixture(0.9, second=[5, 6, 7]),
            "second",
            "has too few classes: with α = 0.9 a task takes from it α times the images of 5 classes",
        ),
        (scenario(kind="sequence", tasks=[{"classes": [0, 99]}]), "tasks.0.classes", "class 99 is out of range"),
        (
            scenario(kind="sequence", tasks=[{"classes": [0, 1], "weights": [1]}]),
            "tasks.0.weights",
            "has 1 values for 2 classes: give one each",
        ),
        (
            scenario(kind="class_split", tasks=3, classes_per_task=7),
            "",
            "3 tasks of 7 classes need 21 classes; letters",
        ),
    ],
)
def test_what_does_not_fit_the_data_set_is_named(of, key, message):
    ((found_key, found),) = problems(of, "letters", 20)
    assert found_key == key and found.startswith(message)
