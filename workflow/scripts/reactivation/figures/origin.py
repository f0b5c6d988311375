"""What a figure's files say of where they come from: a record beside them, and the same inside the PNG and the PDF."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any


def excerpt(config: dict[str, Any], figure: str) -> dict[str, Any]:
    """What a config, as its user wrote it, says of one figure: a config that draws this figure, and those it is drawn beside."""
    figures: dict[str, Any] = {}
    name: str | None = figure
    while name is not None and name not in figures:
        figures[name] = config["figures"][name]
        name = figures[name].get("beside")
    shown = [{"experiment": entry.get("experiment")} | panel for entry in figures.values() for panel in entry["panels"]]
    experiments = {name: config["experiments"][name] for name in dict.fromkeys(panel["experiment"] for panel in shown)}
    names = dict.fromkeys(of["dataset"] for of in experiments.values() if "dataset" in of)  # but for kernels from files
    return {
        "study": config["study"],
        "seeds": config["seeds"],
        "datasets": {name: config["datasets"][name] for name in names},
        "experiments": experiments,
        "figures": figures,
    }


def metadata(path: str | Path, title: str, origin: dict[str, str]) -> dict[str, Any]:
    """`origin` (what `provenance` returns, and more) as matplotlib writes it into the file: one text for each in a PNG.

    A PDF has standard keys only: all of it are its keywords, as JSON.
    """
    if Path(path).suffix == ".png":
        return {"Title": title, **origin}
    return {"Title": title, "Keywords": json.dumps(origin), "CreationDate": datetime.fromisoformat(origin["started"])}
