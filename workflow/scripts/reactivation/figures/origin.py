"""The provenance of a figure: a record next to its files, and the same inside the PNG and the PDF."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any


def excerpt(config: dict[str, Any], figure: str) -> dict[str, Any]:
    """The part of a user's config that draws one figure, with the figures that it is drawn `beside`."""
    figures: dict[str, Any] = {}
    name: str | None = figure
    while name is not None and name not in figures:
        figures[name] = config["figures"][name]
        name = figures[name].get("beside")
    shown = [{"experiment": entry.get("experiment")} | panel for entry in figures.values() for panel in entry["panels"]]
    experiments = {name: config["experiments"][name] for name in dict.fromkeys(panel["experiment"] for panel in shown)}
    # Experiments of kernels from files have no data set.
    names = dict.fromkeys(of["dataset"] for of in experiments.values() if "dataset" in of)
    return {
        "study": config["study"],
        "seeds": config["seeds"],
        "datasets": {name: config["datasets"][name] for name in names},
        "experiments": experiments,
        "figures": figures,
    }


def metadata(path: str | Path, title: str, origin: dict[str, str]) -> dict[str, Any]:
    """`origin` (what `provenance` returns, and more) as matplotlib writes it into the file.

    A PNG has one text for each entry. A PDF has standard keys only, so its keywords are all entries as JSON.
    """
    if Path(path).suffix == ".png":
        return {"Title": title, **origin}
    return {"Title": title, "Keywords": json.dumps(origin), "CreationDate": datetime.fromisoformat(origin["started"])}
