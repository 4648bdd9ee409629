"""How loops are compiled: for which arrays, and with which freedom."""

from __future__ import annotations

from typing import Any

from numba import njit, types

from minigan.backends import jit

# sums may be taken in another order and products fused, which is what vectors of numbers need; NaN and infinity stay what
# they are
FLAGS: dict[str, Any] = {
    "nogil": True,
    "cache": jit.KEPT,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz"},
}


def compiled(kinds: str) -> Any:
    """Compile for float32 and float64. `kinds` has a letter a parameter.

    A digit is an array that is read, of so many axes, after ``=`` one that is written; v a vector of the same dtype; d a
    vector of float64 that is written; f a number, i an integer, p a pair of integers.
    """
    scalars = {"f": types.float64, "i": types.int64, "p": types.UniTuple(types.int64, 2)}
    signatures = []
    for dtype in (types.float32, types.float64):
        arguments: list[Any] = []
        written = False
        for kind in kinds:
            if kind == "=":
                written = True
                continue
            axes = 1 if kind in "vd" else int(kind) if kind.isdecimal() else 0
            element = types.float64 if kind == "d" else dtype
            array = types.Array(element, axes, "C", readonly=not written and kind != "d")
            arguments.append(scalars.get(kind) or array)
            written = False
        signatures.append(types.void(*arguments))
    return njit(signatures, **FLAGS)
