"""The forward pass, taken apart into operations that keep their inputs and can pass cotangents of all logits back.

It runs in float64, so that ReLU and pooling decide near ties as exact arithmetic would: in float32 such flips move a
kernel by 1e-5. Each operation that is taken apart is cut out of autograd's graph as a `Node`; whatever lies between two
nodes stays in the graph. On the way back a node turns the cotangents of its output into those of its input, for all C
logits together and in the precision asked for. Autograd carries them on to earlier nodes.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from reactivation.ntk.convolution import Window, convolve
from reactivation.ntk.cotangents import Node, Use, between, port, positions, pull_convolution, pull_linear, pull_scale
from reactivation.ntk.guards import INNER_GRADIENT, explained, in_float64


class _Tap(torch.autograd.Function):
    """Cuts an operation's output off from its input; `token` still makes the output require gradients."""

    @staticmethod
    def forward(ctx, z, token):
        ctx.mark_dirty(z)  # the same tensor, not a copy; later operations may still change it in place
        return z

    @staticmethod
    def backward(ctx, gradient):
        raise ValueError(INNER_GRADIENT)


def doubled(tensor: Tensor, *, copy: bool = False) -> Tensor:
    """`tensor` outside autograd's graph, in float64 if it holds floats."""
    return tensor.detach().to(torch.float64 if tensor.is_floating_point() else tensor.dtype, copy=copy)


class Capture(TorchFunctionMode):
    """While active, takes the operations of a forward pass apart into `nodes`, in the order in which they ran."""

    def __init__(self, model: nn.Module, samples: int, dtype: torch.dtype):
        super().__init__()
        self.trained = {p for p in model.parameters() if p.requires_grad}
        self.state = {*model.parameters(), *model.buffers()}
        self.samples, self.dtype = samples, dtype
        self.nodes: dict[object, Node] = {}
        self.doubles: dict[Tensor, Tensor] = {}
        self.token = torch.zeros((), dtype=torch.float64, device=next(model.parameters()).device, requires_grad=True)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch._C._functorch.peek_interpreter_stack() is not None:
            raise ValueError("the network uses torch.func in its forward pass, which empirical_ntk does not support")
        first = args[0] if args else kwargs.get("input")
        # Otherwise samples are not the first dimension, as in an RNN over (T, n, …).
        if func in HANDLERS and getattr(first, "shape", ())[:1] == (self.samples,):
            z = HANDLERS[func](self, *args, **kwargs)
            if z is not NotImplemented:
                return z
        return func(*self.double(args), **{key: self.double(value) for key, value in kwargs.items()})

    def double(self, value):
        """`value` with parameters and buffers, alone or in lists, in float64; trained ones are leaves of the graph."""
        if type(value) in (list, tuple):
            return type(value)(map(self.double, value))
        if not isinstance(value, Tensor) or value not in self.state:
            return value
        if value not in self.doubles:
            trained = value in self.trained
            self.doubles[value] = doubled(value, copy=not trained).requires_grad_(trained)  # a pass may change buffers
        return self.doubles[value]

    def fixed(self, *tensors: Tensor | None) -> bool:
        """Whether each is a parameter itself or a constant, not computed from parameters or activations."""
        return all(t is None or t in self.trained or not t.requires_grad for t in tensors)

    def add(self, x: Tensor, z: Tensor, pull, uses: list[Use], *, source: int = 1, output: int = 1) -> Tensor:
        """Return z, computed from x without autograd, as a new node's output; `source`, `output`: channel dimension."""
        uses = [use for use in uses if use.parameter in self.trained]
        if not (uses or x.requires_grad) or not torch.is_grad_enabled():
            return z
        incoming = port(x, source) if x.requires_grad else None
        z = _Tap.apply(z.clone() if z._is_view() else z, self.token)  # in-place changes of a view lose the tap
        outgoing = port(z, output)
        self.nodes[outgoing.edge.node] = Node(incoming, outgoing, pull, uses)
        return z

    def producer(self, x: Tensor) -> Node | None:
        """The node whose unchanged output is x, if there is one."""
        return self.nodes.get(x.grad_fn)


