"""The times of a run's rows: a twin has two values at a switch, a network one."""

import pandas as pd
import pytest

from reactivation.analysis import timeline

NETWORK = pd.DataFrame(
    [(1, 0, 0.0, 0.0), (1, 2, 1.0, 0.5), (1, 4, 2.0, 1.0), (2, 6, 3.0, 1.5), (2, 8, 4.0, 2.0)],
    columns=["task", "step", "epoch", "progress"],
).assign(metric="forgetting", value=[0.0, 1.0, 2.0, 3.0, 4.0])
# At the switch the twin of the second task starts where the network stands.
TWIN = pd.concat([NETWORK, NETWORK.iloc[[2]].assign(task=2, value=9.0)]).sort_values(
    ["task", "step"], ignore_index=True
)


@pytest.mark.parametrize("rows, values", [(NETWORK, [2.0]), (TWIN, [2.0, 9.0])], ids=["network", "twin"])
def test_a_switch_has_one_value_of_a_network_and_two_of_a_twin(rows, values):
    assert rows.loc[timeline.at_switch(rows, 2), "value"].tolist() == values
    assert timeline.starts_anew(rows).sum() == len(values) - 1
    assert len(timeline.moments(rows.sample(frac=1, random_state=0))) == 4 + len(values)
    assert timeline.moments(rows)["value"].tolist() == rows["value"].tolist()


@pytest.mark.parametrize("rows", [NETWORK, TWIN], ids=["network", "twin"])
def test_a_task_has_its_end_but_not_its_start(rows):
    assert rows.loc[timeline.within(rows, 1), "value"].tolist() == [0.0, 1.0, 2.0]  # the first has its start too
    assert rows.loc[timeline.within(rows, 2), "value"].tolist() == [3.0, 4.0]
    assert timeline.task_ends(rows) == {1: 2.0, 2: 4.0}
    assert timeline.at_end(rows, 1, 2.0)["value"].tolist() == [2.0]


def test_a_task_in_which_a_run_diverged_has_no_end():
    lost = NETWORK.iloc[[-1]].assign(metric="diverged")
    assert timeline.task_ends(pd.concat([NETWORK, lost])) == {1: 2.0}
