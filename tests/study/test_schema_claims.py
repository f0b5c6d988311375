"""What a config may get wrong in its claims."""

import pytest

from edits import GRID
from helpers import changed
from reactivation.planning.plan import make_plan
from reactivation.study.filled import filled
from reactivation.study.load import ConfigError, load_study


def problems(**claims):
    experiment = {"experiments.widths.grid": GRID, "experiments.widths.training": {"epochs": 2, "batch_size": 8}}
    with pytest.raises(ConfigError) as error:
        load_study(changed(*experiment.items(), ("claims", claims)))
    return str(error.value)


def test_thresholds_of_ratios_are_above_zero():
    text = problems(
        velocity_spikes={"experiment": "widths", "ratio": 0}, wider_is_lazier={"experiment": "widths", "fall": 1}
    )
    assert "claims.velocity_spikes.ratio: Input should be greater than 0" in text
    assert "claims.wider_is_lazier.fall: Input should be less than 1" in text


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


def test_what_a_claim_on_several_experiments_may_get_wrong():
    of = {"experiment": "widths"}
    text = problems(
        wider_is_lazier=[of, {"experiment": "nope"}, of | {"where": {"width": 7}}, of | {"fall": "deep"}, 3],
        velocity_spikes=[of, of | {"ratoi": 3}],
        check_mark=[of, of],
        repeats=[],
        drop_and_spike_coincide="widths",
    )
    for line in (
        "claims.wider_is_lazier.3.fall: Input should be a valid number",
        "claims.wider_is_lazier.4: should be a mapping of keys to values (it is 3)",
        "claims.velocity_spikes.1.ratoi: unknown key; did you mean ratio?",
        "claims.check_mark: has the same mapping twice: remove one",
        "claims.repeats: List should have at least 1 item after validation, not 0",
        "claims.drop_and_spike_coincide: should be a mapping of keys to values (it is 'widths')",
    ):
        assert line in text
    text = problems(wider_is_lazier=[of, {"experiment": "nope"}, of | {"where": {"width": 7}}])
    assert "claims.wider_is_lazier.1.experiment: there is no experiment 'nope'; this config has widths" in text
    assert "claims.wider_is_lazier.2.where.width: 7 is not in the grid, which has [2, 4]" in text


@pytest.mark.parametrize("key", ["kernel", "kernel_beside"])
def test_kernels_that_are_asked_for_must_be_computed(key):
    edits = [
        ("experiments.widths.kernels", ["sum"]),
        ("claims", {key: "trace", "velocity_spikes": {"experiment": "widths"}}),
    ]
    with pytest.raises(ConfigError) as error:
        load_study(changed(*edits))
    assert str(error.value).splitlines()[1:] == [
        f"  claims.velocity_spikes.experiment: widths should compute the kernel trace, which claims.{key} asks for"
    ]


def test_one_mapping_and_a_list_of_it_are_the_same_claim():
    one, several = ({"velocity_spikes": of} for of in ({"experiment": "widths"}, [{"experiment": "widths"}]))
    study, again = (load_study(changed(("claims", claims))) for claims in (one, several))
    assert make_plan(study).claims == make_plan(again).claims
    for written in (study, again):
        assert load_study(filled(written)).model_dump() == written.model_dump()


def test_numbers_of_switches_need_steps_that_fit_into_tasks():
    with pytest.raises(ConfigError, match=r"widths should train each task for a multiple of velocity_dt \(2\) epochs"):
        load_study(
            changed(
                ("experiments.widths.metrics", {"velocity_dt": [2]}),
                ("figures", {}),
                ("claims", {"velocity_spikes": {"experiment": "widths"}}),
            )
        )
