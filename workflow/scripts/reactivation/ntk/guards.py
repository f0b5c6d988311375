"""What a kernel is protected from, and what it refuses: other precisions, random numbers, couplings of samples, too little memory."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

LOG = logging.getLogger("reactivation.ntk")
INNER_GRADIENT = "the network differentiates in its forward pass, which its kernel cannot look through"
ONE_AT_A_TIME = threading.RLock()  # torch has one default precision for all threads, and kernels change it


def in_less_memory(limit: int, work: Callable[[int], dict]) -> dict:
    """work(limit), in half the memory where it runs out between chunks, which are halved where they stand."""
    while True:
        try:
            return work(limit)
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error) or limit < 1 << 12:
                raise
        limit //= 2  # not above: what the error holds on to is free only here
        LOG.warning("memory ran out: again, for %.0f MB", limit / 1e6)


def default_memory_limit(device: torch.device) -> int:
    """Bytes: a quarter of what is free, 4 GiB at most."""
    return min(_free_bytes(device) // 4, 4 << 30)


def _free_bytes(device: torch.device) -> int:
    if device.type != "cuda":
        return psutil.virtual_memory().available
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for what comes
    return torch.cuda.mem_get_info(device)[0] + held


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """No TF32, no bf16, no autocast, and gradients whatever the caller has switched off."""
    backends: Any = torch.backends  # its modules make their switches as they are asked for
    lowered: list[tuple[Any, str]] = []
    of_device = [backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn]
    if device.type == "cuda":
        of_device = [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn]
    try:
        older = torch.get_float32_matmul_precision()
    except RuntimeError:  # it disagrees with the newer switches, `fp32_precision`, which are then the ones that count
        older = "highest"
    try:
        if older != "highest":
            torch.set_float32_matmul_precision("highest")
        # Only what must change is set: a switch once set no longer follows the more general ones.
        lowered = [(s, s.fp32_precision) for s in of_device if s.fp32_precision not in ("ieee", "none")]
        for switch, _ in lowered:
            switch.fp32_precision = "ieee"
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast("cuda", enabled=False),
            torch.autocast("cpu", enabled=False),
        ):
            yield
    finally:
        for switch, precision in lowered:
            switch.fp32_precision = precision
        if older != "highest":
            torch.set_float32_matmul_precision(older)


def tell_unknown(model: nn.Module, names: list[str]) -> None:
    modules = dict(model.named_modules())
    listed = [f"{name} ({type(modules[name.rpartition('.')[0]]).__name__})" for name in names]
    if listed:
        _warn_once(f"not taken apart, so differentiated sample by sample, which is exact but slow: {', '.join(listed)}")


@cache
def _warn_once(message: str) -> None:
    LOG.warning(message)


def refuse_by_name(model: nn.Module) -> None:
    """In training mode batch norm mixes the samples, so that f(x_i) has no gradient of its own, and dropout is noise."""
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(
                f"{name or 'the model'} is scripted, which hides its operations: pass the module it came from"
            )
        if module._backward_hooks or module._backward_pre_hooks:
            raise ValueError(f"{name or 'the model'} has a backward hook, which may change gradients: remove it first")
        coupling = isinstance(module, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd)
        if coupling and module.training:
            raise ValueError(f"{name} ({type(module).__name__}) is in training mode: call model.eval() first")


class NoDraws(TorchDispatchMode):
    """While active, refuses operations that draw from a generator. Other threads may draw."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: else torch imports its compiler, for 0.7 s, to tell it to skip what is not compiled anyway."""
        return False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        before = _generators()
        result = func(*args, **(kwargs or {}))
        if not all(map(torch.equal, before, _generators())):  # attention without dropout has the tag and draws nothing
            raise ValueError(
                f"the network draws random numbers ({func}), so its logits are random: call model.eval() first"
            )
        return result


def _generators() -> list[Tensor]:
    """States of torch's own."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [])]


@contextmanager
def in_float64() -> Iterator[None]:
    """The precision of tensors that a model makes itself, such as its first hidden state."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


@contextmanager
def explained() -> Iterator[None]:
    """Torch's errors of networks that have no kernel, in words."""
    try:
        yield
    except RuntimeError as error:
        if "differentiated Tensor" in str(error):
            raise ValueError(INNER_GRADIENT) from error
        if "dtype" not in str(error):
            raise
        raise ValueError(f"the network does not run in float64, as its kernel must: {error}") from error


def ran_out(error: Exception) -> bool:
    """Whether there was no memory left; a CPU's allocator raises a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        said in str(error) for said in ("can't allocate memory", "could not create a primitive", "ALLOC_FAILED")
    )
