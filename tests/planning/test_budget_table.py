"""The budget, figure by figure."""

from helpers import TINY, changed
from reactivation.planning import budget_table, segment_costs
from reactivation.planning.plan import make_plan, sources
from reactivation.study.load import load_study


def test_the_rate_of_what_is_not_measured_is_that_of_the_largest_smaller():
    rates = [(10.0, 1.0), (100.0, 2.0)]
    assert [budget_table.rate(rates, work) for work in (1, 10, 50, 100, 1e9)] == [1, 1, 1, 2, 2]


def test_a_figure_beside_another_needs_its_runs_too():
    one = {"kind": "curves", "experiment": "widths", "color": "width", "panels": [{"metric": "trace"}]}
    figures = {"a": one | {"where": {"lr": 0.1}}, "b": one | {"where": {"lr": 0.2}, "beside": "a"}}
    config = changed(
        ("figures", figures),
        ("experiments.widths.grid.lr", [0.1, 0.2, 0.3]),
        ("experiments.widths.training.lr", ...),
    )
    plan = make_plan(load_study(config))
    assert (
        set(budget_table.needed(plan, "a")) == set(plan.figures["a"].runs) and len(budget_table.needed(plan, "a")) == 4
    )
    assert set(budget_table.needed(plan, "b")) == {*plan.figures["a"].runs, *plan.figures["b"].runs}


def test_without_weights_first_tasks_wait_for_the_next():
    study = load_study(TINY)
    plan = make_plan(study)
    counts, _ = segment_costs.all_image_counts(plan, sources(study))
    of, sizes = segment_costs.costs(plan, counts), budget_table.data_bytes(plan, counts)
    rates = [(0.0, 1e9)], [(0.0, 1e9)]
    _, _, _, peak, final, *_ = budget_table.row(plan, plan.runs, of, sizes, "none", rates, 2)
    waiting = sum(cost.weights for name, cost in of.items() if "-task1-" in name)
    assert peak - final == waiting + 2 * max(c.state + c.checkpoints * c.weights for c in of.values())
