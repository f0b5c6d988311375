"""The text of config/README.md: every key of a study in tables, from the models of schema.py.

It is for readers, and for Snakemake's workflow catalog.
"""

import json
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from reactivation.study.schema import Study
from reactivation.study.schema_experiments import SECTIONS
from reactivation.study.values import name_of

INTRO = """\
<!-- Written by `make schema` from workflow/scripts/reactivation/study/ and the comments in config/*.yaml. -->
# Configuration

A study is one YAML file: data sets, experiments on them, and figures of these. Its results are in `results/<study>/`.
`snakemake --cores all` runs the study in [`config.yaml`](config.yaml). `--configfile` chooses another: your own, or one
of these:

{studies}

```sh
# the target comes first: --configfile takes every word after it
snakemake --cores all fig5 --configfile config/paper.yaml
# other values of single keys
snakemake --cores all --config data_root=/path/to/folder "seeds=[0]"
```

A study can be as short as this:

```yaml
# yaml-language-server: $schema=schema.yaml
study: example
seeds: [0, 1]
datasets: {{letters: {{source: glyphs}}}}
experiments:
  widths:
    dataset: letters
    scenario: {{kind: class_split, tasks: 2, classes_per_task: 5}}
    model: {{name: cnn}}
    training: {{lr: 0.05, epochs: 5}}
    grid: {{width: [16, 32]}}
figures:
  norms: {{experiment: widths, color: width, panels: [{{metric: spectral_norm}}]}}
```

The first line is for editors that know YAML schemas: they check the file as you type.

Below, `<name>` stands for a name of your choice and `<i>` for a position in a list. A key without a default is
**required**; those of {sections} may be given by the experiment's `grid` instead. Where the
default is –, the meaning says what happens without the key.
"""
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def readme_text() -> str:
    """The text of config/README.md, which also lists the studies in config/."""
    configs = Path(__file__).parents[4].glob("config/*.yaml")
    studies = [f"* [`{path.name}`]({path.name}): {_about(path)}" for path in sorted(configs) if path.stem != "schema"]
    intro = INTRO.format(studies="\n".join(studies), sections=", ".join(f"`{name}`" for name in SECTIONS))
    schema = Study.model_json_schema()
    return "\n".join([intro.rstrip(), *_section("", schema, schema["$defs"]), ""])


def _about(config: Path) -> str:
    """The first sentence of the comment at the top of a config."""
    _, *lines = config.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.removeprefix("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
    return re.split(r"(?<=\.) +(?=[A-Z])", comment)[0]


def _section(path: str, field: dict, defs: dict) -> Iterator[str]:
    """The section on the mapping at `path`: a heading, tables of keys (one per form), and the sections below it."""
    path, forms, choice = _forms(path, field, defs)
    if not forms:
        return
    keys = forms[0]["properties"].items()
    common = dict(keys)
    if choice:
        common = {key: value for key, value in keys if all(form["properties"].get(key) == value for form in forms)}
    parts = [common]
    yield f"\n## `{path[1:]}`\n" if path else "\n## The study\n"
    if choice:
        names = ", ".join(f"`{form['properties'][choice]['const']}`" for form in forms)
        yield f"`{choice}` is one of {names}.{' Whichever it is:' if common else ''}"
    else:
        yield forms[0]["description"]
    yield from _table(path, common, defs)
    for form in forms if choice else forms[1:]:
        new = {k: v for k, v in form["properties"].items() if k != choice and common.get(k) != v}
        title = f"`{choice}: {form['properties'][choice]['const']}`" if choice else form["title"]
        yield f"\n### {title}\n\n{form['description']}"
        yield from _table(path, new if choice else form["properties"], defs)
        parts.append(new)
    for key, value in (item for part in parts for item in part.items()):
        yield from _section(f"{path}.{key}", value, defs)


def _forms(path: str, field: dict, defs: dict) -> tuple[str, list[dict], str | None]:
    """The path of the mapping in a field, its forms (none if there is no mapping), and the key that names the form."""
    for value in field.get("patternProperties", {}).values():
        return _forms(f"{path}.<name>", value, defs)
    if "items" in field:
        return _forms(f"{path}.<i>", field["items"], defs)
    named = [option["$ref"].rsplit("/", 1)[1] for option in _options(field) if "$ref" in option]
    forms = [field] if "properties" in field else [defs[name] for name in named]
    return path, forms, field.get("discriminator", {}).get("propertyName")


def _options(field: dict) -> list[dict]:
    """What a field may be instead of null: one thing, or one of several."""
    several = field.get("oneOf", field.get("anyOf"))
    if several is None:
        return [] if field.get("type") == "null" else [field]
    return [option for part in several for option in _options(part)]


def _table(path: str, fields: dict, defs: dict) -> Iterator[str]:
    if fields:
        yield "\n| key | value | default | meaning |\n| --- | --- | --- | --- |"
    for key, field in fields.items():
        at, forms, _ = _forms(f"{path}.{key}", field, defs)
        value = _allowed(field)
        if forms:  # the anchor is as GitHub makes it from the heading
            value = value.replace("mapping", f"[mapping](#{re.sub(r'[^a-z0-9_]', '', at)})")
        meaning = field["description"] if "description" in field else forms[0]["description"]
        cells = (f"`{key}`", value, _default(field), " ".join(meaning.split()))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: dict) -> str:
    value = field.get("default", "**required**")
    if value is None or "default" not in field:
        return value or "–"
    if value and isinstance(value, dict):
        return "see there"
    return f"`{value}`" if value and isinstance(value, str) else f"`{json.dumps(value)}`"


def _allowed(field: dict) -> str:
    """What a value may be, in words."""
    if (options := _options(field)) != [field]:
        return " or ".join(dict.fromkeys(map(_allowed, options)))
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    match field.get("type"):
        case "array":
            length = f" of {field.get('minItems', 0)} to {field['maxItems']}" if "maxItems" in field else ""
            return f"list{length}, each: {_allowed(field['items'])}"
        case "string":
            return name_of(field["pattern"]) if "pattern" in field else "text"
        case "boolean":
            return "`true` or `false`"
        case "integer" | "number" as kind:
            limits = " and ".join(f"{sign} {field[bound]}" for bound, sign in BOUNDS.items() if bound in field)
            return f"{'whole ' if kind == 'integer' else ''}number {limits}".strip()
    keys = [name_of(pattern) for pattern in field.get("patternProperties", {})]
    return "mapping" + "".join(f", each key: {key}" for key in keys)


if __name__ == "__main__":
    print(readme_text(), end="")
