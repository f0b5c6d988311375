"""The images of an epoch: a task's own, and those of earlier tasks that are drawn anew each time."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Epoch:
    """How many images an epoch takes of which: all `own`, which come first, and `replay` of each earlier task's."""

    own: int
    earlier: tuple[int, ...] = ()  # numbers of images of the earlier tasks, one after the other
    replay: int = 0

    def __len__(self) -> int:
        return self.own + self.replay * len(self.earlier)

    def order(self, shuffle: torch.Generator) -> torch.Tensor:
        """The positions of an epoch's images, in random order."""
        taken, start = [torch.arange(self.own)], self.own
        for count in self.earlier:
            taken.append(start + torch.randperm(count, generator=shuffle)[: self.replay])
            start += count
        return torch.cat(taken)[torch.randperm(len(self), generator=shuffle)]
