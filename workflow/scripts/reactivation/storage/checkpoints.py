"""Weights and other tensors, in torch's archives: checkpoints, and the state of a training in progress."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

from reactivation.errors import one_line
from reactivation.storage.files import atomic, check, reading


def write_checkpoint(path: str | Path, weights: dict[str, Any], step: int, epoch: float) -> None:
    """Write the state dict `weights`, with its `step` and `epoch`, both counted from the run's initialisation."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_tensors(path, {"step": step, "epoch": epoch, "model": state})


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """`step`, `epoch` and `model` (a state dict) of a checkpoint; `optimizer`, its state, if the next task needs it."""
    import torch

    with reading(path, "not a readable checkpoint", "delete its segment's folder and run again"):
        checkpoint = read_tensors(path)
        finite = all(torch.isfinite(tensor).all() for tensor in checkpoint["model"].values())
        check(finite and {"step", "epoch"} <= checkpoint.keys(), "it should have finite weights, step and epoch")
        return checkpoint


def on_cpu(content: Any) -> Any:
    """A copy of nested dicts and lists whose tensors are on the CPU."""
    if isinstance(content, dict):
        return {key: on_cpu(value) for key, value in content.items()}
    if isinstance(content, list):
        return [on_cpu(value) for value in content]
    return content.detach().cpu() if hasattr(content, "detach") else content


def write_tensors(path: str | Path, content: dict[str, Any]) -> None:
    """Write tensors, numbers and text, in lists and dicts."""
    import torch

    with atomic(path) as temporary, temporary.open("wb") as file:
        # A file object, not a path: torch writes a path's name into the archive, and the temporary one is random.
        torch.save(content, file)


def read_tensors(path: str | Path) -> dict[str, Any]:
    """What `write_tensors` wrote, on the CPU. Nothing but tensors, numbers and text is read: no code is run."""
    import torch

    with zipfile.ZipFile(path) as archive:
        check(archive.testzip() is None, "its checksums are wrong")  # torch does not check them
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(one_line(error).split(". ")[0]) from error  # what follows is torch's advice on untrusted files


def read_state(path: str | Path) -> dict[str, Any]:
    """The state that a job saved with `write_tensors`."""
    with reading(path, remedy="delete it and run again: this job then starts from its beginning"):
        return read_tensors(path)