# Each handler has the signature of the function that it replaces, and returns NotImplemented to leave it to autograd.
def _convolution(capture, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Take a conv2d apart, or a conv1d, which is a conv2d over images one pixel high."""
    if input.dim() != weight.dim() or not capture.fixed(weight, bias):
        return NotImplemented
    kernel = tuple(weight.shape[2:])
    stride, dilation = ((v,) * len(kernel) if isinstance(v, int) else tuple(v) for v in (stride, dilation))
    if isinstance(padding, str):  # "same" may pad one more after than before: pad in autograd's graph
        spare = [d * (k - 1) * (padding == "same") for d, k in zip(dilation, kernel, strict=True)]
        input, padding = F.pad(input, [side for s in reversed(spare) for side in (s // 2, s - s // 2)]), 0
    padding = (padding,) * len(kernel) if isinstance(padding, int) else tuple(padding)
    line = len(kernel) == 1
    if line:
        kernel, stride, padding, dilation = (1, *kernel), (1, *stride), (0, *padding), (1, *dilation)
    window = Window(kernel, stride, padding, dilation, groups)
    x, w = (t.detach().unsqueeze(2) if line else t.detach() for t in (input.double(), weight))
    z = convolve(x, w, bias, window)
    seen = x.permute(0, 2, 3, 1).to(capture.dtype, copy=True, memory_format=torch.contiguous_format)
    pull = partial(pull_convolution, w.to(capture.dtype), window, tuple(x.shape[2:]))
    return capture.add(
        input, z.squeeze(2) if line else z, pull, [Use(weight, "weight", seen, window), Use(bias, "bias")]
    )


def _linear(capture, input, weight, bias=None):
    if input.dim() < 2 or not capture.fixed(weight, bias):
        return NotImplemented
    x = input.detach().double()
    z = F.linear(x, weight.detach().double(), None if bias is None else bias.detach().double())
    seen = positions(x, -1).to(capture.dtype, copy=True)[:, None]
    pull = partial(pull_linear, weight.detach().to(capture.dtype))
    return capture.add(input, z, pull, [Use(weight, "weight", seen), Use(bias, "bias")], source=-1, output=-1)


def _recurrent_cell(activation, capture, input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    if input.dim() < 2 or not capture.fixed(w_ih, w_hh, b_ih, b_hh):
        return NotImplemented
    return activation(_linear(capture, input, w_ih, b_ih) + _linear(capture, hx, w_hh, b_hh))


def _embedding(capture, input, weight, padding_idx=None, max_norm=None, *args, **kwargs):
    if max_norm is not None:
        raise ValueError("an embedding with max_norm rewrites its weights as it runs: it has no kernel")
    if not capture.fixed(weight):
        return NotImplemented
    seen = input if padding_idx is None else input.masked_fill(input == padding_idx % len(weight), -1)
    use = Use(weight, "embedding", seen.reshape(len(input), -1))
    return capture.add(input, F.embedding(input, weight.detach().double()), None, [use], output=-1)


def _affine(capture, x, normal, weight, bias, factor, channel):
    """normal · weight + bias, channel by channel, where ∂normal/∂x is `factor`: the end of every normalization."""
    shape = [1] * x.dim()
    shape[channel] = -1
    z = normal.clone()
    if weight is not None:
        z, factor = z.mul_(weight.detach().double().view(shape)), factor * weight.detach().double()
    if bias is not None:
        z.add_(bias.detach().double().view(shape))
    pull = partial(pull_scale, factor.to(capture.dtype))
    uses = [Use(weight, "scale", positions(normal, channel).to(capture.dtype)), Use(bias, "bias")]
    return capture.add(x, z, pull, uses, source=channel, output=channel)


def _batch_norm(
    capture, input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    if training or running_mean is None:
        raise ValueError("batch norm with the statistics of the batch couples the samples: call model.eval() first")
    if not capture.fixed(running_mean, running_var, weight, bias):
        return NotImplemented
    factor, shape = (running_var.double() + eps).rsqrt(), (-1,) + (1,) * (input.dim() - 2)
    normal = (input.detach().double() - running_mean.double().view(shape)) * factor.view(shape)
    return _affine(capture, input, normal, weight, bias, factor, 1)


def _layer_norm(capture, input, normalized_shape, weight=None, bias=None, eps=1e-5):
    if len(normalized_shape) != 1 or input.dim() < 2 or not capture.fixed(weight, bias):
        return NotImplemented
    normal = F.layer_norm(input.double(), normalized_shape, eps=eps)
    return _affine(capture, normal, normal.detach(), weight, bias, normal.new_ones(normalized_shape), -1)


def _group_norm(capture, input, num_groups, weight=None, bias=None, eps=1e-5):
    if not capture.fixed(weight, bias):
        return NotImplemented
    normal = F.group_norm(input.double(), num_groups, eps=eps)
    return _affine(capture, normal, normal.detach(), weight, bias, normal.new_ones(input.shape[1]), 1)


def _relu(capture, input, inplace=False):
    before = capture.producer(input)
    if before is None or inplace:
        return NotImplemented
    x, channel = input.detach(), before.output.channel
    alive = positions(~(x <= 0), channel).contiguous()  # a NaN passes, as in autograd
    return capture.add(input, x.relu(), lambda z: z.masked(alive), [], source=channel, output=channel)


def _max_pool2d(capture, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    before = capture.producer(input)
    if before is None or input.dim() != 4 or before.output.channel != 1 or return_indices:
        return NotImplemented
    z, winner = F.max_pool2d(input.detach(), kernel_size, stride, padding, dilation, ceil_mode, return_indices=True)
    winner, length = positions(winner, 1).contiguous(), math.prod(input.shape[2:])
    return capture.add(input, z, lambda z: z.moved(winner, length), [])


def _dropout(capture, input, p=0.5, training=True, inplace=False):
    if training and p > 0:
        raise ValueError("dropout is active, so the logits are random: call model.eval() first")
    return input


HANDLERS: dict[Callable, Callable[..., Any]] = {
    torch.conv1d: _convolution,
    torch.conv2d: _convolution,
    F.linear: _linear,
    torch.rnn_tanh_cell: partial(_recurrent_cell, torch.tanh),
    torch.rnn_relu_cell: partial(_recurrent_cell, torch.relu),
    F.embedding: _embedding,
    F.batch_norm: _batch_norm,
    F.layer_norm: _layer_norm,
    F.group_norm: _group_norm,
    F.relu: _relu,
    torch.relu: _relu,
    Tensor.relu: _relu,
    F.max_pool2d: _max_pool2d,
    F.dropout: _dropout,
}


def linearize(model: nn.Module, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, dict[object, Node], set[Tensor]]:
    """Run one forward pass over a batch (n, …).

    Returns the logits (n, C) in float64; the nodes in the order in which they ran, with inputs kept in `dtype`; and the
    parameters that reach the logits other than through nodes. ValueError if the outputs are not such logits, or cannot
    be followed back.
    """
    capture = Capture(model, len(x), dtype)
    with in_float64(), capture:
        buffers = [(module, dict(module._buffers)) for module in model.modules()]
        try:
            with explained():
                logits = model(doubled(x, copy=True))
        finally:
            for module, held in buffers:
                module._buffers.update(held)  # a buffer that the forward pass replaced is a copy in float64
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(x) or not logits.shape[1]:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"a kernel needs logits (n, C), but for {len(x)} samples this model returns {shape}")
    if not logits.requires_grad:
        raise ValueError("no parameter that requires gradients reaches the logits")
    starts = [logits.grad_fn, *(node.source.edge.node for node in capture.nodes.values() if node.source)]
    leaves = {leaf for start in starts for leaf in between(start, capture.nodes)[1]}
    if capture.token in leaves:
        raise ValueError("the network changes an operation's output in place in a way that empirical_ntk cannot follow")
    return logits, capture.nodes, {p for p in capture.trained if p in leaves or capture.doubles.get(p) in leaves}
