"""The steps at which weights are kept."""

from reactivation.jobs.schedule import checkpoint_steps, enough_steps


def test_steps_every_epochs_last_and_powers_of_two():
    assert checkpoint_steps(10, 4, every=2, log_spaced=False) == {20, 40}
    assert checkpoint_steps(10, 3, every=2, log_spaced=False) == {20, 30}
    assert checkpoint_steps(10, 2, every=5, log_spaced=True) == {1, 2, 4, 8, 16, 20}
    assert checkpoint_steps(1, 1, every=1, log_spaced=True) == {1}


def test_a_training_that_is_only_compared_stops_after_an_epoch_and_enough_checkpoints():
    assert enough_steps({1, 2, 4, 8, 10, 16, 20}, 10, first=4) == 16
    assert enough_steps({1, 2, 4, 8, 10}, 1, first=4) == 8
    assert enough_steps({10, 20, 30}, 10, first=2) == 20
    assert enough_steps({10, 20}, 10, first=4) is None and enough_steps({1, 2, 4, 8}, 8, first=2) is None
