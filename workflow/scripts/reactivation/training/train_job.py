"""The job of the rule `train`: one segment, from its files to its files."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from reactivation.errors import InputError, one_line
from reactivation.jobs.provenance import host, provenance, versions, without_folders
from reactivation.jobs.state import Saved, Writer
from reactivation.jobs.workplace import forget, workplace
from reactivation.seeds import stream
from reactivation.storage.arrays import read_arrays
from reactivation.storage.checkpoints import on_cpu, read_checkpoint, write_tensors
from reactivation.storage.datasets import read_class_count, read_digest
from reactivation.storage.files import archive_digest, atomic, publish, read_json, write_json
from reactivation.storage.receipts import described, difference, listed_files
from reactivation.storage.rows import EVALUATION, write_rows
from reactivation.training import networks
from reactivation.training.batches import part_images, test_images
from reactivation.training.device import allow_tf32, device_name, keep_freed_memory, set_up_device
from reactivation.training.epoch import Epoch
from reactivation.training.linearized import function_of
from reactivation.training.loop import moment, train_segment
from reactivation.training.optimizer import new_optimizer
from reactivation.training.training_log import log_columns

if TYPE_CHECKING:
    from reactivation.data import specs

PACKAGES = ("torch", "numpy", "h5py")
OUTPUTS = {
    "checkpoints": "checkpoints",
    "final": "final.pt",
    "log": "training.csv",
    "evaluation": "evaluation.csv",
    "record": "segment.json",
}


def train_job(
    segment: str, spec: "specs.Segment", code: list[str], inputs: Any, outputs: Any, where: dict[str, Any], threads: int
) -> None:
    """Train the segment called `segment`, or take it from what a killed job left, and publish its files.

    `inputs`: paths `dataset` and `split`; after the first task also `parent` (final weights) and its `record`.
    `outputs`: paths of OUTPUTS. `where`: `device`, `save_every` and `record_host`, which do not determine any result.
    """
    before = None
    read = {"dataset": read_digest(inputs["dataset"]), "split": archive_digest(inputs["split"])}
    if parent := inputs.get("parent"):
        read["parent"], before = archive_digest(parent), read_json(inputs["record"])
        forget(Path(parent).parent.name, "train")  # Snakemake has recorded it as done
    with workplace(segment, "train", spec=spec, code=code, versions=versions(PACKAGES), inputs=read) as folder:
        (folder / OUTPUTS["checkpoints"]).mkdir(exist_ok=True)
        if trained_before(folder):
            print("trained before; Snakemake had no record of it")
        elif before and before["diverged"]:
            print(f"nothing to train: the run diverged in step {before['diverged']['step']}")
            inherit(folder, spec, code, parent, before)
        else:
            train(folder, spec, code, inputs, where, threads)
        (folder / "state.pt").unlink(missing_ok=True)
        for output, name in OUTPUTS.items():
            publish(folder / name, outputs[output])


def train(
    folder: Path, spec: "specs.Segment", code: list[str], inputs: Any, where: dict[str, Any], threads: int
) -> None:
    """Train, and write all outputs to `folder`, going on from what a killed job left there."""
    device = set_up_device(where["device"], threads)
    allow_tf32(True)
    keep_freed_memory()
    checkpoints, indices = folder / OUTPUTS["checkpoints"], read_arrays(inputs["split"])
    positions, of_epoch = training_images(spec, indices)
    images = part_images(device, inputs["dataset"], "train", positions)
    test = test_images(device, inputs["dataset"], indices)
    model, start, before = initial(spec, images.image_size, inputs)
    layout: dict[str, Any] = {"memory_format": torch.channels_last}  # missing from torch's annotations
    model.to(device, **layout)
    optimizer = new_optimizer(model, spec["model"], spec["training"])
    if before is not None:
        optimizer.load_state_dict(before)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{len(of_epoch)} images, {parameters:,} parameters, on {device} with {threads} thread(s)")

    def save(model: torch.nn.Module, step: int, epoch: float) -> None:
        writer.checkpoint(checkpoints / f"step{step:08d}.pt", model, step, epoch, saved.files)

    # A state is saved after the checkpoints before it, so that a job that goes on from it finds them.
    with Writer() as writer, Saved(folder / "state.pt", where["save_every"], first=writer.flush) as saved:
        refuse_damaged(checkpoints, saved)
        remove_later(checkpoints, start[0] + saved.found["step"] if saved.found else -1)
        function, first = function_of(model, spec), where.get("first")
        trained = train_segment(model, images, test, spec, start, save, saved, function, first, of_epoch, optimizer)
    steps_per_epoch = -(-len(of_epoch) // spec["training"]["batch_size"])
    diverged = None
    if trained.diverged is not None:
        step, epoch = moment(start, steps_per_epoch, trained.diverged)
        diverged = {"step": step, "epoch": epoch, "task": len(spec["tasks"])}
        print(f"diverged in step {step} of the run: lower lr (it is {spec['training']['lr']})")
    write_rows(folder / OUTPUTS["log"], trained.log, log_columns(len(spec["tasks"])))
    write_rows(folder / OUTPUTS["evaluation"], trained.evaluation, EVALUATION)
    kept = sorted(checkpoints.iterdir())
    last = max(map(step_of, kept), default=start[0])
    about = {**host(where), "device": device_name(device), "parameters": parameters, "diverged": diverged}
    write_final(folder, inputs.get("parent"), optimizer if kept_on(spec) and diverged is None else None)
    finish(folder, spec, code, saved, about, moment(start, steps_per_epoch, last - start[0]))


def training_images(spec: "specs.Segment", split: dict[str, np.ndarray]) -> tuple[np.ndarray, Epoch]:
    """Positions of the training images of a segment, and which of them an epoch takes."""
    *earlier, own = (split[f"task{k}_train"] for k in range(1, len(spec["tasks"]) + 1))
    if "replay_drawn" not in spec["tasks"][-1]:
        return own, Epoch(len(own))
    return np.concatenate([own, *earlier]), Epoch(len(own), tuple(map(len, earlier)), spec["tasks"][-1]["replay"])


def kept_on(spec: "specs.Segment") -> bool:
    """Whether the state of the optimizer goes on over the switch."""
    return spec["training"].get("optimizer_state") == "keep"


def initial(
    spec: "specs.Segment", image_size: int, inputs: Any
) -> tuple[torch.nn.Module, tuple[int, float], dict[str, Any] | None]:
    """The network at the start of the segment, on the CPU; the steps and epochs before it; its optimizer's state.

    The state is None if the optimizer is a new one. A linearised twin goes on with the state of its network's, as it
    does with its weights.
    """
    torch.manual_seed(stream(spec["seed"], "init"))
    model = networks.build(spec["model"], image_size, read_class_count(inputs["dataset"]))
    if not inputs.get("parent"):
        return model, (0, 0.0), None
    checkpoint = read_checkpoint(inputs["parent"])
    model.load_state_dict(checkpoint["model"])
    return model, (checkpoint["step"], checkpoint["epoch"]), checkpoint["optimizer"] if kept_on(spec) else None


def remove_later(checkpoints: Path, reached: int) -> None:
    """Remove checkpoints of later steps than `reached`: a GPU may not come to the same weights again."""
    for path in checkpoints.glob("*"):
        if not path.match("step*.pt") or step_of(path) > reached:
            path.unlink()


def refuse_damaged(checkpoints: Path, saved: Saved) -> None:
    """Start from the beginning unless all checkpoints that the saved state counts on are what was written."""
    for name, entry in saved.files.items() if saved.found else ():
        if words := difference(checkpoints / name, entry):
            print(f"{checkpoints / name} {words}: training from the beginning")
            saved.discard()
            return


def step_of(checkpoint: Path) -> int:
    """Optimizer steps of the run, from a checkpoint's file name."""
    return int(checkpoint.stem.removeprefix("step"))


