"""Situations in which other libraries' gradients of single samples or kernels were wrong, or could not be had.

Each comment names the project and what went wrong there.
"""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.rnn import pack_padded_sequence

from kernel_cases import KINDS, assert_close, in_double
from reactivation.ntk import empirical_ntk
from sample_networks import Functional, build, image, network, reference, trained_batch_norm

# Torch gives this warning for the reference too.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")


def tokens(shape, most=7):
    return torch.randint(0, most, shape)


def parameter(*shape):
    """A module that holds nothing but a parameter."""
    held = nn.Module()
    held.value = nn.Parameter(torch.randn(*shape))
    return held


def tied_by_name():
    table, head = nn.Embedding(7, 5), nn.Linear(5, 7)
    head.weight = table.weight
    return Functional(lambda m, i: m["head"](torch.tanh(m["table"](i)).mean(1)), table=table, head=head)


def partly_frozen():
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    model[0].weight.requires_grad_(False)
    model[2].bias.requires_grad_(False)
    return model


def first_frozen():
    model = nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 3))
    model[0].requires_grad_(False)
    return model


def handwritten_norm(m, x):
    x = m["layer"](x)
    centred = x - x.mean(-1, keepdim=True)
    normal = centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-12)
    return m["head"](torch.tanh(m["scale"].value * normal + m["shift"].value))


def layer_scale(m, x):
    x = x + m["gamma"].value[:, None, None] * m["conv"](x)
    return m["head"](x.mean((2, 3)))


def norm_used_twice(m, x):
    between = m["norm"](m["a"](x))
    return m["head"](between + m["norm"](torch.tanh(m["b"](between))))


def of_several_lengths(m, x):
    lengths = (x.abs().sum(-1) > 0).sum(1)
    packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    return m["head"](m["lstm"](packed)[1][0][-1])


def ragged(n=4):
    """Sequences of several lengths, with zeros at their ends."""
    x = torch.randn(n, 5, 3)
    for i, sample in enumerate(x):
        sample[[3, 5, 2, 4][i] :] = 0
    return x


def positions_for_all(m, i):
    """Indices (1, T) of an embedding, broadcast over the samples."""
    return m["head"](torch.tanh(m["table"](i) + m["places"](torch.arange(i.shape[1])[None])).mean(1))


def attention(m, x):
    mask = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
    return m["head"](m["attention"](x, x, x, attn_mask=mask, need_weights=False)[0].mean(1))


def attention_over_time_first(m, x):
    x = x.transpose(0, 1)
    return m["head"](m["attention"](x, x, x)[0].mean(0))


def changed_where_indexed(m, x):
    x = m["layer"](x)
    x[:, 0] += 3 * x[:, 1].clone() ** 2
    return m["head"](x)


def filled_in_place(m, x):
    """A tensor of zeros that the network makes, filled with what depends on the samples."""
    filled = torch.zeros(len(x), 3, 5, 5, dtype=x.dtype)
    filled[:, :, ::2, ::2] = m["conv"](x)[:, :, 1:, 1:]
    return m["head"](filled.flatten(1))


def decided_by_a_value(m, x):
    """Parameters decide, by a Python number."""
    scale = 2.0 if m["layer"].weight.abs().max().item() > 0.1 else 0.5
    return m["head"](torch.tanh(scale * m["layer"](x)))


def decided_by_each_sample(m, x):
    z = m["layer"](x)
    return m["head"](torch.where(z.sum(1, keepdim=True) > 0, m["act"](z), z.sin()))


def through_a_determinant(m, x):
    z = m["layer"](x).unflatten(1, (3, 3))
    return m["head"](torch.linalg.slogdet(z @ z.mT + torch.eye(3, dtype=x.dtype))[1][:, None])


def einsums(m, x):
    z = torch.einsum("nti,hio->nhto", x, m["a"].value)
    return torch.einsum("nhto,hoc->nc", torch.tanh(z), m["b"].value)


