"""Untrained networks: the kernel's convergence with the width, its slope, its figure."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import changed, finished, planned
from reactivation.analysis.width_convergence import distances, slope
from reactivation.figures import layout
from reactivation.figures.select import diverged_runs, shown, spans
from reactivation.ntk.kernel import empirical_ntk
from reactivation.planning import budget_table
from reactivation.planning.network_sizes import network
from reactivation.planning.plan import make_plan
from reactivation.planning.prune import unnamed
from reactivation.planning.requests import convergence_request
from reactivation.planning.segment_costs import costs, kernel_operations
from reactivation.study.load import ConfigError, load_study
from reactivation.training import networks

PANEL = {"kind": "convergence", "widths": [2, 4, 8], "initialisations": 3}


def study(*panels, **keys):
    """The tiny study with one figure of these panels."""
    return changed(("figures", {"wide": {"experiment": "widths", "panels": list(panels)} | keys}))


# --------------------------------------------------------------------------------------------------- numbers
def test_every_network_is_compared_with_every_one_of_the_next_width():
    K = np.random.default_rng(0).normal(size=(3, 4, 5, 5))
    found = distances(K)
    assert found.shape == (2, 4, 4)
    scale = np.linalg.norm(K[2].mean(0))
    for w, i, j in np.ndindex(found.shape):
        assert found[w, i, j] == pytest.approx(np.linalg.norm(K[w, i] - K[w + 1, j]) / scale, rel=1e-12)
    np.testing.assert_allclose(distances(7 * K), found)


def test_the_slope_of_a_power_is_its_exponent():
    widths = np.array([16, 32, 64, 128])
    values = np.broadcast_to(3 * widths[:, None, None] ** -0.7, (4, 5, 5))
    np.testing.assert_allclose(slope(widths, values), (-0.7, -0.7, -0.7))


def test_the_interval_is_two_standard_errors_of_slopes_over_further_initialisations():
    """Kernels that fluctuate by 1/√w: slopes of many draws, whose deviation the jackknife should find from each alone."""
    rng, widths = np.random.default_rng(0), 2 ** np.arange(4, 9)
    found = []
    for _ in range(200):
        K = 10 + rng.normal(size=(5, 12, 3, 3)) / np.sqrt(widths)[:, None, None, None]
        found.append(slope(widths[:-1], distances(K)))
    slopes, low, high = np.array(found).T
    assert slopes.mean() == pytest.approx(-0.5, abs=0.01)
    assert np.mean((high - low) / 4) == pytest.approx(slopes.std(), rel=0.2)


def kernels_of(spec, widths, kind, initialisations=12):
    """(widths, initialisations, n, n), in float64, of random images of 8×8 pixels."""
    torch.manual_seed(0)
    x, found = torch.randn(6, 3, 8, 8, dtype=torch.float64), []
    for width in widths:
        for _ in range(initialisations):
            model = networks.build(spec | {"width": width}, 8, 5).double().eval()
            found.append(empirical_ntk(model, x, kernels=(kind,))[kind])
    return np.reshape(found, (len(widths), initialisations, 6, 6))


MLP = {"name": "mlp", "depth": 2, "activation": "relu", "parametrization": "ntk"}
CNN = {"name": "cnn", "parametrization": "ntk"}


@pytest.mark.parametrize("kind", ["sum", "trace"])
@pytest.mark.parametrize(
    "spec, widths", [(MLP, [64, 128, 256, 512, 1024]), (CNN, [16, 32, 64, 128])], ids=["mlp", "cnn"]
)
def test_kernels_converge_like_one_over_the_root_of_the_width(spec, widths, kind):
    values = distances(kernels_of(spec, widths, kind))
    fitted, low, high = slope(np.array(widths[:-1]), values)
    assert abs(fitted + 0.5) < 0.15 and low < -0.5 < high
    assert values[-1].mean() < 0.7 * values[0].mean()


def test_without_the_parametrization_they_do_not():
    """The kernel of `standard` grows with the width, so that one width is always far from the next."""
    widths = [64, 128, 256, 512, 1024]
    K = kernels_of(MLP | {"parametrization": "standard"}, widths, "trace")
    each = np.linalg.norm(K[:-1] - K[1:], axis=(2, 3)) / np.linalg.norm(K[1:], axis=(2, 3))
    assert each[-1].mean() > 0.4 and np.linalg.norm(K[-1].mean(0)) > 8 * np.linalg.norm(K[0].mean(0))


# ------------------------------------------------------------------------------------------------------ plan
def test_it_needs_no_run_and_does_not_depend_on_the_training():
    plan = make_plan(load_study(study(PANEL)))
    (name,) = plan.convergences
    assert plan.figures["wide"].runs == () and plan.figures["wide"].convergences == (name,)
    assert plan.convergences[name].spec["model"] == {"name": "cnn", "parametrization": "ntk"}
    for edit in (("training.lr", 0.5), ("training.epochs", 3), ("model.parametrization", "mup")):
        edited = study(PANEL)
        section, key = edit[0].split(".")
        edited["experiments"]["widths"][section][key] = edit[1]
        assert list(make_plan(load_study(edited)).convergences) == [name], edit
    edited["experiments"]["widths"]["probe"]["size"] = 4
    assert list(make_plan(load_study(edited)).convergences) != [name]


def test_panels_share_what_is_the_same():
    figures = {"a": {"panels": [PANEL, PANEL | {"kernel": "trace"}]}, "b": {"panels": [PANEL | {"title": "again"}]}}
    figures = {name: {"experiment": "widths"} | figure for name, figure in figures.items()}
    plan = make_plan(load_study(changed(("figures", figures))))
    assert len(plan.convergences) == 2 and set(plan.figures["b"].convergences) < set(plan.figures["a"].convergences)


def test_its_cost_is_that_of_the_kernels_of_all_networks():
    plan = make_plan(load_study(study(PANEL | {"kernel": "trace"}, {"metric": "alignment", "color": "width"})))
    ((name, convergence),) = plan.convergences.items()
    each = [network({"name": "cnn", "parametrization": "ntk", "width": w}, 8, 4) for w in (2, 4, 8)]
    operations = 3 * sum(kernel_operations(of, 6, ["trace"]) for of in each)
    counts = {dataset: ([12] * 4, [4] * 4) for dataset in plan.datasets}
    sizes, of, rates = budget_table.data_bytes(plan, counts), costs(plan, counts), ([(0.0, 1.0)], [(0.0, 1.0)])
    alone = budget_table.row(plan, [name], of, sizes, "all", rates, 2)
    assert alone[:3] == [0, 0, 0] and alone[-2] == operations and alone[-1] == operations + budget_table.START
    assert set(budget_table.needed(plan, "wide")) == {*plan.runs, name}
    small, large = (convergence_request(convergence.spec | {"widths": w}, "cpu", None) for w in ([2, 4], [2, 4096]))
    assert small.gpu_memory == 0 and 0 < small.minutes < large.minutes and small.memory < large.memory
    assert convergence_request(convergence.spec, "cuda", None).gpu_memory > 0


def test_prune_finds_what_no_panel_asks_for(tmp_path):
    checked = load_study(study(PANEL))
    (name,) = make_plan(checked).convergences
    for file in (f"{name}.csv", f"{name}.json", "widths-0123456789.csv", "widths-0123456789.json", "mine.txt"):
        path = tmp_path / "tiny/convergence" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    items, _ = unnamed(tmp_path, [checked])
    assert [item.path.name for item in items] == ["widths-0123456789.csv", "widths-0123456789.json"]


# ------------------------------------------------------------------------------------------------------ door
@pytest.mark.parametrize(
    "edit, line",
    [
        ({"widths": [2, 4]}, "figures.wide.panels.0.widths: List should have at least 3 items"),
        (
            {"widths": [2, 4, 6]},
            "figures.wide.panels.0.widths: should grow by one factor, such as [16, 32, 64, 128] (it is",
        ),
        ({"widths": [8, 4, 2]}, "figures.wide.panels.0.widths: should grow by one factor"),
        ({"widths": [4, 4, 4]}, "figures.wide.panels.0.widths: should grow by one factor"),
        ({"widths": [0, 4, 8]}, "figures.wide.panels.0.widths.0: Input should be greater than or equal to 1"),
        ({"widths": None}, "figures.wide.panels.0.widths: Input should be a valid list"),
        ({"initialisations": 1}, "figures.wide.panels.0.initialisations: Input should be greater than or equal to 2"),
        ({"color": "width"}, "figures.wide.panels.0.color: a convergence has one color: remove it"),
        ({"metric": "alignment"}, "figures.wide.panels.0.metric: does not belong here; it is a key of another kind"),
        ({"experiment": "none"}, "figures.wide.panels.0.experiment: there is no experiment 'none'"),
        ({"where": {"depth": 2}}, "figures.wide.panels.0.where.depth: is no axis of widths, which has width"),
    ],
    ids=str,
)
def test_mistakes_are_said_in_one_line(edit, line):
    with pytest.raises(ConfigError) as error:
        load_study(study(PANEL | edit))
    assert str(error.value).count("\n") == 1 and line in str(error.value)


def test_axes_that_the_untrained_network_depends_on_must_be_chosen():
    config = study(PANEL)
    experiment = config["experiments"]["widths"]
    experiment["model"] = {"name": "mlp", "width": 4}
    experiment["training"] = {"epochs": 2, "batch_size": 8}
    experiment["grid"] = {"depth": [1, 2], "lr": [0.1, 0.2]}
    with pytest.raises(ConfigError, match=r"figures.wide.where: must choose one value of depth, of which the grid has"):
        load_study(config)
    config["figures"]["wide"]["where"] = {"depth": 1}
    ((convergence),) = make_plan(load_study(config)).convergences.values()
    assert convergence.spec["model"]["depth"] == 1


# -------------------------------------------------------------------------------------------------- workflow
def test_the_workflow_compares_untrained_networks_and_trains_none(tmp_path):
    config = study(PANEL, PANEL | {"kernel": "trace"})
    config["figures"]["again"] = {"experiment": "widths", "panels": [PANEL], "beside": "wide"}
    folder = finished(tmp_path / "clone", config, "wide", "again")
    assert not (folder / "results/segments").exists() and not (folder / "results/tiny/runs").exists()
    assert planned(folder, "wide", "again", config=config) == {}
    tables = sorted((folder / "results/tiny/convergence").iterdir())
    origins = [json.loads(path.read_text()) for path in tables if path.suffix == ".json"]
    assert {origin["config"]["kernels"][0] for origin in origins} == {"sum", "trace"}
    assert all({"code", "git_commit", "versions", "device", "seconds"} <= origin.keys() for origin in origins)
    tables = [path for path in tables if path.suffix == ".csv"]
    assert len(tables) == 2
    drawn = pd.read_csv(folder / "results/tiny/figures/wide.csv")
    for (_, of_panel), kernel in zip(drawn.groupby("panel"), ("sum", "trace"), strict=True):
        (table,) = (table for path in tables for table in [pd.read_csv(path)] if table["kernel"][0] == kernel)
        assert len(table) == 2 * 3 * 3 and set(zip(table["width"], table["other"], strict=True)) == {(2, 4), (4, 8)}
        values = table["value"].to_numpy().reshape(2, 3, 3)
        np.testing.assert_allclose(of_panel["value"], np.exp(np.log(values).mean(2)).ravel())
        stated = of_panel[["slope", "slope_low", "slope_high"]].drop_duplicates().to_numpy()
        np.testing.assert_allclose(stated, [slope(np.array([2, 4]), values)])
    record = json.loads((folder / "results/tiny/figures/wide.json").read_text())
    assert list(record["config"]["experiments"]) == ["widths"] and set(record["runs"]) == {path.stem for path in tables}
    retrained = copy.deepcopy(config)
    retrained["experiments"]["widths"]["training"]["lr"] = 0.01
    assert "convergence" not in planned(folder, "wide", config=retrained)
    more = copy.deepcopy(config)
    more["figures"]["wide"]["panels"][0]["widths"] = [2, 4, 8, 16]
    assert planned(folder, "wide", config=more) == {"convergence": 1, "figure": 1, "wide": 1}


def test_the_figure_says_the_slope_and_stands_beside_others():
    curves = {"metric": "spectral_norm", "color": "width"}
    spec = make_plan(load_study(study(PANEL, curves))).figures["wide"].spec
    (name,) = spec["panels"][0]["runs"]
    rng, rows = np.random.default_rng(0), []
    at = {
        "experiment": "widths",
        "task": 1,
        "step": 0,
        "epoch": 0.0,
        "progress": 0.0,
        "block": "all",
        "kernel": "sum",
        "layer": np.nan,
    }
    for width in (2, 4):
        for i, j in np.ndindex(3, 3):
            pair = {
                "run": name,
                "metric": "convergence",
                "width": width,
                "other": 2 * width,
                "seed": i,
                "other_seed": j,
            }
            rows.append(at | pair | {"value": rng.uniform(1, 2) / width})
    for run in spec["panels"][1]["runs"]:
        norm = {"run": run, "metric": "spectral_norm", "width": int(run[12]), "seed": int(run[-1]), "value": 1.0}
        rows += [at | norm, at | norm | {"task": 2, "step": 9, "epoch": 4.0, "progress": 2.0}]
    runs = pd.DataFrame(rows)
    drawn = shown(spec, runs)
    figure = layout.draw(spec, drawn, spans(spec, runs), diverged_runs(spec, runs))
    (text,) = (text.get_text() for text in figure.axes[0].texts)
    stated = drawn.loc[drawn["panel"] == 0, "slope"].iloc[0]
    assert text.startswith(f"slope {stated:.2f}".replace("-", "−"))
    ax = figure.axes[0]
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel()) == ("log", "log", "width $w$")
    entries = [entry.get_text() for entry in figure.legends[0].get_texts()]
    assert "slope −1/2" in entries and "lowest to highest of 2 seeds" in entries