def inherit(folder: Path, spec: "specs.Segment", code: list[str], parent: str, before: dict[str, Any]) -> None:
    """Write the outputs of a segment whose run diverged before: no checkpoints, no rows, the weights of the parent."""
    write_rows(folder / OUTPUTS["log"], [], log_columns(len(spec["tasks"])))
    write_rows(folder / OUTPUTS["evaluation"], [], EVALUATION)
    about: dict[str, Any] = {key: before[key] for key in ("host", "device", "parameters", "diverged") if key in before}
    last = (before["final_step"], before["final_epoch"])
    write_final(folder, parent, None)
    finish(folder, spec, code, Saved(folder / "state.pt", 0), about, last)


def write_final(folder: Path, parent: str | None, optimizer: torch.optim.Optimizer | None) -> None:
    """Write the final weights: the last checkpoint, or those that training started from if there is none.

    With `optimizer`, also its state, from which the next task goes on.
    """
    kept = sorted((folder / OUTPUTS["checkpoints"]).iterdir())
    final = kept[-1] if kept else parent
    assert final is not None, "a first task keeps the weights that it starts from"
    if optimizer is not None:
        write_tensors(folder / OUTPUTS["final"], read_checkpoint(final) | {"optimizer": on_cpu(optimizer.state_dict())})
        return
    with atomic(folder / OUTPUTS["final"]) as temporary:
        shutil.copyfile(final, temporary)  # not a second name of the same file: damage of one would be that of both


def finish(
    folder: Path, spec: "specs.Segment", code: list[str], saved: Saved, about: dict[str, Any], last: tuple[int, float]
) -> None:
    """Write the record, which says that all outputs are there.

    `last`: step and epoch of the last checkpoint, or of the weights that training started from.
    """
    kept = sorted((folder / OUTPUTS["checkpoints"]).iterdir())
    others = [OUTPUTS[output] for output in ("final", "log", "evaluation")]
    record = provenance(spec, code, saved.started, PACKAGES, saved.seconds())
    write_json(
        folder / OUTPUTS["record"],
        {
            **record,
            "config": without_folders(spec),  # as an object here, not as the text that an HDF5 attribute needs
            "sittings": saved.sittings,
            **about,
            "checkpoints": len(kept),
            "final_step": last[0],
            "final_epoch": last[1],
            "outputs": {name: described(folder / name) for name in others}
            | {f"{OUTPUTS['checkpoints']}/{path.name}": saved.files[path.name] for path in kept},
        },
    )


def trained_before(folder: Path) -> bool:
    """Whether `folder` has all outputs as they were written; if not, remove the record."""
    record = folder / OUTPUTS["record"]
    if not record.exists():
        return False
    try:
        wrong = [
            f"{name} {words}"
            for name, entry in listed_files(record).items()
            if (words := difference(folder / name, entry))
        ]
    except InputError as error:
        wrong = [one_line(error)]
    if wrong:
        print(f"trained before, but {wrong[0]}, so training again")
        record.unlink()
    return not wrong
