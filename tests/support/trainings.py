"""A small training, and the network that it trains."""

import torch

from reactivation.training.linearized import function_of
from reactivation.training.loop import train_segment
from reactivation.training.networks import cnn
from sample_networks import images

SPEC = {
    "images": {"classes": [0, 1, 2, 3]},
    "tasks": [{"classes": [0, 1], "weights": [1.0, 1.0]}, {"classes": [2, 3], "weights": [1.0, 1.0]}],
    "epochs": [5, 3],
    "training": {
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "batch_size": 8,
        "precision": "float32",
    },
    "model": {"name": "cnn", "width": 4, "parametrization": "pytorch"},
    "checkpoints": {"every": 1, "log_spaced": True},
    "seed": 4,
}


def network():
    torch.manual_seed(0)
    return cnn(4, 8, 4)


def train(spec=SPEC, start=(40, 5.0), model=None, saved=None, of_epoch=None):
    model, kept = model or network(), []
    save = lambda m, step, epoch: kept.append((step, epoch, [p.detach().clone() for p in m.parameters()]))  # noqa: E731
    function = function_of(model, spec)
    trained = train_segment(model, images(), images(8, seed=1), spec, start, save, saved, function, None, of_epoch)
    return model, kept, trained
