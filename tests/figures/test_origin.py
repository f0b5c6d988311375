"""What figures say about where they come from."""

import copy
import json
import re

from matplotlib.figure import Figure
from PIL import Image

from helpers import changed
from reactivation.figures import layout
from reactivation.figures.origin import excerpt, metadata
from reactivation.planning.plan import make_plan
from reactivation.study.load import load_study
from zoo_study import ZOO

ORIGIN = {"config": '{"title": "(Δ → \\\\Größe)"}', "host": "Zürich (3)", "started": "2025-01-02T03:04:05Z"}


def test_the_excerpt_of_a_config_draws_the_figure():
    """The excerpt also holds the figures from which it takes scales, and nothing else."""
    figures = make_plan(load_study(ZOO)).figures
    for name, shown in (("back", {"back"}), ("window", {"window"}), ("mixture", {"mixture", "window"})):
        config = copy.deepcopy(ZOO) | {"device": "auto", "where": {"device": "cpu"}}
        of_figure = excerpt(config, name)
        assert set(of_figure["figures"]) == set(of_figure["experiments"]) == shown
        assert make_plan(load_study(of_figure)).figures[name] == figures[name]


def test_panels_name_experiments_too():
    other = changed().get("experiments")["widths"]
    config = changed(("experiments.other", other), ("datasets.unused", changed()["datasets"]["glyphs"]))
    config["figures"]["fig4"]["panels"][0]["experiment"] = "other"
    of_figure = excerpt(config, "fig4")
    assert set(of_figure["experiments"]) == {"widths", "other"} and set(of_figure["datasets"]) == {"glyphs"}


def test_text_survives_in_both_formats(tmp_path):
    """Letters beyond ASCII, parentheses and backslashes."""
    for name in ("a.png", "a.pdf"):
        layout.save(Figure(), tmp_path / name, metadata(name, "study fig4", ORIGIN))
    with Image.open(tmp_path / "a.png") as image:
        assert ORIGIN.items() <= image.text.items()
    content = (tmp_path / "a.pdf").read_bytes()
    assert b"/Title (study fig4)" in content and b"/CreationDate (D:20250102030405Z)" in content
    (keywords,) = re.findall(rb"/Keywords \(((?:[^\\()]|\\.)*)\)", content, re.DOTALL)
    assert json.loads(re.sub(rb"\\(.)", rb"\1", keywords, flags=re.DOTALL)) == ORIGIN
