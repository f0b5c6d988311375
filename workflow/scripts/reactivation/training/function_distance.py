"""The job of the rule `function`: how far a network and its linearised twin are apart, checkpoint by checkpoint."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reactivation.data.images import Images
from reactivation.jobs.schedule import EVALUATION_BATCH
from reactivation.storage.arrays import read_arrays
from reactivation.storage.checkpoints import read_checkpoint
from reactivation.storage.datasets import read_class_count
from reactivation.storage.receipts import checkpoint_paths
from reactivation.storage.rows import FUNCTION, write_rows
from reactivation.training import networks
from reactivation.training.batches import probe_images, test_images
from reactivation.training.device import set_up_device
from reactivation.training.evaluation import Function
from reactivation.training.linearized import linearized

if TYPE_CHECKING:
    from reactivation.data import specs


def function_job(spec: "specs.Segment", inputs: Any, output: str, where: dict[str, Any], threads: int) -> None:
    """Write the table FUNCTION of a twin, whose segment's spec is `spec`, to the file `output`.

    `inputs`: paths `dataset`, `split` and `probe`; `twin` and `network`, their folders of checkpoints; `start`, the
    weights from which both started, unless these are the network's first checkpoint. `where`: `device` and, where
    `verify` makes a table again, `first`, the number of checkpoints.
    """
    chosen = set_up_device(where["device"], threads)
    parts = {
        "test": test_images(chosen, inputs["dataset"], read_arrays(inputs["split"])),
        "probe": probe_images(chosen, inputs["dataset"], read_arrays(inputs["probe"])),
    }
    classes = read_class_count(inputs["dataset"])
    model = networks.build(spec["model"], parts["test"].image_size, classes).to(chosen)
    weights = read_checkpoint(inputs.get("start") or Path(inputs["network"], "step00000000.pt"))["model"]
    pairs = checkpoints(Path(inputs["network"]), Path(inputs["twin"]), where.get("first"))
    write_rows(output, function_rows(model, weights, pairs, parts), FUNCTION)


def checkpoints(network: Path, twin: Path, first: int | None = None) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the network's and the twin's checkpoint of each step that both have: one that diverged has fewer.

    With `first`, only those of the first steps.
    """
    of_network = {path.name for path in checkpoint_paths(network)}
    names = [path.name for path in checkpoint_paths(twin) if path.name in of_network][:first]
    for i, name in enumerate(names, start=1):
        pair = read_checkpoint(network / name), read_checkpoint(twin / name)
        print(f"checkpoint {i}/{len(names)}  epoch {pair[0]['epoch']:.3f}", flush=True)
        yield pair


@torch.no_grad()
def logits(function: Function, images: Images) -> Tensor:
    """Logits of all images, (n, classes) float32."""
    batches = (slice(start, start + EVALUATION_BATCH) for start in range(0, len(images), EVALUATION_BATCH))
    return torch.cat([function(images.batch(batch)[0]).float() for batch in batches])


def function_rows(
    model: nn.Module,
    start: dict[str, Tensor],
    checkpoints: Iterable[tuple[dict[str, Any], dict[str, Any]]],
    parts: dict[str, Images],
) -> list[dict[str, Any]]:
    """How far a network and its expansion around the weights `start` are apart, on each part's images, class by class.

    `checkpoints`: pairs of the network's and its twin's checkpoint of the same step. One row per checkpoint, part and
    class: `images`, their number; `distance`, the mean of (f − f_lin)² over images and logits; `change`, the mean of
    (f − f_start)². Logits are float32, means float64.
    """
    model.load_state_dict(start)
    model.eval()
    twin = linearized(model)
    before = {part: logits(model, images) for part, images in parts.items()}
    rows = []
    for network, linear in checkpoints:
        model.load_state_dict(linear["model"])
        expanded = {part: logits(twin, images) for part, images in parts.items()}
        model.load_state_dict(network["model"])
        for part, images in parts.items():
            now = logits(model, images).double()
            squares = [((now - other.double()) ** 2).mean(1) for other in (expanded[part], before[part])]
            for label in images.labels.unique().tolist():
                of = images.labels == label
                distance, change = (float(square[of].mean()) for square in squares)
                rows.append(
                    {
                        "step": network["step"],
                        "epoch": network["epoch"],
                        "part": part,
                        "class": label,
                        "images": int(of.sum()),
                        "distance": distance,
                        "change": change,
                    }
                )
    return rows
