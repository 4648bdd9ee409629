"""Memory that is used again: large arrays are views of blocks, and a block that nobody sees any more is the next array's."""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

import numpy as np

SMALLEST = 1 << 16  # bytes; the system's allocator is as good for less
LARGEST = 1 << 28  # bytes; more is given back to the system at once
STEP = 1 << 14  # sizes are rounded up to this, so that nearly equal arrays share blocks
SLACK = 1.6  # a free block may be this many times as large as what is asked for
ALIGNMENT = 64  # a cache line, and the widest register
BOUND = 1 << 28  # bytes of free blocks that are kept at most when memory is asked for


class Memory:
    """Blocks by size, and the arrays made of them.

    An array from `empty` is like one from ``numpy.empty``, but that its memory may have been another array's before. NumPy
    makes the block the ``base`` of every array and view in it, so its reference count says whether anybody sees it. Nothing
    happens when an array dies, which is when Python would swallow an interrupt.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self.bound = bound
        self._blocks: dict[int, list[Any]] = {}  # sizes in the order of their last use
        self._lock = threading.Lock()

    def empty(self, shape: Any, dtype: Any = float) -> Any:
        """An array of C order with arbitrary values."""
        dtype = np.dtype(dtype)
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        size = math.prod(shape) * dtype.itemsize
        if not SMALLEST <= size <= LARGEST or dtype.hasobject:
            return np.empty(shape, dtype)
        size = -(-size // STEP) * STEP
        with self._lock:
            block = self._unseen(size)
            if block is None:
                self._trim(self.bound)
                block = np.empty(size + ALIGNMENT, np.uint8)
                self._blocks.setdefault(size, []).append(block)
            return np.ndarray(shape, dtype, block, -block.ctypes.data % ALIGNMENT)

    def _unseen(self, size: int) -> Any:
        """A free block of about this size, the best that there is; None without one."""
        for near in sorted(s for s in self._blocks if size <= s <= SLACK * size):
            blocks = self._blocks[near] = self._blocks.pop(near)  # the last one used
            for i in range(len(blocks)):
                if references(blocks, i) == ALONE:
                    return blocks[i]
        return None

    @property
    def free(self) -> int:
        """Bytes of the blocks that nobody sees."""
        return sum(
            size for size, blocks in self._blocks.items() for i in range(len(blocks)) if references(blocks, i) == ALONE
        )

    def _trim(self, bound: int) -> None:
        """Let free blocks go, those first that were not used for longest, until no more than `bound` bytes are left."""
        free = self.free
        for size, blocks in self._blocks.items():
            for i in reversed(range(len(blocks))):
                if free > bound and references(blocks, i) == ALONE:
                    del blocks[i]
                    free -= size

    def clear(self) -> None:
        """Let all free blocks go."""
        with self._lock:
            self._trim(0)
            self._blocks = {size: blocks for size, blocks in self._blocks.items() if blocks}


def references(blocks: list[Any], i: int) -> int:
    """How often a block is referred to; what this look itself adds differs between versions of Python."""
    return sys.getrefcount(blocks[i])


ALONE = references([np.empty(0, np.uint8)], 0)
MEMORY = Memory()
"""What the NumPy backend makes its arrays of."""
