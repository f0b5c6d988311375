"""The columns of a segment's table within.csv. They are not in rows.py, because trainings depend on that file."""

from reactivation.storage.rows import Columns

WITHIN: Columns = {
    "step": int,
    "epoch": float,
    "task": int,
    "class": int,
    "images": int,
    "accuracy_within_task": float,
}
