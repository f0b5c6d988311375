"""The forward pass in float64, which only says what each operation returns.

ReLU and pooling decide near ties there as exact arithmetic would: in float32 such flips move a kernel by 1e-5. The
network's parameters and buffers are in float64 meanwhile, and so is every tensor: casts to a lower precision are casts
to float64.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from reactivation.ntk.guards import refuse_torch_func
from reactivation.ntk.rules import EXACT, FASTER, MENDED, OPENED, Rule

HOOKS = (Tensor.register_hook, Tensor.retain_grad)  # what they do to gradients does not count
FLOAT_TENSORS = ("HalfTensor", "BFloat16Tensor", "FloatTensor", "DoubleTensor")
CASTS = (Tensor.float, Tensor.double, Tensor.half, Tensor.bfloat16)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
OTHER_PATH = "the network takes another path through its operations in float64, so its kernel cannot be trusted"


class More(tuple):
    """What a replacement of a function returns if its rule needs more than the value: (value, more, …)."""


Record = deque[tuple[Callable, list[Tensor | None]]]


class Exact(TorchFunctionMode):
    """While active, computes in float64 and records what each operation returns, in `dtype`.

    `own`: the network's own precision.
    """

    def __init__(self, samples: int, dtype: torch.dtype, own: torch.dtype):
        super().__init__()
        self.samples, self.dtype, self.own = samples, dtype, own
        self.batch_at = 0
        self.record: Record = deque()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        refuse_torch_func()
        if is_attribute(func):
            return func(*args, **kwargs)
        if (result := instead(self, func, args, kwargs, OPENED)) is not NotImplemented:
            return result
        called, args, kwargs = settled(func, args, kwargs, torch.float64)
        seen = list(tensors((args, kwargs)))
        held = {storage(t): t._version for t in seen}
        faster = FASTER if self.dtype != torch.float64 else {}
        result = values_of(faster.get(called, called), args, kwargs)
        unchanged = {at for at in held if all(t._version == held[at] for t in seen if storage(t) == at)}
        made = list(tensors(result))
        self.record.append((func, [None if storage(t) in unchanged else self.kept(t) for t in made]))
        return result[0] if isinstance(result, More) else result

    def kept(self, value: Tensor) -> Tensor | None:
        """A copy of a result, in the precision asked for; None of a sparse one."""
        if value.layout != torch.strided:
            return None
        return value.to(self.dtype if value.is_floating_point() else value.dtype, copy=True)


class Settled(TorchFunctionMode):
    """While active, every tensor of floats is in `dtype`, and torch's own faults are mended."""

    def __init__(self, dtype: torch.dtype, own: torch.dtype):
        super().__init__()
        self.dtype, self.own = dtype, own

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if (result := instead(self, func, args, kwargs, MENDED)) is not NotImplemented:
            return result
        if is_attribute(func):
            return func(*args, **kwargs)
        called, args, kwargs = settled(func, args, kwargs, self.dtype)
        return called(*args, **kwargs)


def instead(mode: TorchFunctionMode, func: Callable, args: Any, kwargs: Any, table: dict[Callable, Rule]) -> Any:
    """What a call that sets a hook returns, or one that `table` computes by other functions; else NotImplemented."""
    if func in HOOKS:
        return RemovableHandle(OrderedDict())
    return table[func](mode, *args, **kwargs) if func in table else NotImplemented


def values_of(func: Callable, args: tuple, kwargs: dict) -> Any:
    """What `func` returns, outside autograd's graph."""
    with torch.no_grad():
        return EXACT.get(func, func)(*args, **kwargs)


def is_attribute(func: Callable) -> bool:
    """Whether `func` reads or writes an attribute of a tensor, such as its shape."""
    return getattr(func, "__name__", "") in ("__get__", "__set__")


def storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)


def tensors(values: Any) -> Iterator[Tensor]:
    """The tensors in arguments or results, in lists and dicts too."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from tensors(value)
    elif isinstance(values, dict):
        yield from tensors(list(values.values()))


def settled(func: Callable, args: Any, kwargs: Any, dtype: torch.dtype) -> tuple[Callable, Any, dict]:
    """A call with every tensor of floats in `dtype`, and every precision asked for replaced by it."""
    if func in CASTS or (func is Tensor.type and len(args) > 1 and str(args[1]).endswith(FLOAT_TENSORS)):
        return Tensor.to, (args[0], dtype), {}
    if func is Tensor.view:
        func = viewed
    name = getattr(func, "__name__", "")
    into = args[:1] if args and (name.endswith("_") or name.startswith("__i")) else ()  # written in place: not a copy
    args = (*into, *(_settle(value, dtype) for value in args[len(into) :]))
    return func, args, {key: value if key == "out" else _settle(value, dtype) for key, value in kwargs.items()}


def viewed(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """A view, or a copy where the order in memory is another than torch's own operations would have left."""
    try:
        return tensor.view(*args, **kwargs)
    except RuntimeError:
        return tensor.reshape(*args, **kwargs)


def _settle(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype) if value.dtype != dtype and value.dtype in FLOATS else value
    if isinstance(value, torch.dtype):
        return dtype if value in FLOATS else value
    if type(value) in (list, tuple):
        return type(value)(_settle(part, dtype) for part in value)
    return value


@contextmanager
def in_precision(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Convert the network's parameters and buffers to `dtype`, and take the former ones back afterwards."""
    state = (*model.parameters(), *model.buffers())
    held = [(t, t.data) for t in state if t.dtype in FLOATS and t.dtype != dtype]
    try:
        for tensor, data in held:
            tensor.data = data.to(dtype)
        yield
    finally:
        for tensor, data in held:
            tensor.data = data


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Run checkpointed functions once: a recomputation would not be seen. Ignore what hooks do to gradients."""

    def once(*_, **__):
        yield

    class Direct:
        @staticmethod
        def apply(function, preserve, *args):
            return function(*args)

    hooks = [(p, p._backward_hooks) for p in model.parameters() if p._backward_hooks]
    for p, _ in hooks:
        p._backward_hooks = None
    with (
        patch.object(torch.utils.checkpoint, "_checkpoint_without_reentrant_generator", once),
        patch.object(torch.utils.checkpoint, "CheckpointFunction", Direct),
    ):
        try:
            yield
        finally:
            for p, held in hooks:
                p._backward_hooks = held
