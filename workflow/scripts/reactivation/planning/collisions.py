"""One name means one thing: what the plan refuses because two things would be one file."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, is_dataclass
from typing import Any, TypeVar

from reactivation.errors import InputError

Item = TypeVar("Item")


def add(of: dict[str, Item], name: str, item: Item, what: str) -> None:
    """Put `item` under `name` into a part of the plan, which holds each `what`. InputError if another has that name."""
    there = of.setdefault(name, item)
    if there == item:
        return
    key, one, other = next(_differences(_content(there), _content(item)))
    key, experiment = key.removeprefix("spec.").removeprefix("axes."), _experiment(item)
    advice = (
        "Change one of the values (in names, numbers have 12 digits), or write another experiment for it"
        if experiment and what == "run"
        else "Their hashes are equal by chance: change any key that one of them depends on, such as a seed"
    )
    raise InputError(
        f"{f'experiments.{experiment}: ' if experiment else ''}two {what}s would have the name {name}: "
        f"{key} is {one!r} in one and {other!r} in the other. {advice}"
    )


def check_case(names: Iterable[str], what: str) -> None:
    """InputError if two of `names` differ only in case: many file systems take them for one.

    It is an error on others too, as results are copied from one to another.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise InputError(
                f"the {what}s {other} and {name} differ only in upper and lower case, which the file systems of macOS "
                "and Windows ignore: rename one"
            )


def _content(item: Any) -> Any:
    return asdict(item) if is_dataclass(item) and not isinstance(item, type) else item


def _experiment(item: Any) -> str | None:
    """The experiment whose run, or untrained networks, `item` is; None if several may share it."""
    spec = getattr(item, "spec", None)
    return spec.get("experiment") if isinstance(spec, dict) else None


def _differences(one: Any, other: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The keys, joined by dots, whose values differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for part in dict.fromkeys([*one, *other]):
            yield from _differences(one.get(part), other.get(part), f"{key}.{part}".removeprefix("."))
    elif one != other:
        yield key, one, other
