"""What a job takes beside its own work: bytes that a request to a cluster adds, and that the job leaves alone."""

PROCESS = {"cpu": 1.2e9, "cuda": 4e9}  # torch, and the Snakemakes around it; with CUDA's libraries
CONTEXT = 1.5e9  # of CUDA and its libraries, on a GPU
HELD = 3  # times all kernels of a segment: as they are computed, as they were saved, and joined
COPIES = 5  # of the weights, while kernels are computed: read, in place, and as float64
