"""Networks for the kernel's tests, one for each way in which parameters are used, with a batch; images; a reference."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from reactivation.data.images import Images
from reactivation.ntk.guards import in_default
from reactivation.training.networks import cnn


class Recurrent(nn.Module):
    """An RNN cell over time; its first hidden state has torch's default precision."""

    def __init__(self, nonlinearity="tanh"):
        super().__init__()
        self.cell = nn.RNNCell(6, 9, nonlinearity=nonlinearity)
        self.head = nn.Linear(9, 3)

    def forward(self, x):
        hidden = torch.zeros(len(x), 9)
        for t in range(x.shape[1]):
            hidden = self.cell(x[:, t], hidden)
        return self.head(hidden)


class Functional(nn.Module):
    """A network that computes `run(modules, x)`."""

    def __init__(self, run, **modules):
        super().__init__()
        self.parts = nn.ModuleDict(modules)
        self.run = run

    def forward(self, x):
        return self.run(self.parts, x)


def tied_layer(m, x):
    for _ in range(3):
        x = torch.tanh(m["layer"](x))
    return m["head"](x)


def shared_convolution(m, x):
    x = F.max_pool2d(F.relu(m["conv"](x)), 2)
    return m["head"](F.relu(m["conv"](x)).mean((2, 3)))


def branches(m, x):
    z = m["conv"](x)
    y = torch.cat([F.max_pool2d(F.relu(z), 2), F.avg_pool2d(z, 2)], dim=1)
    y = m["next"](y)
    y += 1  # in place, on the output of an operation
    return m["head"](F.relu_(y).flatten(1))


def in_place(m, x):
    """Operations in place on the output of every kind of operation, and on views of it."""
    y = m["conv"](x)
    y *= 2
    y = m["line"](y.flatten(2))
    y[:, 1] += 3 * y[:, 0]
    y = m["norm"](y)
    y.add_(1).relu_()
    y = m["layer"](y)
    y.select(1, 0).mul_(3)
    return m["head"](y.tanh_().flatten(1)).mul_(2)


def without_gradients(m, x):
    with torch.no_grad():
        gate = torch.sigmoid(m["a"](x))
    return m["head"](torch.relu(m["b"](x)) * gate)


def learnt_token(m, x):
    """A layer on a tensor that has no samples, but a first dimension of 1."""
    return m["head"](torch.tanh(x + m["layer"](torch.ones(1, 5))))


def attention(m, x):
    return m["head"](m["attention"](x, x, x)[0].mean(1))


def time_first(m, x):
    return m["head"](torch.tanh(m["layer"](x.transpose(0, 1))).mean(0))


def block(channels, out, stride, norm):
    short = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), norm(out))
    parts = {"a": nn.Conv2d(channels, out, 3, stride, 1, bias=False), "n": norm(out), "short": short}
    parts |= {"b": nn.Conv2d(out, out, 3, 1, 1, bias=False), "m": norm(out)}

    def run(m, x):
        y = m["m"](m["b"](F.relu(m["n"](m["a"](x)))))
        y += m["short"](x)
        return F.relu(y, inplace=True)

    return Functional(run, **parts)


