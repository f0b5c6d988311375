"""Train one segment; keep its checkpoints, its log and where it came from."""

from reactivation.job import logged

# isort: split
import time
from pathlib import Path

import torch
from reactivation import models, storage
from reactivation.provenance import provenance
from reactivation.seeds import stream
from reactivation.training import Images, device_name, set_up_device, train_segment

with logged(snakemake.log[0]):
    started = time.time()
    spec, output = snakemake.params.spec, snakemake.output
    device = set_up_device(snakemake.config["where"]["device"], snakemake.threads)
    split = storage.read_arrays(snakemake.input.split)
    mean, std, classes = storage.read_normalisation(snakemake.input.dataset)
    data = {
        part: Images.on(device, *storage.read_images(snakemake.input.dataset, part, split[key]), mean, std)
        for part, key in (("train", f"task{len(spec['tasks'])}_train"), ("test", "test"))
    }
    torch.manual_seed(stream(spec["seed"], "init"))
    model = models.build(spec["model"], data["train"].pixels.shape[1], classes)
    start = (0, 0.0)
    if parent := snakemake.input.get("parent"):
        checkpoint = storage.read_checkpoint(parent)
        model.load_state_dict(checkpoint["model"])
        start = (checkpoint["step"], checkpoint["epoch"])
    model.to(device, memory_format=torch.channels_last)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{len(data['train'])} images, {parameters:,} parameters, on {device} with {snakemake.threads} thread(s)")

    folder = Path(output.checkpoints)
    folder.mkdir(parents=True, exist_ok=True)
    kept: list[Path] = []

    def save(model, step, epoch):
        kept.append(folder / f"step{step:08d}.pt")
        storage.write_checkpoint(kept[-1], model, step, epoch)

    log, evaluation = train_segment(model, data["train"], data["test"], spec, start, save)
    storage.link(kept[-1], output.final)
    storage.write_rows(output.log, log)
    storage.write_rows(output.evaluation, evaluation)
    storage.write_json(
        output.record,
        {
            **provenance(spec, snakemake.params.code, started, ("torch", "numpy", "h5py")),
            "config": spec,  # as an object here, not as the text that an HDF5 attribute needs
            "device": device_name(device),
            "parameters": parameters,
            "checkpoints": len(kept),
            "final_step": log[-1]["step"],
            "final_epoch": log[-1]["epoch"],
        },
    )
