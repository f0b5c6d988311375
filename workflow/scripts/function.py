"""Measure how far a linearised twin and its network are apart at every checkpoint."""

from reactivation.job import logged

# isort: split
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reactivation import models, storage
from reactivation.expansion import function_rows
from reactivation.training import Images, set_up_device

INPUT, SPEC = snakemake.input, snakemake.params.spec


def checkpoints(names: list[str]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The network's and the twin's of each step."""
    for i, name in enumerate(names, start=1):
        network, twin = (storage.read_checkpoint(Path(folder) / name) for folder in (INPUT.network, INPUT.twin))
        print(f"checkpoint {i}/{len(names)}  epoch {network['epoch']:.3f}", flush=True)
        yield network, twin


with logged(snakemake.log[0]):
    device = set_up_device(snakemake.config["where"]["device"], snakemake.threads)
    mean, std, classes = storage.read_normalisation(INPUT.dataset)
    indices = storage.read_arrays(INPUT.split)["test"]
    images = {
        "test": storage.read_images(INPUT.dataset, "test", indices),
        "probe": storage.read_probe_images(INPUT.dataset, storage.read_arrays(INPUT.probe)),
    }
    parts = {part: Images.on(device, *of_part, mean, std) for part, of_part in images.items()}
    model = models.build(SPEC["model"], parts["test"].pixels.shape[1], classes).to(device)
    start = INPUT.get("start") or Path(INPUT.network) / "step00000000.pt"
    weights = storage.read_checkpoint(start)["model"]
    # Of a training that diverged there are fewer.
    steps = sorted(
        path.name for path in Path(INPUT.twin).glob("step*.pt") if (Path(INPUT.network) / path.name).exists()
    )
    rows = function_rows(model, weights, checkpoints(steps), parts)
    storage.write_rows(snakemake.output[0], rows, storage.FUNCTION)
