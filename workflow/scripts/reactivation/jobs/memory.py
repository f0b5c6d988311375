"""Memory that a job takes besides its own work: a request to a cluster adds it, and the job leaves it free."""

from typing import Any

PROCESS = {"cpu": 1.2e9, "cuda": 4e9}  # bytes of torch and the Snakemake processes around it; with CUDA's libraries
CONTEXT = 1.5e9  # bytes of CUDA and its libraries on a GPU
HELD = 3  # copies of all kernels of a segment: as computed, as saved, and joined
COPIES = 5  # times the weights, while kernels are computed: as read, in the network, and as float64
LEAST = 10**8  # bytes for computing kernels, however little was asked for


def memory_limit(resources: Any, model: Any, cuda: bool, most: int, kernels: float = 0) -> int:
    """Bytes for computing kernels of `model`: what the job asked for, less what else it holds, and at most `most`.

    `kernels`: bytes of all kernels that will be computed.
    """
    if cuda:
        asked, taken = resources.gpu_mem_mb, CONTEXT
    else:
        asked, taken = resources.mem_mb, PROCESS["cpu"] + HELD * kernels
    taken += COPIES * sum(t.numel() * t.element_size() for t in model.state_dict().values())
    return max(LEAST, min(int(asked * 1e6 - taken), most))
