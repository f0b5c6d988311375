"""The description of all keys."""

import re

import yaml

from helpers import REPOSITORY
from reactivation.study.handbook import readme_text
from reactivation.study.load import load_study
from reactivation.study.schema import schema_text


def test_the_description_of_all_keys_is_current():
    assert (REPOSITORY / "config/README.md").read_text() == readme_text(), "run `make schema`"


def test_every_key_is_in_the_description():
    """The example in it is valid, and no form of a section has lost a key."""
    text = (REPOSITORY / "config/README.md").read_text()
    load_study(yaml.safe_load(text.split("```yaml\n")[1].split("```")[0]))
    rows = set(re.findall(r"^\| `(\w+)` \|", text, re.M))
    definitions = yaml.safe_load(schema_text())
    for name, form in [*definitions["$defs"].items(), ("Study", definitions)]:
        keys = {key for key, field in form["properties"].items() if "const" not in field}
        assert keys <= rows, name
    assert not re.search(r"anyOf|\$ref|Annotated|None", text)
