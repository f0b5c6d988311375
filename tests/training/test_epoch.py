"""Which images an epoch takes, in which order."""

import torch

from reactivation.training.epoch import Epoch


def test_without_earlier_tasks_it_is_a_permutation_as_torch_draws_it():
    one, other = (torch.Generator().manual_seed(3) for _ in range(2))
    assert torch.equal(Epoch(50).order(one), torch.randperm(50, generator=other))
    assert torch.equal(one.get_state(), other.get_state())


def test_it_takes_all_of_its_own_images_and_new_ones_of_each_earlier_task():
    epoch, shuffle = Epoch(20, (30, 10), 4), torch.Generator().manual_seed(0)
    assert len(epoch) == 28
    drawn = []
    for _ in range(40):
        order = epoch.order(shuffle)
        own, first, second = (order[(order >= a) & (order < b)] for a, b in ((0, 20), (20, 50), (50, 60)))
        assert own.sort().values.tolist() == list(range(20)) and own.tolist() != list(range(20))
        assert len(first) == len(set(first.tolist())) == len(second) == len(set(second.tolist())) == 4
        drawn.append({*first.tolist(), *second.tolist()})
    assert len(set(map(frozenset, drawn))) == 40 and set.union(*drawn) == set(range(20, 60))
    assert not torch.equal(order.sort().values, order)  # replayed images are not at the end
