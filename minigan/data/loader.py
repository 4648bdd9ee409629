"""Batches in a seeded, shuffled order whose place is plain state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


class Loader:
    """Shuffled batches of arrays, epoch after epoch.

    The order of an epoch follows from the seed and the epoch's number alone, and the place in it is one integer,
    so that `state_dict` says exactly where a run stands.

    Args:
        arrays: one or more with the same length, such as images and labels.
        batch_size: samples a batch. What is left over at the end of an epoch is dropped: batch norm and the
            optimiser see equal batches.
        seed: of the order.

    Attributes:
        epoch: the number of the current epoch, from 0.
        position: the number of the next batch in it.
        order: the current epoch's permutation.

    Raises:
        ValueError: arrays of different lengths, or a batch larger than the data.

    >>> loader = mg.data.Loader(np.arange(10), batch_size=4, seed=0)
    >>> [batch.shape for (batch,) in loader]
    [(4,), (4,)]
    >>> loader.epoch, loader.position
    (1, 0)
    """

    def __init__(self, *arrays: Any, batch_size: int, seed: int = 0) -> None:
        lengths = {len(a) for a in arrays}
        if len(lengths) != 1:
            raise ValueError(f"a loader takes arrays of one length, got {sorted(lengths)}")
        self.arrays, self.batch_size, self.seed = arrays, batch_size, seed
        self.size = lengths.pop()
        if not 1 <= batch_size <= self.size:
            raise ValueError(f"batch_size must be from 1 to the {self.size} samples there are, got {batch_size}")
        self.start(0)

    def start(self, epoch: int, position: int = 0) -> None:
        """Go to a batch of an epoch, both counted from 0.

        >>> loader = mg.data.Loader(np.arange(6), batch_size=2)
        >>> loader.start(epoch=3, position=1)
        >>> loader.epoch, loader.position
        (3, 1)
        """
        self.epoch, self.position = epoch, position
        self.order = np.random.default_rng([self.seed, epoch]).permutation(self.size)

    def __len__(self) -> int:
        """Batches an epoch."""
        return self.size // self.batch_size

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The rest of the current epoch."""
        epoch = self.epoch
        while self.epoch == epoch:
            yield self.next()

    def next(self) -> tuple[Any, ...]:
        """The next batch, a tuple with a part of each array.

        >>> loader = mg.data.Loader(np.arange(6), -np.arange(6), batch_size=2)
        >>> a, b = loader.next()
        >>> a.shape, bool((a == -b).all())
        ((2,), True)
        """
        begin = self.position * self.batch_size
        chosen = self.order[begin : begin + self.batch_size]
        batch = tuple(a[chosen] for a in self.arrays)
        if self.position + 1 == len(self):
            self.start(self.epoch + 1)
        else:
            self.position += 1
        return batch

    def state_dict(self) -> dict[str, int]:
        """Seed, epoch, position, and what they only mean something for: size and batch size.

        >>> mg.data.Loader(np.arange(6), batch_size=2).state_dict()
        {'seed': 0, 'epoch': 0, 'position': 0, 'size': 6, 'batch_size': 2}
        """
        return {
            "seed": self.seed,
            "epoch": self.epoch,
            "position": self.position,
            "size": self.size,
            "batch_size": self.batch_size,
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go to the place that `state_dict` described.

        Raises:
            ValueError: the state is of other data or of another batch size.

        >>> a, b = (mg.data.Loader(np.arange(6), batch_size=2) for _ in range(2))
        >>> _ = a.next()
        >>> b.load_state_dict(a.state_dict())
        >>> b.position
        1
        """
        for key in ("size", "batch_size"):
            if state[key] != getattr(self, key):
                raise ValueError(f"the loader's state has {key} {state[key]}, this loader has {getattr(self, key)}")
        self.seed = state["seed"]
        self.start(state["epoch"], state["position"])
