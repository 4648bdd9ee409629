"""What all kernels' methods share: how one is launched."""

from __future__ import annotations

from typing import Any

from minigan.backends.cuda.source import DTYPES, MODULES
from minigan.backends.plain import PlainKernels

THREADS = 256  # of every block
BUSY = 264  # blocks that keep a large GPU busy: two for each of 132 multiprocessors
MODULE_OF = {kernel: module for module, kernels in MODULES.items() for kernel in kernels}

Array = Any
Blocks = tuple[int, int, int]


class Long(int):
    """An integer that a kernel takes as one of 64 bits."""


class Launching(PlainKernels):
    """What a backend with kernels in CUDA has: a way to launch one."""

    module: Any
    array_type: Any
    reshape: Any
    result_type: Any
    broadcast_to: Any

    def launch(self, kernel: str, blocks: Blocks, dtype: str, *args: Any) -> None:
        """Run a kernel on `blocks` of THREADS threads each; an argument is an array, None, an int or a float.

        An int is the kernel's `int`, a `Long` its `Index`, a float its `double`.
        """
        raise NotImplementedError

    def packed(self, x: Array) -> Array:
        """x in C order, copied where it is not."""
        return x if x.flags.c_contiguous else self.ascontiguousarray(x)

    def _each(self, kernel: str, out: Array, *args: Any) -> None:
        """Launch a kernel that goes over the elements of `out`, which it is told the number of."""
        if out.size:
            blocks = min(blocks_for(out.size, THREADS), 8 * BUSY)
            self.launch(kernel, (blocks, 1, 1), out.dtype.name, Long(out.size), *args)


def blocks_for(count: int, size: int) -> int:
    return -(-count // size)


def same(first: Array, *others: Array | None) -> bool:
    """Whether all are of one floating dtype."""
    return first.dtype.name in DTYPES and all(a is None or a.dtype == first.dtype for a in others)
