"""What a kernel is protected from: lower precision, random numbers, coupled samples, too little memory."""

import ctypes
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

Result = TypeVar("Result")

LOG = logging.getLogger("reactivation.ntk")
INNER_GRADIENT = "the network differentiates in its forward pass, which empirical_ntk does not support"
DRAWS = "the network draws random numbers"
ONE_AT_A_TIME = threading.RLock()  # torch has one default dtype for all threads, and a kernel changes it


def in_less_memory(limit: int, work: Callable[[int], Result]) -> Result:
    """Return work(limit), again with half the limit whenever memory runs out.

    Inside a chunk `in_chunks` halves the chunk instead.
    """
    while True:
        try:
            return work(limit)
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error) or limit < 1 << 12:
                raise
        limit //= 2  # not inside `except`: the memory that the error holds is free only here
        LOG.warning("memory ran out: trying again with %.0f MB", limit / 1e6)


def default_memory_limit(device: torch.device) -> int:
    """The default limit in bytes: a quarter of what is free, at most 4 GiB."""
    return min(_free_bytes(device) // 4, 4 << 30)


def _free_bytes(device: torch.device) -> int:
    if device.type != "cuda":
        return psutil.virtual_memory().available
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch keeps it for new tensors
    return torch.cuda.mem_get_info(device)[0] + held


def give_back(device: torch.device) -> None:
    """Return freed memory that the C library keeps for later, and which counts as taken."""
    if device.type == "cpu" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):  # glibc's
        trim(0)


@contextmanager
def scratch(size: int) -> Iterator[IO[bytes]]:
    """A temporary file that is gone with the process; OSError if no disk has room for twice `size` bytes."""
    in_memory = {part.mountpoint for part in psutil.disk_partitions(all=True) if part.fstype in ("tmpfs", "ramfs")}
    for folder in map(Path.resolve, map(Path, (tempfile.gettempdir(), "/var/tmp"))):
        mount = next((str(at) for at in (folder, *folder.parents) if at.is_mount()), "")
        if mount not in in_memory and folder.is_dir() and shutil.disk_usage(folder).free > 2 * size:
            with tempfile.TemporaryFile(dir=folder) as file:
                yield file
            return
    raise OSError(f"no disk for temporary files has room for {size / 1e6:.0f} MB")


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Switch off TF32, bf16 and autocast, and switch on gradients, whatever the caller has set."""
    backends: Any = torch.backends  # its modules create their switches on first access
    lowered: list[tuple[Any, str]] = []
    of_device = [backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn]
    if device.type == "cuda":
        of_device = [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn]
    try:
        older = torch.get_float32_matmul_precision()
    except RuntimeError:  # it disagrees with the newer switches, `fp32_precision`; only those count then
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


def tell_unknown(model: nn.Module, unknown: Collection[Tensor]) -> None:
    """Warn, once for the same ones, of parameters that are differentiated sample by sample."""
    modules = dict(model.named_modules())
    listed = [
        f"{name} ({type(modules[name.rpartition('.')[0]]).__name__})"
        for name, p in model.named_parameters()
        if p in unknown
    ]
    if listed:
        _warn_once(f"these are differentiated sample by sample, which is exact but slow: {', '.join(listed)}")


@cache
def _warn_once(message: str) -> None:
    LOG.warning(message)


def refuse_torch_func() -> None:
    """Raise ValueError inside a function transform of torch."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        raise ValueError("the network uses torch.func in its forward pass, which empirical_ntk does not support")


def refuse_by_name(model: nn.Module) -> None:
    """Raise ValueError for scripted modules, backward hooks, and batch norm or dropout in training mode.

    Batch norm then mixes the samples, so that f(x_i) has no gradient of its own; dropout makes f random.
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(
                f"{name or 'the model'} is scripted, which hides its operations: pass the module it came from"
            )
        if module._backward_hooks or module._backward_pre_hooks:
            raise ValueError(f"{name or 'the model'} has a backward hook, which may change gradients: remove it first")
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"{name} ({type(module).__name__}) is a batch norm with the statistics of the batch, which couples the "
                "samples: track_running_stats=True and call model.eval()"
            )
        coupling = isinstance(module, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd)
        if coupling and module.training:
            raise ValueError(f"{name} ({type(module).__name__}) is in training mode: call model.eval() first")


class NoDraws(TorchDispatchMode):
    """While active, refuses operations that draw from a generator. Other threads may draw."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: otherwise torch imports its compiler (0.7 s) to skip what is not compiled anyway."""
        return False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        before = generators()
        result = func(*args, **(kwargs or {}))
        if not all(map(torch.equal, before, generators())):  # attention without dropout has the tag and draws nothing
            raise ValueError(f"{DRAWS} ({func}), so its logits are random: call model.eval() first")
        return result


def generators() -> list[Tensor]:
    """The states of torch's random generators."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [])]


@contextmanager
def undrawn() -> Iterator[None]:
    """Give the random generators their states back if a network is refused because it draws."""
    states = generators()
    try:
        yield
    except ValueError as error:
        if DRAWS not in str(error):
            raise
        torch.set_rng_state(states[0])
        if len(states) > 1:
            torch.cuda.set_rng_state_all(states[1:])
        raise


@contextmanager
def in_default(dtype: torch.dtype) -> Iterator[None]:
    """Make `dtype` the default for tensors that a model creates itself, such as its first hidden state."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


@contextmanager
def explained() -> Iterator[None]:
    """Replace torch's errors for networks that have no kernel by ValueErrors that say why."""
    try:
        yield
    except RuntimeError as error:
        if not any(said in str(error) for said in ("differentiated Tensor", "does not require grad and does not have")):
            raise
        raise ValueError(INNER_GRADIENT) from error


def ran_out(error: Exception) -> bool:
    """Whether an error says that memory ran out; a CPU's allocator raises a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        said in str(error) for said in ("can't allocate memory", "could not create a primitive", "ALLOC_FAILED")
    )