def residual(norm):
    stem = [nn.Conv2d(3, 8, 3, 1, 1, bias=False), norm(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    blocks = [block(8, 8, 1, norm), block(8, 12, 2, norm)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4))


def trained_batch_norm(channels):
    norm = nn.BatchNorm2d(channels, eps=0.1)
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def image(size=12, n=4):
    return torch.randn(n, 3, size, size)


def images(n=20, seed=0):
    """Random images of 8 × 8 pixels and four classes, as training takes them."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return Images.on(torch.device("cpu"), pixels, np.arange(n) % 4, np.full(3, 0.4), np.full(3, 0.2))


def network(*layers):
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


def same(*args: Any, **options: Any):
    return nn.Conv2d(*args, **options | {"padding": "same"})


def frozen():
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    model[2].requires_grad_(False)
    return model


NETWORKS = {
    "cnn": lambda: (cnn(8, 16, 3), image(16)),
    "mlp": lambda: (network(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 20), nn.Tanh()), torch.randn(5, 10)),
    "linear over positions": lambda: (
        network(nn.Linear(5, 8), nn.GELU(), nn.LayerNorm(8, eps=0.1)),
        torch.randn(4, 3, 5),
    ),
    "one class": lambda: (nn.Linear(5, 1, bias=False), torch.randn(4, 5)),
    "rnn": lambda: (Recurrent(), torch.randn(4, 7, 6)),
    "rnn as long as the batch": lambda: (Recurrent("relu"), torch.randn(7, 7, 6)),
    "residual, batch norm": lambda: (residual(trained_batch_norm), image()),
    "residual, group norm": lambda: (residual(lambda channels: nn.GroupNorm(2, channels)), image()),
    "tied layer": lambda: (
        Functional(tied_layer, layer=nn.Linear(6, 6), head=nn.Linear(6, 3)),
        torch.randn(4, 6),
    ),
    "shared grouped convolution": lambda: (
        Functional(shared_convolution, conv=nn.Conv2d(3, 3, 3, padding=1, groups=3), head=nn.Linear(3, 3)),
        image(),
    ),
    "normalized between": lambda: (
        network(nn.Conv2d(3, 5, 3), nn.ReLU(), trained_batch_norm(5), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.ReLU()),
        image(8),
    ),
    "normalized over channels of sequences": lambda: (
        network(nn.Linear(6, 5), nn.ReLU(), nn.BatchNorm1d(3), nn.Linear(5, 4)),
        torch.randn(4, 3, 6),
    ),
    "many classes": lambda: (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 37)), image(8)),
    "wide": lambda: (
        network(nn.Conv2d(3, 520, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(520, 3, 1), nn.ReLU(), nn.MaxPool2d(2)),
        image(8, 3),
    ),
    "branches": lambda: (
        Functional(branches, conv=nn.Conv2d(3, 4, 3), next=nn.Conv2d(8, 4, 3), head=nn.Linear(36, 3)),
        image(),
    ),
    "in place": lambda: (
        Functional(
            in_place,
            conv=nn.Conv2d(3, 4, 3),
            line=nn.Conv1d(4, 3, 3, stride=2),
            norm=nn.GroupNorm(1, 3),
            layer=nn.Linear(17, 5),
            head=nn.Linear(15, 3),
        ),
        image(8),
    ),
    "padding of an embedding": lambda: (
        Functional(
            lambda m, i: m["head"](F.embedding(i, m["table"].weight, -1).mean(1)),
            table=nn.Embedding(7, 5),
            head=nn.Linear(5, 3),
        ),
        torch.tensor([[6, 6, 1], [6, 2, 1], [0, 6, 3], [5, 5, 6]]),
    ),
    "layer without gradients": lambda: (
        Functional(without_gradients, a=nn.Linear(5, 6), b=nn.Linear(5, 6), head=nn.Linear(6, 3)),
        torch.randn(4, 5),
    ),
    "embedding": lambda: (
        Functional(
            lambda m, i: m["head"](m["table"](i).relu().mean(1)), table=nn.Embedding(7, 5, 0), head=nn.Linear(5, 3)
        ),
        torch.randint(0, 7, (5, 8)),
    ),
    "convolutions": lambda: (
        network(
            nn.Conv2d(3, 8, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
            nn.ReLU(),
            same(8, 6, 3, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            same(6, 4, 2, bias=False),
        ),
        image(),
    ),
    "convolutions in one dimension": lambda: (
        network(
            nn.Conv1d(3, 8, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv1d(8, 4, 3, padding="same", dilation=2),
            nn.Tanh(),
        ),
        torch.randn(4, 3, 20),
    ),
    "depthwise": lambda: (
        network(
            nn.Conv2d(3, 12, 3, groups=3),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(12, 12, 3, groups=12, padding=1),
            trained_batch_norm(12),
            nn.ReLU(),
        ),
        image(),
    ),
    "pooling over what is no channel": lambda: (
        network(nn.Linear(6, 8), nn.MaxPool2d(2), nn.ReLU(), nn.Linear(4, 4), nn.ReLU()),
        torch.randn(4, 3, 5, 6),
    ),
    "poolings that overlap": lambda: (
        network(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.MaxPool2d(3, 1, 1),
            nn.ReLU(),
            nn.MaxPool2d(2, 1, dilation=2),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        ),
        image(),
    ),
    "reflected, strided, averaged": lambda: (
        network(
            nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"),
            nn.LeakyReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        ),
        image(),
    ),
    "wide enough for Winograd": lambda: (
        network(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 17, 3, padding=(2, 0)),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(17, 16, 3, bias=False),
            nn.ReLU(),
        ),
        image(11, 3),
    ),
    "frozen layer": lambda: (frozen(), torch.randn(4, 5)),
    "attention": lambda: (
        Functional(attention, attention=nn.MultiheadAttention(6, 2, batch_first=True), head=nn.Linear(6, 3)),
        torch.randn(3, 5, 6),
    ),
    "computed weight": lambda: (
        nn.Sequential(weight_norm(nn.Linear(6, 5)), nn.ReLU(), nn.Linear(5, 3)),
        torch.randn(4, 6),
    ),
    "weight also used otherwise": lambda: (
        Functional(
            lambda m, x: m["head"](torch.tanh(m["layer"](x) @ m["layer"].weight)),
            layer=nn.Linear(6, 6),
            head=nn.Linear(6, 3),
        ),
        torch.randn(4, 6),
    ),
    "embedding tied to the head": lambda: (
        Functional(
            lambda m, i: F.linear(torch.tanh(m["table"](i)).sum(1), m["table"].weight), table=nn.Embedding(7, 5)
        ),
        torch.randint(0, 7, (4, 8)),
    ),
    "learnt token": lambda: (Functional(learnt_token, layer=nn.Linear(5, 5), head=nn.Linear(5, 3)), torch.randn(4, 5)),
    "transposed convolution": lambda: (
        network(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 3, 2), nn.PReLU()),
        image(),
    ),
    "scale for every pixel": lambda: (network(nn.Conv2d(3, 4, 3), nn.LayerNorm([4, 10, 10]), nn.ReLU()), image()),
}

# Networks with parameters that are differentiated sample by sample, and the names of those.
EXAMPLEWISE = {
    "lstm": (
        lambda: (
            Functional(
                lambda m, x: m["head"](m["lstm"](x)[0][:, -1]),
                lstm=nn.LSTM(6, 5, batch_first=True),
                head=nn.Linear(5, 3),
            ),
            torch.randn(3, 7, 6),
        ),
        {f"parts.lstm.{name}_l0 (LSTM)" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
    ),
    "nothing but an lstm": (
        lambda: (
            Functional(lambda m, x: m["lstm"](x)[0][:, -1], lstm=nn.LSTM(6, 3, batch_first=True)),
            torch.randn(3, 4, 6),
        ),
        {f"parts.lstm.{name}_l0 (LSTM)" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
    ),
    "two steps first": (
        lambda: (Functional(time_first, layer=nn.Linear(5, 6), head=nn.Linear(6, 3)), torch.randn(4, 2, 5)),
        {"parts.layer.weight (Linear)", "parts.layer.bias (Linear)"},
    ),
    "time first": (
        lambda: (Functional(time_first, layer=nn.Linear(5, 6), head=nn.Linear(6, 3)), torch.randn(4, 4, 5)),
        {"parts.layer.weight (Linear)", "parts.layer.bias (Linear)"},
    ),
}


def build(make):
    """A network and its batch, the same ones each time."""
    torch.manual_seed(0)
    model, x = make()
    model.eval()
    with torch.no_grad():
        model(x)  # lazy layers take their shape
    return model, x


def reference(model, x, x2=None):
    """One backward pass per sample and logit, and dot products. {kind: (n, m) or (n·C, m·C)}."""
    parameters = [p for p in model.parameters() if p.requires_grad]

    def jacobian(x):
        rows = []
        for sample in x:
            for logit in model(sample[None])[0]:
                if not logit.requires_grad:  # this sample does not use these parameters
                    rows.append(torch.zeros(sum(p.numel() for p in parameters)))
                    continue
                grads = torch.autograd.grad(logit, parameters, retain_graph=True, materialize_grads=True)
                rows.append(torch.cat([g.flatten() for g in grads]))
        return torch.stack(rows).view(len(x), -1, len(rows[0]))

    with in_default(torch.float64):
        left = jacobian(x)
        right = left if x2 is None else jacobian(x2)
    full = (left.flatten(0, 1) @ right.flatten(0, 1).T).numpy()
    blocks = full.reshape(len(left), left.shape[1], len(right), -1)
    return {"full": full, "sum": blocks.sum((1, 3)), "trace": np.einsum("icjc->ij", blocks) / left.shape[1]}
