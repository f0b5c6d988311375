"""The config with every default in its place."""

import pytest
import yaml

from helpers import REPOSITORY, changed
from reactivation.planning.plan import make_plan
from reactivation.study.filled import filled
from reactivation.study.load import load_study


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("config/*.yaml")), ids=lambda path: path.stem)
def test_the_resolved_config_of_every_study_loads_to_that_very_study(path):
    if path.stem == "schema":
        return
    study = load_study(yaml.safe_load(path.read_text()))
    again = load_study(yaml.safe_load(yaml.safe_dump(filled(study), sort_keys=False)))
    assert again.model_dump() == study.model_dump() and make_plan(again) == make_plan(study)


def test_defaults_are_filled_in_only_where_every_network_of_a_grid_has_the_key():
    config = changed(
        ("figures", {}),
        ("experiments.widths.grid", {"name": ["mlp", "cnn"], "width": [2]}),
        ("experiments.widths.model", {}),
    )
    study = load_study(config)
    written = filled(study)["experiments"]["widths"]
    assert written["model"] == {"parametrization": "pytorch", "base_width": 64}
    assert written["training"]["precision"] == "float32"
    assert make_plan(load_study(filled(study))) == make_plan(study)
