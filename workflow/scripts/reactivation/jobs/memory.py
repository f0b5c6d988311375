"""What a job takes beside its own work: bytes that a request to a cluster adds, and that the job leaves alone."""

from typing import Any

PROCESS = {"cpu": 1.2e9, "cuda": 4e9}  # torch, and the Snakemakes around it; with CUDA's libraries
CONTEXT = 1.5e9  # of CUDA and its libraries, on a GPU
HELD = 3  # times all kernels of a segment: as they are computed, as they were saved, and joined
COPIES = 5  # of the weights, while kernels are computed: read, in place, and as float64
LEAST = 10**8  # bytes in which kernels are computed, whatever was asked for


def memory_limit(resources: Any, model: Any, cuda: bool, most: int, kernels: float = 0) -> int:
    """Bytes in which a job computes kernels of `model`: what it has asked for, but for what else it holds, and no more than `most`.

    `kernels`: bytes of all that will be computed.
    """
    if cuda:
        asked, taken = resources.gpu_mem_mb, CONTEXT
    else:
        asked, taken = resources.mem_mb, PROCESS["cpu"] + HELD * kernels
    taken += COPIES * sum(t.numel() * t.element_size() for t in model.state_dict().values())
    return max(LEAST, min(int(asked * 1e6 - taken), most))
