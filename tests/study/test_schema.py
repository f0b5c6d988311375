"""The schema for editors."""

import re

import yaml

from helpers import REPOSITORY
from reactivation.study.schema import schema_text


def test_the_schema_for_editors_is_current():
    assert (REPOSITORY / "config/schema.yaml").read_text() == schema_text(), "run `make schema`"


def test_the_schema_for_editors_has_the_bounds_of_every_number():
    """pydantic writes a bound as `ge`, which no editor knows, if a validator stands between it and the type."""
    assert not re.findall(r"^ *(?:- )?(?:ge|gt|le|lt):.*", schema_text(), re.M)


def test_every_key_is_described():
    def check(schema, path):
        for key, field in schema.get("properties", {}).items():
            described = {"description", "const", "$ref"} & field.keys()
            assert described, f"{path}.{key} has no description"
        for name, definition in schema.get("$defs", {}).items():
            check(definition, name)

    check(yaml.safe_load(schema_text()), "Study")
