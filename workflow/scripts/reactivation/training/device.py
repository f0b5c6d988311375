"""The device that a job computes on, and how: threads, precision, memory."""

import torch

from reactivation.errors import InputError


def set_up_device(name: str, threads: int) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda` means here, and set torch up for it.

    On a CPU, operations use `threads` threads and are deterministic. Factors of float32 products are not rounded: see
    `allow_tf32`. InputError for `cuda` without a GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but torch sees no GPU here: set device: cpu or auto")
    device = torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
    torch.set_num_threads(threads)
    allow_tf32(False)
    # The same as use_deterministic_algorithms, which would also import torch's compiler (0.7 s).
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "default")
    return device


def allow_tf32(allowed: bool) -> None:
    """Set whether a GPU may round factors of float32 products to 11 significant bits.

    By default torch allows it in convolutions.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next step.

    Otherwise it returns each step's activations to the system, which clears every page before it hands it out again:
    that takes up to half of a step's time on a CPU. The price is that the process holds its peak memory until it ends.
    Libraries other than glibc have no such switch.
    """
    import ctypes

    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_max, 0)


def device_name(device: torch.device) -> str:
    """The name under which a result records its device: the GPU's, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
