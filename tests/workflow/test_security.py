"""What comes from files and configs is data: none of it is run."""

import re

import pytest
import yaml

from helpers import REPOSITORY, TINY, changed, copy_repository, snakemake
from reactivation.study.load import ConfigError, load_study

EVIL = [
    "$(touch ran)",
    "`touch ran`",
    "a; touch ran",
    "a && touch ran",
    "../out",
    "a b",
    "-rf",
    "a'b",
    'a"b',
    "a\nb",
    "{a}",
]


def refused(folder, *arguments, config=None):
    run = snakemake(folder, "--cores", "1", *arguments, config=config)
    assert run.returncode != 0 and "Traceback" not in run.stdout
    return run.stdout


def test_a_config_is_read_as_data(tmp_path):
    folder = copy_repository(tmp_path / "clone")
    text = yaml.safe_dump(TINY).replace(
        "study: tiny", f'study: !!python/object/apply:os.system ["touch {tmp_path}/ran"]'
    )
    (folder / "evil.yaml").write_text(text)
    out = refused(folder, "--configfile", "evil.yaml")
    assert "Config file is not valid JSON or YAML" in out
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("where", ["study", "dataset", "experiment", "figure"])
def test_names_that_would_mean_something_to_a_shell_are_refused(where):
    for name in EVIL:
        edit = {
            "study": ("study", name),
            "dataset": ("datasets", {name: TINY["datasets"]["glyphs"]}),
            "experiment": ("experiments", {name: TINY["experiments"]["widths"]}),
            "figure": ("figures", {name: TINY["figures"]["fig4"]}),
        }[where]
        config = changed(edit)
        if where == "dataset":
            config["experiments"]["widths"]["dataset"] = name
        if where == "experiment":
            config["figures"]["fig4"]["experiment"] = name
        with pytest.raises(ConfigError, match="should be a name of letters, digits"):
            load_study(config)


def test_values_reach_no_shell(tmp_path):
    """Paths of images may have any characters; the workflow refuses such names before anything runs."""
    folder = copy_repository(tmp_path / "clone")
    entry = {"source": "image_folder", "root": "$(touch ran); `touch ran`", "image_size": 8, "classes": 4}
    config = changed(("datasets.glyphs", entry), ("data_root", "$(touch ran)"))
    assert "error: there is no $(touch ran)/$(touch ran); `touch ran`: put the image folder" in refused(
        folder, config=config
    )
    assert "study: should be a name of letters, digits" in refused(folder, config=changed(("study", "$(touch ran)")))
    assert not list(folder.rglob("ran"))


def test_no_rule_runs_a_shell():
    rules = [REPOSITORY / "Snakefile", *(REPOSITORY / "workflow/rules").glob("*.smk")]
    for path in rules:
        assert not re.search(r"^\s*(shell|run|wrapper|notebook)\s*:", path.read_text(), re.MULTILINE), path
    for path in (REPOSITORY / "workflow/scripts").rglob("*.py"):
        text = path.read_text()
        assert not re.search(
            r"os\.system|shell\s*=\s*True|(?<!\.)\b(eval|exec)\(|yaml\.(load|unsafe_load)\(|pickle\.load", text
        ), path
        assert all("weights_only=True" in line for line in text.splitlines() if "torch.load(" in line), path
