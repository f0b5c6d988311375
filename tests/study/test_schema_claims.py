"""What a config may get wrong in its claims."""

import pytest

from edits import GRID
from helpers import changed
from reactivation.study.load import ConfigError, load_study


def problems(**claims):
    experiment = {"experiments.widths.grid": GRID, "experiments.widths.training": {"epochs": 2, "batch_size": 8}}
    with pytest.raises(ConfigError) as error:
        load_study(changed(*experiment.items(), ("claims", claims)))
    return str(error.value)


def test_what_a_config_may_get_wrong():
    of = {"experiment": "widths"}
    text = problems(
        wider_is_lazier={"experiment": "nope"},
        velocity_spikes=of | {"where": {"width": 7, "shift": 1}},
        check_mark=of | {"drop": "deep"},
        repeats=of,
        new_classes_order=of,
        lazy_networks_reactivate=of | {"where": {"width": 2}},
        frequencies_barely_matter=of,
        velosity_spikes=of,
    )
    for line in (
        "claims.wider_is_lazier.experiment: there is no experiment 'nope'; this config has widths",
        "claims.velocity_spikes.where.width: 7 is not in the grid, which has [2, 4]",
        "claims.velocity_spikes.where.shift: is not an axis of widths, which has width, lr",
        "claims.check_mark.drop: Input should be a valid number",
        "claims.repeats.experiment: widths should have 3 tasks, but has 2",
        "claims.new_classes_order.experiment: widths should have 3 values of shift in its grid, or more",
        "claims.lazy_networks_reactivate.experiment: widths should have 2 values of width in its grid, or more",
        "claims.frequencies_barely_matter.beside: is missing",
        "claims.velosity_spikes: unknown key; did you mean velocity_spikes?",
    ):
        assert line in text


def test_numbers_of_switches_need_steps_that_fit_into_tasks():
    with pytest.raises(ConfigError, match=r"widths should train each task for a multiple of velocity_dt \(2\) epochs"):
        load_study(
            changed(
                ("experiments.widths.metrics", {"velocity_dt": [2]}),
                ("figures", {}),
                ("claims", {"velocity_spikes": {"experiment": "widths"}}),
            )
        )
