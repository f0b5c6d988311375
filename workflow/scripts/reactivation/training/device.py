"""The device that a job computes on, and how: threads, precision, memory."""

import torch

from reactivation.errors import InputError


def set_up_device(name: str, threads: int) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` means here; on CPU with `threads` threads and deterministic operations.

    Products of float32 are exact: see `allow_tf32`.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but torch sees no GPU here: set device: cpu or auto")
    device = torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
    torch.set_num_threads(threads)
    allow_tf32(False)
    # Not use_deterministic_algorithms, which is the same but for importing torch's compiler, for 0.7 s.
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "default")
    return device


def allow_tf32(allowed: bool) -> None:
    """Whether a GPU may round the factors of products of float32 to 11 significant bits; torch's convolutions may, by default."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def keep_freed_memory() -> None:
    """Let the C library keep memory that is freed, for the next step.

    It would hand the activations of each step back to the system, which clears every page before it gives it again: up to
    half of a step's time on a CPU. The price is that the process holds its peak until it ends. Libraries other than glibc have
    no such switch.
    """
    import ctypes

    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_max, 0)


def device_name(device: torch.device) -> str:
    """What a result says of the device it was computed on."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
