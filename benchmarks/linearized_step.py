"""What an optimizer step of a linearised twin costs, compared with its network's: same weights, same batches, in turn.

.venv/bin/python benchmarks/linearized_step.py [--device cuda]
"""

import argparse
import copy
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))
from reactivation.data.images import Images
from reactivation.training.device import allow_tf32, keep_freed_memory, set_up_device
from reactivation.training.evaluation import Function
from reactivation.training.linearized import linearized
from reactivation.training.loop import step_on
from reactivation.training.networks import build
from reactivation.training.optimizer import new_optimizer

ROUNDS = 15
CASES: list[tuple[dict[str, Any], int, int, int]] = [  # network, width, image size, images in a batch
    *(({"name": "cnn"}, width, 16, 32) for width in (16, 64)),
    *(({"name": "cnn"}, width, 32, 64) for width in (64, 128, 256)),
    ({"name": "mlp", "depth": 2, "activation": "relu"}, 512, 32, 64),
    ({"name": "rnn"}, 128, 32, 64),
    ({"name": "resnet18", "norm": "group"}, 16, 32, 32),
]


def steps(spec: Any, size: int, batch: int, device: torch.device) -> tuple[float, float]:
    """Median seconds of a step of the network and of its twin."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8), rng.integers(0, 10, batch)
    images = Images.on(device, pixels, labels, np.full(3, 0.5), np.full(3, 0.25))
    training: Any = {"optimizer": "sgd", "lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0}
    layout: dict[str, Any] = {"memory_format": torch.channels_last}  # missing from torch's annotations
    network = build(spec, size, 10).to(device, **layout).train()
    twin = copy.deepcopy(network)
    functions = [(model, new_optimizer(model, spec, training)) for model in (network, twin)]
    taken: list[list[float]] = [[], []]
    forward: list[Function] = [network, linearized(twin)]
    for _ in range(ROUNDS + 2):
        for of, function, (_, optimizer) in zip(taken, forward, functions, strict=True):
            began = time.perf_counter()
            x, y = images.batch()
            step_on(function, optimizer, x, y, "float32")
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            of.append(time.perf_counter() - began)
    ours, twins = (statistics.median(of[2:]) for of in taken)
    return ours, twins


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    device = set_up_device(arguments.parse_args().device, threads=1)
    allow_tf32(True)
    keep_freed_memory()
    print(f"{'network':<22}{'width':>6}{'pixels':>8}{'batch':>7}{'network ms':>12}{'twin ms':>10}{'ratio':>7}")
    for network, width, size, batch in CASES:
        for parametrization in ("pytorch", "ntk"):
            spec = {**network, "width": width, "parametrization": parametrization}
            ours, twins = steps(spec, size, batch, device)
            name = f"{network['name']}, {parametrization}"
            print(f"{name:<22}{width:>6}{size:>8}{batch:>7}{ours * 1e3:>12.2f}{twins * 1e3:>10.2f}{twins / ours:>7.2f}")
