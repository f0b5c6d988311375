"""Scenarios as lists of tasks: which classes each has, how often, for how long. Pure functions of the config."""

from collections.abc import Iterator
from dataclasses import dataclass

from reactivation.study.schema_scenarios import AnyScenario, ClassSplit, Mixture, Scenario, Sequence, SlidingWindow


@dataclass(frozen=True)
class Task:
    """One data distribution. `weights`: the share of each class's images in use; `epochs`: None for the default."""

    classes: tuple[int, ...]
    weights: tuple[float, ...]
    epochs: int | None = None


def tasks(scenario: AnyScenario) -> list[Task]:
    """The tasks of a scenario, in order. The docstrings of schema_scenarios.py say what each kind of scenario is."""
    match scenario:
        case ClassSplit(classes_per_task=size):
            order = class_order(scenario)
            return [_whole(order[k * size : (k + 1) * size]) for k in range(scenario.tasks)]
        case SlidingWindow(window=size, shift=shift):
            order = class_order(scenario)
            return [_whole(order[k * shift : k * shift + size]) for k in range(scenario.tasks)]
        case Mixture():
            return [_mixture(scenario, alpha) for alpha in (scenario.start, scenario.alpha)]
        case Sequence():
            return [
                Task(tuple(task.classes), tuple(task.weights or [1.0] * len(task.classes)), task.epochs)
                for task in scenario.tasks
            ]


def _whole(classes: list[int]) -> Task:
    return Task(tuple(classes), (1.0,) * len(classes))


def _mixture(scenario: Mixture, alpha: float) -> Task:
    """D̃_α: (1−α)N images of D̃_0 and αN of D̃_1, equally many of each class, where N is the size of D̃_0."""
    ratio = len(scenario.first) / len(scenario.second)
    weight = dict.fromkeys(scenario.first, 1 - alpha) | dict.fromkeys(scenario.second, alpha * ratio)
    present = {c: round(w, 12) for c, w in weight.items() if w > 0}  # 1 − 0.9 is not 0.1
    return Task(tuple(present), tuple(present.values()))


def class_order(scenario: ClassSplit | SlidingWindow) -> list[int]:
    """Classes in the order in which tasks take them."""
    return scenario.class_order or list(range(classes_needed(scenario)))


def classes_needed(scenario: ClassSplit | SlidingWindow) -> int:
    """How many classes the scenario covers."""
    if isinstance(scenario, ClassSplit):
        return scenario.tasks * scenario.classes_per_task
    return scenario.classes


def universe(scenario: AnyScenario) -> list[int]:
    """Classes that tests and the probe cover: all that any task may have, sorted."""
    if isinstance(scenario, SlidingWindow):
        return sorted(class_order(scenario)[: scenario.classes])
    if isinstance(scenario, Mixture):
        return sorted({*scenario.first, *scenario.second})
    if isinstance(scenario, Sequence) and scenario.classes is not None:
        return sorted(scenario.classes)
    return sorted({c for task in tasks(scenario) for c in task.classes})


def brought(sequence: list[Task]) -> list[list[int]]:
    """For each task, the classes that it is the first to have, sorted."""
    known: set[int] = set()
    found = []
    for task in sequence:
        found.append(sorted(set(task.classes) - known))
        known |= set(task.classes)
    return found


def similarity(previous: Task, task: Task) -> float:
    """The similarity of a task to the one before, from 0 to 1 (Reactivation, section on task similarity).

    It is |D_0 ∩ D_i| / |D_0 ∪ D_i| over classes if all classes of each task are equally frequent. Otherwise it is
    1 − ½Σ|p − q| of the classes' frequencies, which for two mixtures is the paper's 1 − |α − β|.
    """
    if all(len(set(t.weights)) == 1 for t in (previous, task)):
        before, now = set(previous.classes), set(task.classes)
        return len(before & now) / len(before | now)
    p, q = ({c: w / sum(t.weights) for c, w in zip(t.classes, t.weights, strict=True)} for t in (previous, task))
    return round(1 - sum(abs(p.get(c, 0) - q.get(c, 0)) for c in p | q) / 2, 12)


def problems(scenario: AnyScenario, dataset: str, available: int) -> Iterator[tuple[str, str]]:
    """What is wrong with a scenario on a data set with `available` classes: (key, message)."""
    has = f"{dataset} has classes 0 to {available - 1}"
    for key, classes in _classes_by_key(scenario):
        outside = [c for c in classes if c >= available]
        if outside:
            yield key, f"class {outside[0]} is out of range: {has}"
            return
    if isinstance(scenario, ClassSplit | SlidingWindow):
        yield from _too_few(scenario, dataset, available)
    if isinstance(scenario, Mixture):
        both = sorted(set(scenario.first) & set(scenario.second))
        if both:
            yield "second", f"class {both[0]} is in `first` as well: the two groups must be disjoint"
        elif max(scenario.start, scenario.alpha) * len(scenario.first) > len(scenario.second):
            yield (
                "second",
                (
                    f"has too few classes: with α = {max(scenario.start, scenario.alpha):g} a task takes from it "
                    f"α times the images of {len(scenario.first)} classes; name more classes, or fewer in `first`"
                ),
            )
    if max(universe(scenario)) >= available and not isinstance(scenario, ClassSplit | SlidingWindow):
        yield "", f"needs class {max(universe(scenario))}: {has}"
    if isinstance(scenario, Sequence):
        for k, task in enumerate(scenario.tasks):
            missing = sorted(set(task.classes) - set(universe(scenario)))
            if missing:
                yield f"tasks.{k}.classes", f"class {missing[0]} is not among scenario.classes"
            if task.weights is not None and len(task.weights) != len(task.classes):
                yield (
                    f"tasks.{k}.weights",
                    f"has {len(task.weights)} values for {len(task.classes)} classes: give one each",
                )


def _classes_by_key(scenario: Scenario) -> Iterator[tuple[str, list[int]]]:
    """Every list of classes in the config, with its key."""
    for key in ("class_order", "first", "second"):
        yield key, getattr(scenario, key, None) or []
    if isinstance(scenario, Sequence):
        yield "classes", scenario.classes or []
        yield from ((f"tasks.{k}.classes", task.classes) for k, task in enumerate(scenario.tasks))


def _too_few(scenario: ClassSplit | SlidingWindow, dataset: str, available: int) -> Iterator[tuple[str, str]]:
    needed, owner = classes_needed(scenario), f"{dataset} has {available}"
    if scenario.class_order is not None:
        available, owner = len(scenario.class_order), f"class_order names {len(scenario.class_order)}"
    if needed > available:
        if isinstance(scenario, ClassSplit):
            wanted = f"{scenario.tasks} tasks of {scenario.classes_per_task} classes need {needed} classes"
        else:
            wanted = f"windows over {needed} classes need as many"
        yield "", f"{wanted}; {owner}"
    if isinstance(scenario, SlidingWindow):
        last = (scenario.tasks - 1) * scenario.shift + scenario.window
        if last > scenario.classes:
            yield (
                "",
                f"the last of {scenario.tasks} windows of {scenario.window}, each shifted by {scenario.shift}, ends at "
                f"class {last}; scenario.classes is {scenario.classes}",
            )
