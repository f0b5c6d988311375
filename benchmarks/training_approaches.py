"""Ways to train the paper's CNN for an epoch, and the process that trains epochs in one of them when told to.

Each approach is a function of images (N, 32, 32, 3) uint8, labels (N,), the width and the batch size. It returns a
function that trains one epoch on all images. `training_peers.py` starts this file once per approach and width.
"""

import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))
from reactivation.data.images import Images
from reactivation.data.sources import import_torchvision_datasets
from reactivation.jobs.state import Writer
from reactivation.training import networks
from reactivation.training.device import keep_freed_memory, set_up_device
from reactivation.training.loop import train_segment

LR, CLASSES, SIDE = 0.01, 10, 32
MEAN, STD = np.array([0.491, 0.482, 0.447]), np.array([0.247, 0.243, 0.262])
Epoch = Callable[[], object]


# ----------------------------------------------------------------------------------------------------- peers
def network(width: int) -> nn.Module:
    """The paper's network, written in the obvious way."""
    layers: list[nn.Module] = []
    for channels in (3, width, width):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * (SIDE // 8) ** 2, CLASSES))


def as_torchvision_has_them(pixels: np.ndarray, labels: np.ndarray) -> Dataset:
    """What torchvision.datasets.CIFAR10 does: at each access, array to Pillow image, ToTensor and Normalize."""
    import_torchvision_datasets()
    from PIL import Image
    from torchvision.transforms import Compose, Normalize, ToTensor

    class CIFAR10(Dataset):
        data, targets, transform = pixels, labels.tolist(), Compose([ToTensor(), Normalize(MEAN, STD)])

        def __len__(self):
            return len(self.data)

        def __getitem__(self, index):
            return self.transform(Image.fromarray(self.data[index])), self.targets[index]

    return CIFAR10()


def loader(pixels: np.ndarray, labels: np.ndarray, width: int, batch: int) -> Epoch:
    """The loop of a notebook."""
    batches = DataLoader(as_torchvision_has_them(pixels, labels), batch, shuffle=True)
    model, criterion = network(width), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)

    def epoch():
        running = 0.0
        model.train()
        for x, y in batches:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            running += loss.item()
        return running

    return epoch


def avalanche(pixels: np.ndarray, labels: np.ndarray, width: int, batch: int) -> Epoch:
    """Avalanche's strategy Naive, without metrics and loggers."""
    data = as_torchvision_has_them(pixels, labels)
    from avalanche.benchmarks import nc_benchmark
    from avalanche.training.plugins import EvaluationPlugin
    from avalanche.training.supervised import Naive

    model = network(width)
    strategy = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=LR),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=batch,
        train_epochs=1,
        evaluator=EvaluationPlugin(),
    )
    benchmark = nc_benchmark(data, data, n_experiences=1, task_labels=False, shuffle=False)
    experience = next(iter(benchmark.train_stream))
    return lambda: strategy.train(experience)


def memory(pixels: np.ndarray, labels: np.ndarray, width: int, batch: int) -> Epoch:
    """Images as one normalised tensor of float32 in memory."""
    x = torch.from_numpy(((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32, order="C"))
    y, model = torch.from_numpy(labels), network(width)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)

    def epoch():
        model.train()
        for indices in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            F.cross_entropy(model(x[indices]), y[indices]).backward()
            optimizer.step()

    return epoch


