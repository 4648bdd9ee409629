"""The inner loops of `minigan.backends.passes`, fused and compiled by Numba: the extra ``fast``. Imported when first needed.

Compiling takes about half a minute, once; the machine code is kept on disk. Every loop runs without Python's global lock, in
one thread: `minigan.backends.pool` cuts the work.
"""

from minigan.backends.compiled.convolutions import fold, patches
from minigan.backends.compiled.rows import (
    adam,
    channel_moments,
    channel_sums,
    leaky_relu,
    leaky_relu_grad,
    norm_grad,
    norm_sums,
    normalize,
)
from minigan.backends.compiled.tiles import (
    join_outputs,
    join_taps,
    join_windows,
    split_outputs,
    split_taps,
    split_windows,
)
from minigan.backends.compiled.waiting import wait
from minigan.backends.passes import relu

__all__ = [
    "adam", "channel_moments", "channel_sums", "fold", "join_outputs", "join_taps", "join_windows", "leaky_relu",
    "leaky_relu_grad", "norm_grad", "norm_sums", "normalize", "patches", "relu", "split_outputs", "split_taps",
    "split_windows", "wait",
]  # fmt: skip
