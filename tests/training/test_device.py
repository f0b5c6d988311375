"""Threads and memory of a training."""

import platform

import pytest

from helpers import own_process
from trainings import SPEC


def test_a_training_takes_no_more_processor_time_than_its_threads_have():
    code = f"""
import tempfile, time
import numpy as np, torch
from reactivation.training import networks
from reactivation.jobs.state import Writer
from reactivation.data.images import Images
from reactivation.training.device import keep_freed_memory, set_up_device
from reactivation.training.loop import train_segment

device = set_up_device("cpu", 1)
keep_freed_memory()
assert torch.get_num_threads() == 1
spec = {SPEC!r}
spec["model"]["width"], spec["training"]["batch_size"], spec["epochs"] = 64, 64, [1, 2]
pixels = np.random.default_rng(0).integers(0, 256, (256, 32, 32, 3), dtype=np.uint8)
data = Images.on(device, pixels, np.arange(256) % 4, np.full(3, 0.5), np.full(3, 0.5))
model = networks.build(spec["model"], 32, 4).to(memory_format=torch.channels_last)
wall, cpu = time.perf_counter(), time.process_time()
with tempfile.TemporaryDirectory() as folder, Writer() as writer:

    def save(model, step, epoch):
        writer.checkpoint(f"{{folder}}/{{step}}.pt", model, step, epoch)

    train_segment(model, data, data, spec, (0, 0.0), save)
print((time.process_time() - cpu) / (time.perf_counter() - wall))
"""
    assert float(own_process(code).splitlines()[-1]) < 1.1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a switch of glibc")
def test_freed_memory_is_kept_for_the_next_step():
    """Page faults of taking and freeing 40 MB a hundred times, before and after."""
    code = """
import resource
import torch
from reactivation.training.device import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        torch.ones(10**7)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
keep_freed_memory()
torch.ones(10**7)
print(before, faults())
"""
    before, after = map(int, own_process(code).split())
    assert after < before / 5
