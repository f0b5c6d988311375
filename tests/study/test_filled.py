"""The config with every default in its place."""

import pytest
import yaml

from helpers import REPOSITORY, changed
from reactivation.planning.plan import make_plan
from reactivation.study.filled import filled, published
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


def test_what_is_published_names_no_folder_of_a_user_and_is_the_same_study():
    cifar = {"source": "torchvision", "name": "CIFAR10", "root": "~/cifar"}
    config = changed(("data_root", "/home/secretuser/data"), ("datasets.cifar", cifar))
    config["experiments"]["other"] = changed()["experiments"]["widths"] | {"dataset": "cifar"}
    study = load_study(config)
    written = published(study)
    assert "secretuser" not in str(written) and "~" not in str(written)
    assert make_plan(load_study(written)) == make_plan(study)
    relative = load_study(changed(("data_root", "elsewhere")))
    assert published(relative) == filled(relative)


def test_an_image_folders_absolute_root_stays_as_it_is_part_of_what_the_study_is():
    folder = {"source": "image_folder", "root": "/data/letters", "image_size": 8, "classes": 4}
    study = load_study(changed(("datasets.glyphs", folder)))
    assert make_plan(load_study(published(study))) == make_plan(study)
