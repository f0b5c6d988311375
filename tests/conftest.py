"""What all tests share: one thread, one finished study, and the list of where the time went."""

import gc
from collections import defaultdict

import pytest

import shared_study
import warm_python

# Workers take files in this order, after all fast ones: Slurm's tests wait most, and so go beside the others.
LONG = ("test_slurm.py", "test_faults.py", "test_conda.py", "test_real_images.py")


def pytest_collection_modifyitems(items):
    """Tests of functions first, so that what they find is seen at once; then whole studies, the longest first."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: ("workflow" in item.path.parts, place.get(item.path.name, len(LONG))))


def pytest_collection_finish():
    import torch  # not above: the process that only hands tests out does not need it

    torch.set_num_threads(1)  # on a busy machine, waiting threads slow tensors as small as the tests' a hundredfold
    gc.enable()  # the module that scripts import first switches it off


def pytest_sessionfinish():
    warm_python.stop()


def pytest_terminal_summary(terminalreporter):
    """Seconds of each file of tests, the slowest first: continuous integration's log keeps them, so growth is seen."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.location[0]] += report.duration
    if seconds:
        terminalreporter.section(f"{sum(seconds.values()):.0f} seconds, by file")
    for file, duration in sorted(seconds.items(), key=lambda item: -item[1])[:25]:
        terminalreporter.line(f"{duration:6.1f} {file}")


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory):
    """A folder in which the study of `shared_study` has been run. Tests that change files there copy it first."""
    return shared_study.finished_once(tmp_path_factory)
