"""What `verify` has accepted: results that other code made and that are the same as what the code of that day made."""

from pathlib import Path
from typing import Any

from reactivation.storage.files import read_json, write_json

ACCEPTED = Path("results/.accepted.json")


def history() -> list[dict[str, Any]]:
    """Each acceptance, oldest first: when, what, from which code to which, and on what evidence."""
    return read_json(ACCEPTED)["accepted"] if ACCEPTED.exists() else []


def pending() -> bool:
    """Whether an acceptance was killed before it gave files their times back."""
    return ACCEPTED.exists() and any("pending" in entry for entry in history())


def keep(entries: list[dict[str, Any]]) -> None:
    """Write the file, or remove it if there is nothing to keep."""
    if entries:
        write_json(ACCEPTED, {"accepted": entries})
    else:
        ACCEPTED.unlink(missing_ok=True)
