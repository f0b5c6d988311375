"""Figures of the tiny study with three seeds, or of panels that a test names."""

from helpers import changed
from reactivation.figures import layout
from reactivation.figures.select import diverged_runs, shown, spans
from reactivation.planning.plan import make_plan
from reactivation.study.load import load_study

SPEC = make_plan(load_study(changed(("seeds", [0, 1, 2])))).figures["fig4"].spec


def figure_of(spec, runs, scales=None):
    return layout.draw(spec, shown(spec, runs), spans(spec, runs), diverged_runs(spec, runs), scales)


def figure(*panels):
    """The spec of a figure of these panels."""
    metrics = {"velocity_dt": [1, 2]}
    edits = ("seeds", [0, 1, 2]), ("figures.fig4.panels", list(panels)), ("experiments.widths.metrics", metrics)
    return make_plan(load_study(changed(*edits))).figures["fig4"].spec


def made(runs, *panels, **keys):
    """The figure of a config, its spec, and what it shows."""
    plan = make_plan(load_study(changed(("figures.fig4", {"experiment": "widths", "panels": list(panels)} | keys))))
    spec = plan.figures["fig4"].spec
    runs = runs[runs["run"].isin({run for panel in spec["panels"] for run in panel["runs"]})]
    drawn = shown(spec, runs)
    return figure_of(spec, runs), spec, drawn


def summary(statistic, metric="spectral_norm", **keys):
    return {"kind": "summary", "metric": metric, "statistic": statistic, "color": "width"} | keys