def siamese(m, x):
    return m["head"](torch.tanh(m["layer"](x[:, :5])) * torch.tanh(m["layer"](x[:, 5:])))


def low_rank(m, x):
    return m["head"](torch.tanh(m["frozen"](x) + 2 * m["up"](m["down"](x))))


def adapted():
    parts = {"frozen": nn.Linear(6, 5), "down": nn.Linear(6, 2, bias=False), "up": nn.Linear(2, 5, bias=False)}
    model = Functional(low_rank, **parts, head=nn.Linear(5, 3))
    for name in ("frozen", "head"):
        model.parts[name].requires_grad_(False)
    return model


def bags(m, i):
    """Indices in one row, with the places where samples start."""
    starts = torch.arange(len(i)) * i.shape[1]
    return m["head"](torch.tanh(m["bags"](i.flatten(), starts)))


def lenet(size=8):
    convolutions = [nn.Conv2d(3, 4, 5, padding="same"), nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(4 * (size // 2) ** 2, 1))


REPORTS = {
    # opacus #1: convolutions with a stride and padding had gradients of another shape.
    "stride and padding": lambda: (network(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 2, 1, 3)), image(8)),
    # opacus #137: dilation was forgotten.
    "dilation": lambda: (network(nn.Conv2d(3, 4, 3, dilation=2), nn.ReLU()), image(8)),
    # opacus #450 and #451: padding "same" pads more on the right.
    "padding to the same size": lambda: (
        network(nn.Conv1d(3, 4, 4, padding="same", dilation=2), nn.ReLU(), nn.Conv1d(4, 2, 2, padding="same")),
        torch.randn(4, 3, 9),
    ),
    # opacus #413, pytorch #80951: parameters that two modules share were taken for two batches, or refused.
    "tied embedding": lambda: (tied_by_name(), tokens((4, 6))),
    # opacus #436: a layer of which some parameters are frozen.
    "a layer frozen in part": lambda: (partly_frozen(), torch.randn(4, 5)),
    # opacus #391 and #100: parameters of one's own, in a norm written by hand as in BERT.
    "norm by hand": lambda: (
        Functional(
            handwritten_norm, layer=nn.Linear(6, 5), scale=parameter(5), shift=parameter(5), head=nn.Linear(5, 3)
        ),
        torch.randn(4, 6),
    ),
    # opacus #462: ConvNeXt scales each channel by a parameter of the block.
    "scale of each channel": lambda: (
        Functional(layer_scale, conv=nn.Conv2d(3, 3, 3, 1, 1, groups=3), gamma=parameter(3), head=nn.Linear(3, 3)),
        image(6),
    ),
    # opacus #578: one LayerNorm used in two places had no gradients.
    "norm used twice": lambda: (
        Functional(norm_used_twice, a=nn.Linear(6, 5), b=nn.Linear(5, 5), norm=nn.LayerNorm(5), head=nn.Linear(5, 3)),
        torch.randn(4, 6),
    ),
    # opacus #103: sequences of several lengths, packed.
    "packed sequences": lambda: (
        Functional(of_several_lengths, lstm=nn.LSTM(3, 4, batch_first=True), head=nn.Linear(4, 3)),
        ragged(),
    ),
    # opacus #841: GPT-2's positions have a first dimension of 1, and gradients of a batch of one.
    "positions for all samples": lambda: (
        Functional(positions_for_all, table=nn.Embedding(7, 5), places=nn.Embedding(6, 5), head=nn.Linear(5, 3)),
        tokens((4, 6)),
    ),
    # opacus #650, #774 and #825: attention mixed up samples and time, and masks.
    "attention with a mask": lambda: (
        Functional(attention, attention=nn.MultiheadAttention(4, 2, batch_first=True), head=nn.Linear(4, 3)),
        torch.randn(4, 4, 4),
    ),
    # opacus #158: attention over (T, n, …), then a linear layer.
    "attention, time first": lambda: (
        Functional(attention_over_time_first, attention=nn.MultiheadAttention(4, 2), head=nn.Linear(4, 3)),
        torch.randn(4, 5, 4),
    ),
    # opacus #518: EmbeddingBag takes more than one argument.
    "bags with offsets": lambda: (
        Functional(bags, bags=nn.EmbeddingBag(7, 5, mode="mean"), head=nn.Linear(5, 3)),
        tokens((4, 6)),
    ),
    # opacus #646: spectral normalization had no gradients.
    "spectral norm": lambda: (network(spectral_norm(nn.Linear(6, 5)), nn.Tanh()), torch.randn(4, 6)),
    # opacus #751: the bias of a linear layer over three dimensions.
    "bias over positions": lambda: (network(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 4)), torch.randn(3, 6, 5)),
    # pytorch #79800, found by opacus: InstanceNorm's gradients of the layers before.
    "instance norm": lambda: (
        network(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.ReLU(), nn.Conv2d(4, 3, 3)),
        image(8),
    ),
    # pytorch #80953: a grouped Conv3d with padding.
    "grouped convolution in three dimensions": lambda: (
        network(nn.Conv3d(2, 4, 2, padding=2, groups=2), nn.ReLU()),
        torch.randn(3, 2, 2, 3, 3),
    ),
    # pytorch #80952: LayerNorm after a frozen layer.
    "norm after a frozen layer": lambda: (first_frozen(), torch.randn(4, 6)),
    # pytorch #61519 and singd #56: a ReLU in place behind a hooked layer.
    "activations in place": lambda: (
        network(nn.Conv2d(3, 4, 3), nn.ReLU(True), nn.Conv2d(4, 4, 3), nn.Hardtanh(inplace=True)),
        image(8),
    ),
    # private-transformers #3: the token for padding has no gradient.
    "padding token": lambda: (
        Functional(
            lambda m, i: m["head"](torch.tanh(m["table"](i)).sum(1)),
            table=nn.Embedding(7, 5, padding_idx=2),
            head=nn.Linear(5, 3),
        ),
        torch.tensor([[2, 2, 1], [0, 2, 1], [2, 2, 2], [5, 5, 2]]),
    ),
    # fast-differential-privacy #39: an embedding of one index for each sample.
    "one index a sample": lambda: (
        Functional(lambda m, i: m["head"](torch.tanh(m["table"](i))), table=nn.Embedding(7, 5), head=nn.Linear(5, 3)),
        torch.tensor([3, 0, 3, 6]),
    ),
    # functorch #381: changes in place of what is indexed.
    "changed where indexed": lambda: (
        Functional(changed_where_indexed, layer=nn.Linear(6, 5), head=nn.Linear(5, 3)),
        torch.randn(4, 6),
    ),
    # functorch #105 and #1025: slices, copied into a tensor that the network makes.
    "filled in place": lambda: (
        Functional(filled_in_place, conv=nn.Conv2d(3, 3, 3), head=nn.Linear(75, 3)),
        image(6),
    ),
    # functorch #1108: .item().
    "decided by a number": lambda: (
        Functional(decided_by_a_value, layer=nn.Linear(6, 5), head=nn.Linear(5, 3)),
        torch.randn(4, 6),
    ),
    # functorch #257: what is computed depends on the sample.
    "decided by each sample": lambda: (
        Functional(decided_by_each_sample, layer=nn.Linear(6, 5), act=nn.PReLU(), head=nn.Linear(5, 3)),
        torch.randn(4, 6),
    ),
    # functorch #273: batch norm, in evaluation mode too.
    "batch norm": lambda: (network(nn.Conv2d(3, 4, 3), trained_batch_norm(4), nn.ReLU(), nn.Dropout(0.5)), image(8)),
    # functorch #296: slogdet.
    "determinant": lambda: (
        Functional(through_a_determinant, layer=nn.Linear(6, 9), head=nn.Linear(1, 3)),
        torch.randn(4, 6),
    ),
    # functorch #338: transposed convolutions, and those without a bias, were silently wrong.
    "transposed convolution without a bias": lambda: (
        network(
            nn.ReflectionPad2d(1),
            nn.Conv2d(3, 4, 3, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 2, 3, 2, 1, bias=False),
        ),
        image(5),
    ),
    # opacus #391: parameters that only an einsum uses.
    "einsum": lambda: (Functional(einsums, a=parameter(2, 4, 5), b=parameter(2, 5, 3)), torch.randn(4, 3, 4)),
    # backpack #248: a layer used twice, as in a siamese network.
    "siamese": lambda: (Functional(siamese, layer=nn.Linear(5, 4), head=nn.Linear(4, 3)), torch.randn(4, 10)),
    # backpack #219: convolution, batch norm, transposed convolution.
    "convolution and its transpose": lambda: (
        network(nn.Conv2d(3, 4, 4), trained_batch_norm(4), nn.SiLU(), nn.ConvTranspose2d(4, 3, 4), nn.SiLU()),
        image(6),
    ),
    # backpack #270 and Laplace #143: the last step of an LSTM, then a linear layer.
    "lstm": lambda: (
        Functional(
            lambda m, x: m["head"](m["lstm"](x)[0][:, -1]),
            lstm=nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True),
            head=nn.Linear(8, 3),
        ),
        torch.randn(4, 3, 3),
    ),
    # backpack #201: batch norm before an AdaptiveAvgPool whose parts overlap.
    "adaptive pooling": lambda: (
        network(nn.ZeroPad2d((0, 1, 2, 0)), nn.Conv2d(3, 4, 3), trained_batch_norm(4), nn.AdaptiveAvgPool2d((3, 2))),
        image(6),
    ),
    # Laplace #144: only the parameters of LoRA require gradients.
    "low-rank adapter": lambda: (adapted(), torch.randn(4, 6)),
    # Laplace #265: logits that are a linear layer's outputs at all positions.
    "logits of all positions": lambda: (nn.Sequential(nn.Linear(5, 2), nn.Flatten()), torch.randn(4, 3, 5)),
    # TRAK #74: samples that are several images each.
    "several images a sample": lambda: (
        Functional(
            lambda m, x: m["head"](torch.relu(m["conv"](x.flatten(0, 1))).mean((2, 3)).unflatten(0, x.shape[:2])).sum(
                1
            ),
            conv=nn.Conv2d(3, 4, 3),
            head=nn.Linear(4, 3),
        ),
        torch.randn(3, 2, 3, 5, 5),
    ),
    # neural-tangents #122: the kernel of a LeNet changed with the batch.
    "LeNet with one logit": lambda: (lenet(), image(8)),
    # neural-tangents #68 and TE-NAS #11: which logits belong to which.
    "two linear layers": lambda: (
        nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)),
        torch.randn(4, 2),
    ),
    # Bilinear layers and similarities, which no library of these takes apart.
    "bilinear": lambda: (
        Functional(
            lambda m, x: m["head"](F.cosine_similarity(m["both"](x[:, 0], x[:, 1]).unflatten(1, (2, 3)), x[:, :1], -1)),
            both=nn.Bilinear(3, 3, 6),
            head=nn.Linear(2, 3),
        ),
        torch.randn(4, 2, 3),
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_what_went_wrong_elsewhere_is_right_here(name):
    model, x = build(REPORTS[name])
    double, x64 = in_double(model, x)
    right = reference(double, x64)
    assert_close(empirical_ntk(double, x64, kernels=KINDS), right, 1e-12)
    assert_close(empirical_ntk(model, x, kernels=KINDS), right, 1e-6)


@pytest.mark.parametrize("name, n", itertools.product(["LeNet with one logit", "packed sequences"], [1, 2, 3]))
def test_an_entry_does_not_change_with_the_samples_beside_it(name, n):
    """neural-tangents #122."""
    model, x = in_double(*build(REPORTS[name]))
    whole = empirical_ntk(model, x)
    assert_close(empirical_ntk(model, x[:n]), {kind: kernel[:n, :n] for kind, kernel in whole.items()}, 1e-12)
