"""Arithmetic in a config."""

import pytest

from reactivation.study.arithmetic import evaluate


@pytest.mark.parametrize(
    "text, value",
    [
        ("0.1/width", 0.1 / 64),
        ("1e-3", 1e-3),
        ("0.1 * (64 / width) ** 0.5", 0.1),
        ("0.8/sqrt(width)", 0.1),
        ("-2 + 3", 1),
    ],
)
def test_values(text, value):
    assert evaluate(text, width=64) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    ["", "fast", "width/", "0.1/depth", "__import__('os').system('x')", "width.real", "1/0", "[1][0]", "'a'", "True",
     "sqrt(-1)", "sqrt(1, 2)", "9**9**9**9", "(-1)**0.5", "lambda: 1", "1 if 1 else 2", "(" * 500 + "1" + ")" * 500],
)  # fmt: skip
def test_nothing_else_is_arithmetic(text):
    with pytest.raises(ValueError, match="Input should be a number, or arithmetic with numbers, width"):
        evaluate(text, width=64)
