"""Names: how they write values, and what tells two apart."""

import pytest

from reactivation.planning.names import digest, short


@pytest.mark.parametrize(
    "value, text",
    [
        (64, "64"),
        (0.05, "0.05"),
        (1e-4, "1e-4"),
        (2.5e-4, "2.5e-4"),
        (1.0, "1"),
        (1e20, "1e20"),
        (None, "default"),
        ([1, 2], "1.2"),
    ],
)
def test_values_in_names(value, text):
    assert short(value) == text


def test_long_values_are_shortened_and_told_apart():
    orders = list(range(100)), list(range(99, -1, -1))
    assert len({short(order) for order in orders}) == 2
    assert all(len(short(order)) <= 24 for order in orders)


def test_digests_do_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [1.0, 2]}) == digest({"b": [1.0, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})


@pytest.mark.parametrize("value, text", [("0.1/width", "0.1_width_"), ("0.1*width", "0.1_width_")])
def test_expressions_make_file_names(value, text):
    assert short(value).startswith(text) and "/" not in short(value)
    assert short("0.1/width") != short("0.1*width")
