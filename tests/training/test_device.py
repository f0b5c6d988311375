"""Threads and memory of a training."""

import functools
import json
import platform

import pytest

from helpers import own_process
from trainings import SPEC


@functools.cache
def of_its_own_process():
    """Page faults of taking and freeing 40 MB six times, before and after; a training's processor time, per second.

    A process of its own, as neither freed memory nor threads are as they were when tests before this one have run.
    """
    code = f"""
import json, resource, tempfile, time
import numpy as np, torch
from reactivation.training import networks
from reactivation.jobs.state import Writer
from reactivation.data.images import Images
from reactivation.training.device import keep_freed_memory, set_up_device
from reactivation.training.loop import train_segment

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(6):
        torch.ones(10**7)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

device = set_up_device("cpu", 1)
before = faults()
keep_freed_memory()
faults(), faults()  # the heap grows to what a step takes
after = faults()
assert torch.get_num_threads() == 1
spec = {SPEC!r}
spec["model"]["width"], spec["training"]["batch_size"], spec["epochs"] = 64, 64, [1, 2]
pixels = np.random.default_rng(0).integers(0, 256, (128, 32, 32, 3), dtype=np.uint8)
data = Images.on(device, pixels, np.arange(128) % 4, np.full(3, 0.5), np.full(3, 0.5))
model = networks.build(spec["model"], 32, 4).to(memory_format=torch.channels_last)
wall, cpu = time.perf_counter(), time.process_time()
with tempfile.TemporaryDirectory() as folder, Writer() as writer:

    def save(model, step, epoch):
        writer.checkpoint(f"{{folder}}/{{step}}.pt", model, step, epoch, {{}})

    train_segment(model, data, data, spec, (0, 0.0), save)
print(json.dumps([before, after, (time.process_time() - cpu) / (time.perf_counter() - wall)]))
"""
    return json.loads(own_process(code).splitlines()[-1])


def test_a_training_takes_no_more_processor_time_than_its_threads_have():
    """Only a real training shows that no library starts threads of its own."""
    *_, share = of_its_own_process()
    assert share < 1.1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a switch of glibc")
def test_freed_memory_is_kept_for_the_next_step():
    before, after, _ = of_its_own_process()
    assert after < before / 5
