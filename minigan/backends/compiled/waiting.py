"""Waiting without sleep and without Python's global lock."""

from __future__ import annotations

from typing import Any

from numba import njit, types
from numba.extending import intrinsic

from minigan.backends.compiled.signatures import FLAGS

LOOKS = 400_000  # some hundred microseconds


@intrinsic
def now(_: Any, counter: Any) -> Any:
    """The number in an array as it is at this moment, which a compiler would else read once and for all."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.load_atomic(array.data, ordering="acquire", align=8)

    return types.int64(counter), code


@njit("void(int64[::1], int64)", **FLAGS)
def wait(counter, seen):
    """Until the counter is no longer what was seen, or for a short while."""
    looks = 0
    while looks < LOOKS and now(counter) == seen:
        looks += 1