# ------------------------------------------------------------------------------------------------------ ours
def ours(pixels: np.ndarray, labels: np.ndarray, width: int, batch: int, precision: str = "float32") -> Epoch:
    """`train_segment`, as jobs call it, with a test on one image and a checkpoint at the end."""
    keep_freed_memory()
    folder, writer = tempfile.TemporaryDirectory(), Writer()
    data = Images.on(torch.device("cpu"), pixels, labels, MEAN, STD)
    test = Images.on(torch.device("cpu"), pixels[:1], np.zeros(1, dtype=np.int64), MEAN, STD)
    task = {"classes": [0], "weights": [1.0]}
    spec: Any = {  # the part of a segment's spec that `train_segment` reads
        "images": {"classes": [0]},
        "tasks": [task, task],
        "epochs": [1, 1],
        "training": {"optimizer": "sgd", "lr": LR, "momentum": 0, "weight_decay": 0}
        | {"batch_size": batch, "precision": precision},
        "model": {"name": "cnn", "width": width, "parametrization": "pytorch"},
        "checkpoints": {"every": 1, "log_spaced": False},
        "seed": 0,
    }
    layout: dict[str, Any] = {"memory_format": torch.channels_last}  # missing from torch's annotations
    model = networks.build(spec["model"], SIDE, CLASSES).to(**layout)

    def save(model, step, epoch):
        writer.checkpoint(Path(folder.name) / f"{step}.pt", model, step, epoch, {})

    return lambda: train_segment(model, data, test, spec, (0, 0.0), save)


def ours_bf16(pixels: np.ndarray, labels: np.ndarray, width: int, batch: int) -> Epoch:
    return ours(pixels, labels, width, batch, precision="bf16")


# ------------------------------------------------------------------------------------------------ the machine
def convolutions(pixels: np.ndarray, labels: np.ndarray, width: int, batch: int, dtype=torch.float32) -> Epoch:
    """Only the network's convolutions, forward and backward, on random numbers: the rate that their shapes allow."""
    keep_freed_memory()
    last, steps, layers = torch.channels_last, -(-len(pixels) // batch), []
    for channels, side in ((3, SIDE), (width, SIDE // 2), (width, SIDE // 4)):
        x, y = (torch.randn(batch, c, side, side, dtype=dtype).to(memory_format=last) for c in (channels, width))
        weight = torch.randn(width, channels, 3, 3, dtype=dtype).to(memory_format=last)
        layers.append((x, y, weight, torch.randn(width, dtype=dtype), [channels != 3, True, True]))

    def epoch():
        for _ in range(steps):
            for x, _, weight, bias, _ in layers:
                F.conv2d(x, weight, bias, padding=1)
            for x, y, weight, _, wanted in reversed(layers):
                torch.ops.aten.convolution_backward(
                    y, x, weight, [width], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
                )

    return epoch


def convolutions_bf16(pixels: np.ndarray, labels: np.ndarray, width: int, batch: int) -> Epoch:
    return convolutions(pixels, labels, width, batch, dtype=torch.bfloat16)


def product_rates(size: int = 2048) -> dict[str, float]:
    """Flops per second of a product of two square matrices, the median of seven, by precision."""
    rates = {}
    for precision, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        a, seconds = torch.ones(size, size, dtype=dtype), []
        for _ in range(8):
            began = time.perf_counter()
            a @ a
            seconds.append(time.perf_counter() - began)
        rates[precision] = 2 * size**3 / statistics.median(seconds[1:])
    return rates


APPROACHES = {
    "loader": loader,
    "avalanche": avalanche,
    "memory": memory,
    "ours": ours,
    "ours-bf16": ours_bf16,
    "convolutions": convolutions,
    "convolutions-bf16": convolutions_bf16,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    task = json.loads(sys.argv[1])
    # Only numbers go through the pipe that this process was given as its standard output.
    answers, sys.stdout = sys.stdout, sys.stderr
    set_up_device("cpu", task["threads"])
    if not task["approach"].startswith("ours"):  # ours runs as jobs do
        torch.set_deterministic_debug_mode("default")
    if task["approach"] == "products":
        print(json.dumps(product_rates()), file=answers, flush=True)
        sys.exit()
    torch.manual_seed(0)
    with np.load(task["images"]) as of:
        train_epoch = APPROACHES[task["approach"]](
            of["pixels"][: task["count"]], of["labels"][: task["count"]], task["width"], task["batch"]
        )
    for _ in sys.stdin:  # each line asks for one epoch
        began = time.perf_counter()
        train_epoch()
        print(json.dumps(time.perf_counter() - began), file=answers, flush=True)
