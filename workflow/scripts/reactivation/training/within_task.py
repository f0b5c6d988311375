"""The job of the rule `within`: how well a network tells the classes of each task apart, checkpoint by checkpoint."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reactivation.data.images import Images
from reactivation.jobs.schedule import EVALUATION_BATCH
from reactivation.storage.arrays import read_arrays
from reactivation.storage.checkpoints import read_checkpoint
from reactivation.storage.datasets import read_class_count
from reactivation.storage.receipts import checkpoint_paths
from reactivation.storage.rows import write_rows
from reactivation.storage.within import WITHIN
from reactivation.training import networks
from reactivation.training.batches import test_images
from reactivation.training.device import allow_tf32, keep_freed_memory, set_up_device
from reactivation.training.evaluation import logits_of

if TYPE_CHECKING:
    from reactivation.data import specs


def within_job(spec: "specs.Segment", inputs: Any, output: str, where: dict[str, Any], threads: int) -> None:
    """Write the table WITHIN of the segment with that `spec` to the file `output`.

    `inputs`: paths `dataset` and `split`, and the folder `checkpoints`. `where`: `device` and, where `verify` makes a
    table again, `first`, the number of checkpoints. Logits are those of training's tests: the same images in the same
    batches, and the same precision.
    """
    device = set_up_device(where["device"], threads)
    allow_tf32(True)
    keep_freed_memory()
    test = test_images(device, inputs["dataset"], read_arrays(inputs["split"]))
    layout: dict[str, Any] = {"memory_format": torch.channels_last}  # missing from torch's annotations
    model = networks.build(spec["model"], test.image_size, read_class_count(inputs["dataset"]))
    model.to(device, **layout).eval()
    rows: list[dict[str, Any]] = []
    paths = checkpoint_paths(inputs["checkpoints"])[: where.get("first")]
    for i, path in enumerate(paths, start=1):
        checkpoint = read_checkpoint(path)
        model.load_state_dict(checkpoint["model"])
        at = {key: checkpoint[key] for key in ("step", "epoch")}
        found = all_logits(model, test, spec["training"]["precision"])
        rows += [at | row for row in within_rows(found, test.labels, spec["tasks"])]
        print(f"checkpoint {i}/{len(paths)}  epoch {checkpoint['epoch']:.3f}", flush=True)
    write_rows(output, rows, WITHIN)


@torch.no_grad()
def all_logits(model: nn.Module, test: Images, precision: str) -> Tensor:
    """Logits of all test images, (n, classes) float32."""
    batches = (slice(start, start + EVALUATION_BATCH) for start in range(0, len(test), EVALUATION_BATCH))
    return torch.cat([logits_of(model, test.batch(batch)[0], precision) for batch in batches])


def within_rows(logits: Tensor, labels: Tensor, tasks: "list[specs.Task]") -> Iterator[dict[str, Any]]:
    """A row for each class of each task: its number of images, and the share whose largest logit of the task is theirs.

    Equal logits count for the lowest class, as they do among all classes.
    """
    for k, task in enumerate(tasks, start=1):
        classes = sorted(task["classes"])
        guess = torch.tensor(classes, device=labels.device)[logits[:, classes].argmax(1)]
        for c in classes:
            of = labels == c
            share = float((guess[of] == c).double().mean())
            yield {"task": k, "class": c, "images": int(of.sum()), "accuracy_within_task": share}
