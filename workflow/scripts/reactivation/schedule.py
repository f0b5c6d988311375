"""At which optimizer steps of a segment its weights are kept and its kernels computed."""


def checkpoint_steps(steps_per_epoch: int, epochs: int, every: int, log_spaced: bool) -> set[int]:
    """Optimizer steps of a segment after which weights are kept: every `every` epochs, the last, and 1, 2, 4, 8, …"""
    last = steps_per_epoch * epochs
    steps = {*range(steps_per_epoch * every, last, steps_per_epoch * every), last}
    if log_spaced:
        steps |= {2**k for k in range(last.bit_length()) if 2**k < last}
    return steps
