"""What the backends whose arrays live outside the host's memory share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.backends.base import Backend


class DeviceBackend(Backend):
    """The plain kernels, but for those that lean on the host's memory or on an order that a device does not keep."""

    on_device = True

    def indices(self, index: Any) -> Any:
        """`index` with the host's arrays and lists brought to the device."""
        parts = index if isinstance(index, tuple) else (index,)
        moved = tuple(self.from_host(np.asarray(i)) if isinstance(i, (np.ndarray, list)) else i for i in parts)
        return moved if isinstance(index, tuple) else moved[0]

    def scatter_add(self, x: Any, index: Any, shape: tuple[int, ...]) -> Any:
        """As the plain kernel, without atomic additions, so that two runs are equal bit by bit.

        What falls on the same place is brought together by a stable sort and added in log2(n) passes, each element
        to the one that stands 1, 2, 4, ... before it in its group; the last of a group then holds the group's sum.
        """
        parts = index if isinstance(index, tuple) else (index,)
        if not any(isinstance(i, self.array_type) for i in parts):
            y = self.zeros(shape, x.dtype)
            y[index] = x  # slices and numbers name no place twice
            return y
        size = math.prod(shape)
        places = self.arange(size).reshape(shape)[index].reshape(-1)
        order = self.argsort(places, kind="stable")
        places, sums = places[order], x.reshape(-1)[order]
        reach = 1
        while reach < len(places):
            same = places[reach:] == places[:-reach]
            sums = self.concatenate((sums[:reach], sums[reach:] + self.where(same, sums[:-reach], 0)))
            reach *= 2
        last = self.concatenate((places[1:] != places[:-1], self.ones(min(1, len(places)), "bool")))
        flat = self.zeros(size + 1, x.dtype)
        flat[self.where(last, places, size)] = sums  # partial sums go to the place after the end
        return flat[:-1].reshape(shape)
