"""Writing during the computation: in order, not too far behind, and never silently lost."""

import itertools
import threading

import numpy as np
import pytest

from reactivation.jobs import state
from reactivation.jobs.state import Saved, Writer
from trainings import train


def test_calls_are_made_in_order_in_one_thread_of_their_own():
    done = []
    with Writer() as writer:
        for i in range(50):
            writer.put(lambda i: done.append((i, threading.get_ident())), i)
    assert [i for i, _ in done] == list(range(50))
    assert len({thread for _, thread in done} | {threading.get_ident()}) == 2


def test_no_more_calls_wait_than_may():
    """The third waits for the first: one at work and one waiting are already two."""
    go, done, handed_over = threading.Event(), [], []

    def slow(i):
        go.wait()
        done.append(i)

    with Writer(waiting=2) as writer:

        def hand_over():
            for i in range(4):
                writer.put(slow, i)
                handed_over.append(i)

        thread = threading.Thread(target=hand_over)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive() and handed_over == [0, 1] and not done
        go.set()
        thread.join()
    assert done == handed_over == [0, 1, 2, 3]


def fail():
    raise OSError("no room")


@pytest.mark.parametrize("use", ["put", "flush", "leave"])
def test_what_goes_wrong_in_the_thread_is_raised_here(use):
    with pytest.raises(OSError, match="no room"), Writer(waiting=1) as writer:
        writer.put(fail)
        if use == "put":
            writer.put(print)
            pytest.fail("the error went by")
        if use == "flush":
            writer.flush()
            pytest.fail("the error went by")


def test_an_error_of_the_computation_is_not_hidden_by_one_of_the_writer():
    with pytest.raises(ValueError, match="mine"), Writer() as writer:
        writer.put(fail)
        raise ValueError("mine")


def test_a_state_is_saved_after_the_checkpoints_before_it(tmp_path):
    """Even on a slow disk, whoever goes on from a state finds them."""
    go, path = threading.Event(), tmp_path / "state.pt"

    def checkpoint():
        go.wait()
        assert not path.exists()

    with Writer() as writer:
        writer.put(checkpoint)
        threading.Timer(0.2, go.set).start()
        Saved(path, 0, first=writer.flush).write({"step": 1})
        assert path.exists() and go.is_set()


def test_it_is_saved_no_more_often_than_asked_for(tmp_path, monkeypatch):
    times, saved = [], Saved(tmp_path / "state.pt", every=1e9)
    train(saved=saved)
    assert not (tmp_path / "state.pt").exists()
    clock = itertools.count()
    monkeypatch.setattr(state.time, "monotonic", lambda: float(next(clock)))
    saved = Saved(tmp_path / "state.pt", every=5)
    monkeypatch.setattr(state, "write_tensors", lambda path, content: times.append(content["work"]["seconds"]))
    train(saved=saved)
    assert len(times) > 1 and (np.diff(times) >= 5).all()
