"""The tiny study with a figure of untrained networks."""

from helpers import changed

PANEL = {"kind": "convergence", "widths": [2, 4, 8], "initialisations": 3}


def study(*panels, **keys):
    """The tiny study with one figure of these panels."""
    return changed(("figures", {"wide": {"experiment": "widths", "panels": list(panels)} | keys}))
