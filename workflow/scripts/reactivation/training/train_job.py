"""The job of the rule `train`: one segment, from its files to its files."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from reactivation.errors import InputError, one_line
from reactivation.jobs.provenance import host, provenance, versions, without_folders
from reactivation.jobs.state import Saved, Writer
from reactivation.jobs.workplace import forget, workplace
from reactivation.seeds import stream
from reactivation.storage.arrays import read_arrays
from reactivation.storage.checkpoints import read_checkpoint
from reactivation.storage.datasets import read_class_count, read_digest
from reactivation.storage.files import archive_digest, atomic, publish, read_json, write_json
from reactivation.storage.receipts import described, difference, listed_files
from reactivation.storage.rows import EVALUATION, write_rows
from reactivation.training import networks
from reactivation.training.batches import part_images
from reactivation.training.device import allow_tf32, device_name, keep_freed_memory, set_up_device
from reactivation.training.linearized import function_of
from reactivation.training.loop import moment, train_segment
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
    images = part_images(device, inputs["dataset"], "train", indices[f"task{len(spec['tasks'])}_train"])
    test = part_images(device, inputs["dataset"], "test", indices["test"])
    model, start = initial(spec, images.image_size, inputs)
    layout: dict[str, Any] = {"memory_format": torch.channels_last}  # missing from torch's annotations
    model.to(device, **layout)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{len(images)} images, {parameters:,} parameters, on {device} with {threads} thread(s)")

    def save(model: torch.nn.Module, step: int, epoch: float) -> None:
        writer.checkpoint(checkpoints / f"step{step:08d}.pt", model, step, epoch, saved.files)

    # A state is saved after the checkpoints before it, so that a job that goes on from it finds them.
    with Writer() as writer, Saved(folder / "state.pt", where["save_every"], first=writer.flush) as saved:
        refuse_damaged(checkpoints, saved)
        remove_later(checkpoints, start[0] + saved.found["step"] if saved.found else -1)
        trained = train_segment(
            model, images, test, spec, start, save, saved, function_of(model, spec), where.get("first")
        )
    steps_per_epoch = -(-len(images) // spec["training"]["batch_size"])
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
    finish(folder, spec, code, saved, about, moment(start, steps_per_epoch, last - start[0]), inputs.get("parent"))


def initial(spec: "specs.Segment", image_size: int, inputs: Any) -> tuple[torch.nn.Module, tuple[int, float]]:
    """The network at the start of the segment, on the CPU; the steps and epochs before it."""
    torch.manual_seed(stream(spec["seed"], "init"))
    model = networks.build(spec["model"], image_size, read_class_count(inputs["dataset"]))
    if not inputs.get("parent"):
        return model, (0, 0.0)
    checkpoint = read_checkpoint(inputs["parent"])
    model.load_state_dict(checkpoint["model"])
    return model, (checkpoint["step"], checkpoint["epoch"])


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
    finish(folder, spec, code, Saved(folder / "state.pt", 0), about, last, parent)


def finish(
    folder: Path,
    spec: "specs.Segment",
    code: list[str],
    saved: Saved,
    about: dict[str, Any],
    last: tuple[int, float],
    parent: str | None,
) -> None:
    """Write the final weights, and last the record, which says that all outputs are there.

    `last`: step and epoch of the last checkpoint, or of the weights that training started from.
    """
    kept = sorted((folder / OUTPUTS["checkpoints"]).iterdir())
    final = kept[-1] if kept else parent
    assert final is not None, "a first task keeps the weights that it starts from"
    with atomic(folder / OUTPUTS["final"]) as temporary:
        shutil.copyfile(final, temporary)  # not a second name of the same file: damage of one would be that of both
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
