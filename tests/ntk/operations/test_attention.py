"""Attention: torch's own module in all its forms, and attention written by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from operation_cases import assert_right, assert_taken_apart, of

# Torch gives it for masks of both kinds together, and for norms that come first.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask"),
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True"),
]


def rows():
    return torch.randn(4, 5, 6)


def few():
    """As many samples as steps."""
    return torch.randn(5, 5, 6)


def one():
    return torch.randn(4, 1, 6)


def linear(inputs=6, outputs=3):
    return lambda: nn.Linear(inputs, outputs)


def head(m, z):
    return m["h"](torch.tanh(z).mean(1))


def attending(run, x=rows, **options):
    return of(
        lambda m, x: head(m, run(m, x)),
        x,
        t=lambda: nn.MultiheadAttention(6, 2, **{"batch_first": True} | options),
        a=linear(6, 6),
        h=linear(),
    )


def itself(m, x):
    return m["t"](x, x, x)[0]


def turned(m, x):
    x = x.transpose(0, 1)
    return m["t"](x, x, x, need_weights=False)[0].transpose(0, 1)


def causal(x):
    return torch.triu(torch.full((x.shape[1], x.shape[1]), -torch.inf), 1)


def hidden(x):
    """Steps that are no keys, other ones in each sample, but never the first."""
    return (x[..., 0] > 0.3) & (torch.arange(x.shape[1]) > 0)


ATTENTIONS = {
    "self": attending(itself),
    "self, as many samples as steps": attending(itself, few),
    "one step": attending(itself, one),
    "time first": attending(turned, batch_first=False),
    "time first, as many samples as steps": attending(turned, few, batch_first=False),
    "after a layer": attending(lambda m, x: itself(m, torch.tanh(m["a"](x)))),
    "without weights": attending(lambda m, x: m["t"](x, x, x, need_weights=False)[0]),
    "weights of each head": attending(lambda m, x: m["t"](x, x, x, average_attn_weights=False)[0]),
    "its weights are used": attending(lambda m, x: m["t"](x, x, x)[1] @ x),
    "without bias": attending(itself, bias=False),
    "one key of zeros": attending(itself, add_zero_attn=True),
    "one query": attending(lambda m, x: m["t"](x[:, :1], x, x)[0]),
    "causal": attending(lambda m, x: m["t"](x, x, x, attn_mask=causal(x))[0]),
    "causal, said so": attending(
        lambda m, x: m["t"](x, x, x, attn_mask=causal(x), is_causal=True, need_weights=False)[0]
    ),
    "mask of what is seen": attending(lambda m, x: m["t"](x, x, x, attn_mask=causal(x) < 0)[0]),
    "mask of each sample": attending(lambda m, x: m["t"](x, x, x, key_padding_mask=hidden(x))[0]),
    "both masks": attending(lambda m, x: m["t"](x, x, x, key_padding_mask=hidden(x), attn_mask=causal(x) < -1)[0]),
    "mask of each sample and head": attending(
        lambda m, x: m["t"](x, x, x, attn_mask=hidden(x).repeat_interleave(2, 0)[:, None].expand(-1, 5, -1))[0]
    ),
    "twice": attending(lambda m, x: itself(m, torch.tanh(itself(m, x)))),
    "dropout that is off": attending(itself, dropout=0.5),
}
CROSSED = {
    "query and key": attending(lambda m, x: m["t"](x, x + 1, torch.tanh(x))[0]),
    "key and value": attending(lambda m, x: (lambda y: m["t"](x, y, y)[0])(m["a"](x[:, :3]))),
    "other sizes of keys and values": attending(lambda m, x: m["t"](x, x[..., :4], x[..., 1:])[0], kdim=4, vdim=5),
}
ONE_MORE = {
    "one more key": attending(itself, add_bias_kv=True),
    "one more key, masked": attending(
        lambda m, x: m["t"](x, x, x, key_padding_mask=hidden(x))[0], add_bias_kv=True, add_zero_attn=True
    ),
}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_torchs_attention_is_taken_apart(name, caplog):
    assert_taken_apart(ATTENTIONS[name], caplog)


@pytest.mark.parametrize("name", CROSSED)
def test_attention_between_two_sequences_is_taken_apart(name, caplog):
    assert_taken_apart(CROSSED[name], caplog)


@pytest.mark.parametrize("name", ONE_MORE)
def test_keys_that_are_learnt_are_right(name):
    assert_right(ONE_MORE[name])


def heads(z):
    return z.unflatten(-1, (2, 3)).transpose(1, 2)


def projected(m, x):
    return [heads(part) for part in m["q"](x).chunk(3, -1)]


def written(m, x):
    q, k, v = projected(m, x)
    y = torch.softmax(q @ k.transpose(-2, -1) / 3**0.5, -1) @ v
    return m["o"](y.transpose(1, 2).flatten(2))


def fused(**options):
    return lambda m, x: m["o"](F.scaled_dot_product_attention(*projected(m, x), **options).transpose(1, 2).flatten(2))


def biased(m, x):
    """A number for each pair of steps, as in Swin and T5."""
    q, k, v = projected(m, x)
    y = torch.softmax(q @ k.transpose(-2, -1) + m["b"].weight.unflatten(1, (5, 5))[None], -1) @ v
    return m["o"](y.transpose(1, 2).flatten(2))


def einsums(m, x):
    q, k, v = projected(m, x)
    y = torch.einsum("nhqk,nhkd->nqhd", torch.einsum("nhqd,nhkd->nhqk", q, k).softmax(-1), v)
    return m["o"](y.reshape(*x.shape))


def by_hand(run, x=rows):
    parts = {"q": linear(6, 18), "o": linear(6, 6), "h": linear(), "b": lambda: nn.Embedding(2, 25)}
    return of(lambda m, x: head(m, run(m, x)), x, **parts)


WRITTEN = {
    "products": by_hand(written),
    "fused": by_hand(fused()),
    "fused, causal": by_hand(fused(is_causal=True)),
    "fused, masked": by_hand(fused(attn_mask=torch.ones(5, 5).tril().bool())),
    "fused, its own scale": by_hand(fused(scale=0.3)),
    "a bias for each pair of steps": by_hand(biased),
    "a bias, as many samples as heads": by_hand(biased, lambda: rows()[:2]),
    "a bias, as many samples as steps": by_hand(biased, few),
    "einsum": by_hand(einsums),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_attention_written_by_hand_is_taken_apart(name, caplog):
    assert_taken_apart(WRITTEN[name], caplog)


def block(x=rows, layer=nn.TransformerEncoderLayer, run=lambda m, x: m["b"](x), **options):
    options = {"batch_first": True, "dropout": 0.1} | options
    return of(lambda m, x: head(m, run(m, x)), x, a=linear(6, 6), b=lambda: layer(6, 2, 8, **options), h=linear())


BLOCKS = {
    "plain": block(),
    "norms first": block(norm_first=True),
    "gelu": block(activation="gelu"),
    "without bias": block(bias=False),
    "causal": block(run=lambda m, x: m["b"](x, src_mask=causal(x))),
    "masked": block(run=lambda m, x: m["b"](x, src_key_padding_mask=hidden(x))),
}
DECODERS = {
    "decoder": block(layer=nn.TransformerDecoderLayer, run=lambda m, x: m["b"](x, torch.tanh(m["a"](x[:, :3])))),
    "decoder, causal": block(
        layer=nn.TransformerDecoderLayer, run=lambda m, x: m["b"](x, x, tgt_mask=causal(x)), norm_first=True
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_torchs_transformers_are_taken_apart(name, caplog):
    assert_taken_apart(BLOCKS[name], caplog)


@pytest.mark.parametrize("name", DECODERS)
def test_torchs_decoders_are_taken_apart(name, caplog):
    assert_taken_apart(DECODERS[name], caplog)


def test_a_transformer_whose_first_dimension_is_time_is_right():
    assert_right(block(run=lambda m, x: m["b"](x.transpose(0, 1)).transpose(0, 1), batch_first=False))


def test_several_blocks_and_a_norm(caplog):
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    encoder = lambda: nn.TransformerEncoder(layer, 2, nn.LayerNorm(6))  # noqa: E731
    assert_taken_apart(of(lambda m, x: head(m, m["e"](x)), rows, e=encoder, h=linear()), caplog)


def test_attention_without_a_batch_in_each_sample():
    """A network that takes its samples one by one."""
    run = lambda m, x: torch.stack([itself(m, sample) for sample in x])  # noqa: E731
    assert_right(attending(run, lambda: rows()[:3]))
