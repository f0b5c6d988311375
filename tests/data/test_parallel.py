"""Work in threads that keeps the order."""

import time

from reactivation.data.parallel import AHEAD, mapped


def test_a_slow_reader_bounds_what_is_worked_on():
    started = []
    read = mapped(lambda item: started.append(item) or item, range(10_000), 3)
    for asked in range(1, 4):
        assert next(read) == asked - 1
        time.sleep(0.05)
        assert len(started) <= asked - 1 + 3 * AHEAD
    assert list(read) == list(range(3, 10_000))
