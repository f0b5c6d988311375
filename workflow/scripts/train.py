"""Train one segment; keep its checkpoints, its log and where it came from."""

from reactivation.job import logged

# isort: split
from pathlib import Path

import torch
from reactivation import files, models, storage
from reactivation.errors import InputError
from reactivation.expansion import function_of
from reactivation.provenance import provenance, versions
from reactivation.seeds import stream
from reactivation.state import Saved, Writer, forget, workplace
from reactivation.training import (
    Images,
    allow_tf32,
    device_name,
    keep_freed_memory,
    log_columns,
    set_up_device,
    train_segment,
)

PACKAGES = ("torch", "numpy", "h5py")
WHERE, SPEC, INPUT = snakemake.config["where"], snakemake.params.spec, snakemake.input
OUTPUTS = {
    "checkpoints": "checkpoints",
    "final": "final.pt",
    "log": "training.csv",
    "evaluation": "evaluation.csv",
    "record": "segment.json",
}


def train(folder: Path) -> None:
    """Leave all outputs in `folder`, going on from what a killed job left there."""
    device = set_up_device(WHERE["device"], snakemake.threads)
    allow_tf32(True)
    keep_freed_memory()
    task, checkpoints = len(SPEC["tasks"]), folder / OUTPUTS["checkpoints"]
    split = storage.read_arrays(INPUT.split)
    mean, std, classes = storage.read_normalisation(INPUT.dataset)
    data = {
        part: Images.on(device, *storage.read_images(INPUT.dataset, part, split[key]), mean, std)
        for part, key in (("train", f"task{task}_train"), ("test", "test"))
    }
    torch.manual_seed(stream(SPEC["seed"], "init"))
    model = models.build(SPEC["model"], data["train"].pixels.shape[1], classes)
    start = (0, 0.0)
    if INPUT.get("parent"):
        checkpoint = storage.read_checkpoint(INPUT.parent)
        model.load_state_dict(checkpoint["model"])
        start = (checkpoint["step"], checkpoint["epoch"])
    model.to(device, memory_format=torch.channels_last)
    function = function_of(model, SPEC)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{len(data['train'])} images, {parameters:,} parameters, on {device} with {snakemake.threads} thread(s)")

    def save(model, step, epoch):
        writer.checkpoint(checkpoints / f"step{step:08d}.pt", model, step, epoch)

    # A state is saved after the checkpoints before it: whoever goes on from it finds them.
    with Writer() as writer, Saved(folder / "state.pt", WHERE["save_every"], first=writer.flush) as saved:
        reached = start[0] + saved.found["step"] if saved.found else -1
        for path in checkpoints.glob("*"):  # a GPU need not come to the same weights again
            if not path.match("step*.pt") or int(path.stem.removeprefix("step")) > reached:
                path.unlink()
        trained = train_segment(model, data["train"], data["test"], SPEC, start, save, saved, function)
    per_epoch = -(-len(data["train"]) // SPEC["training"]["batch_size"])

    def at(step: int) -> tuple[int, float]:
        """Steps and epochs of the run, after `step` steps of this segment."""
        return start[0] + step, start[1] + step / per_epoch

    diverged = None
    if trained.diverged is not None:
        diverged = dict(zip(("step", "epoch"), at(trained.diverged), strict=True)) | {"task": task}
        print(f"diverged in step {diverged['step']} of the run: lower lr (it is {SPEC['training']['lr']})")
    about = {"device": device_name(device), "parameters": parameters, "diverged": diverged}
    last = max((int(path.stem.removeprefix("step")) for path in checkpoints.iterdir()), default=start[0])
    finish(folder, trained.log, trained.evaluation, saved, about, at(last - start[0]))


def finish(
    folder: Path, log: list[dict], evaluation: list[dict], saved: Saved, about: dict, last: tuple[int, float]
) -> None:
    """The outputs but for checkpoints; the record, which says that all are there, last.

    `last`: step and epoch of the last checkpoint, or of the weights that training started from.
    """
    kept = sorted((folder / OUTPUTS["checkpoints"]).iterdir())
    files.publish(kept[-1] if kept else INPUT.parent, folder / OUTPUTS["final"])
    storage.write_rows(folder / OUTPUTS["log"], log, log_columns(len(SPEC["tasks"])))
    storage.write_rows(folder / OUTPUTS["evaluation"], evaluation, storage.EVALUATION)
    record = provenance(SPEC, snakemake.params.code, saved.started, PACKAGES, saved.seconds())
    storage.write_json(
        folder / OUTPUTS["record"],
        {
            **record,
            "config": SPEC,  # as an object here, not as the text that an HDF5 attribute needs
            "sittings": saved.sittings,
            **about,
            "checkpoints": len(kept),
            "final_step": last[0],
            "final_epoch": last[1],
        },
    )


def trained_before(folder: Path) -> bool:
    """Whether `folder` has all outputs, undamaged; the record goes where they are not."""
    record = folder / OUTPUTS["record"]
    if not record.exists():
        return False
    try:
        for path in folder.rglob("*.pt"):
            storage.read_checkpoint(path)
    except InputError as error:
        print(f"trained before, but damaged since, so trained again: {error}")
        record.unlink()
        return False
    return True


with logged(snakemake.log[0]):
    inputs = {"dataset": storage.read_digest(INPUT.dataset), "split": files.archive_digest(INPUT.split)}
    if INPUT.get("parent"):
        inputs["parent"] = files.archive_digest(INPUT.parent)
        forget(Path(INPUT.parent).parent.name, "train")  # Snakemake has taken note of it
    identity = {"spec": SPEC, "code": snakemake.params.code, "versions": versions(PACKAGES), "inputs": inputs}
    with workplace(snakemake.wildcards.segment, "train", **identity) as place:
        (place / OUTPUTS["checkpoints"]).mkdir(exist_ok=True)
        before = storage.read_json(INPUT.record) if INPUT.get("parent") else None
        if trained_before(place):
            print("trained before; Snakemake had not taken note of it")
        elif before and before["diverged"]:
            print(f"nothing to train: the run diverged in step {before['diverged']['step']}")
            about = {key: before[key] for key in ("device", "parameters", "diverged")}
            finish(place, [], [], Saved(place / "state.pt", 0), about, (before["final_step"], before["final_epoch"]))
        else:
            train(place)
        (place / "state.pt").unlink(missing_ok=True)
        for output, name in OUTPUTS.items():
            files.publish(place / name, snakemake.output[output])
