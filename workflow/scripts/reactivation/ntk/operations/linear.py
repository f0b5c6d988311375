"""Linear layers: a weight (O, K), or (K, O), on rows of K numbers, and a bias."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from reactivation.ntk.cotangent import Cotangent
from reactivation.ntk.graph import positions
from reactivation.ntk.rules import takes_apart


@takes_apart(F.linear)
def linear(capture, input, weight, bias=None):
    return _product(capture, input, weight, bias, turned=False)


@takes_apart(torch.addmm, Tensor.addmm)
def added_product(capture, input, mat1, mat2, *, beta=1, alpha=1, out=None):
    """input + mat1 mat2, with the bias first, as in the layers of GPT-2."""
    if (beta, alpha, out) != (1, 1, None) or input.dim() != 1:
        return NotImplemented
    return _product(capture, mat1, mat2, input, turned=True)


@takes_apart(torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm)
def product(capture, input, other, *, out=None):
    """Activations times a weight (K, O), or a weight (O, K) times activations (n, K, positions)."""
    if out is not None or not isinstance(other, Tensor):
        return NotImplemented
    if other.dim() == 2 and not capture.varies(other):
        return _product(capture, input, other, None, turned=True)
    if input.dim() == 2 and other.dim() == 3 and not capture.varies(input):
        return _from_the_left(capture, input, other)
    return NotImplemented


def _from_the_left(capture, weight: Tensor, input: Tensor):
    if not capture.fixed(weight) or not capture.by_sample(input) or capture.batch_at:
        return NotImplemented
    (z,) = capture.values()
    seen = positions(input.detach(), 1, capture.samples)[:, None]
    sources = [(input, 1)] if input.requires_grad else []
    return capture.node(z, partial(_pull, weight.detach()), sources, capture.uses(weight, "weight", seen), 1)


def _product(capture, input: Tensor, weight: Tensor, bias: Tensor | None, *, turned: bool):
    if input.dim() < 2 or weight.dim() != 2 or not capture.fixed(weight, bias) or not capture.of_samples(input):
        return NotImplemented
    if not weight.numel():
        return NotImplemented
    if capture.batch_at == 1:
        return _batch_second(capture, input, weight, bias, turned)
    if not capture.by_sample(input):
        return NotImplemented
    (z,) = capture.values()
    return _node(capture, z, input, weight, bias, turned)


def _node(capture, z: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None, turned: bool) -> Tensor:
    """The layer's output z, for an input whose rows are ordered by sample."""
    seen = positions(input.detach(), -1, capture.samples)[:, None]
    uses = capture.uses(weight, "weight", _copied(seen, input), turned=turned) + capture.uses(bias, "bias")
    sources = [(input, -1)] if input.requires_grad else []
    pull = partial(_pull, weight.detach() if not turned else weight.detach().T)
    return capture.node(z, pull, sources, uses, -1)


def _copied(seen: Tensor, input: Tensor) -> Tensor:
    """A copy, as the network may go on to change its activations in place."""
    return seen if seen.data_ptr() != input.data_ptr() else seen.clone()


def _batch_second(capture, input, weight, bias, turned):
    """Rows (time · n, K) or (time, n, K), as inside torch's multi-head attention."""
    (z,) = capture.values()
    n = capture.samples
    x = (input if input.dim() == 3 else input.unflatten(0, (-1, n))).transpose(0, 1)
    out = z.view(*input.shape[:-1], -1)
    out = (out if out.dim() == 3 else out.unflatten(0, (-1, n))).transpose(0, 1).contiguous()
    made = _node(capture, out, x, weight, bias, turned).transpose(0, 1).contiguous()
    return made if input.dim() == 3 else made.flatten(0, 1)


def _pull(weight: Tensor, cotangent: Cotangent) -> list[Cotangent]:
    """Carry a cotangent from the output of y = weight · x, weight (O, K), to its input."""
    dense = cotangent.dense()
    logits_first = dense.transpose(0, 1).is_contiguous()  # in memory: one product needs no copy then
    rows = dense.transpose(0, 1) if logits_first else dense
    values = (rows.flatten(0, 2) @ weight).view(*rows.shape[:3], -1)
    return [Cotangent(values.transpose(0, 1) if logits_first else values, cotangent.length)]
