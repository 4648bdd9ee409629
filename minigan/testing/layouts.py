"""Memory layouts: ways for the same values to lie in memory, which no result may depend on.

Each takes an array, of the host or of a device, and a generator for what is left open, and gives a new array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan import backends


def _xp(a: Any) -> backends.Backend:
    """Where the array lives."""
    return backends.by_type[type(a)]


def _c(a: Any, rng: np.random.Generator) -> Any:
    return _xp(a).array(a, order="C")


def _f(a: Any, rng: np.random.Generator) -> Any:
    return _xp(a).array(a, order="F")


def _permuted(a: Any, rng: np.random.Generator) -> Any:
    """Axes in memory in an order that is not that of C, where there are two that could change places."""
    order = [int(i) for i in rng.permutation(a.ndim)]
    seen = [i for i in order if a.shape[i] > 1]
    if seen == sorted(seen):
        order.reverse()
    return _c(a.transpose(*order), rng).transpose(*(order.index(i) for i in range(a.ndim)))


def _strided(a: Any, rng: np.random.Generator) -> Any:
    """Every second place of a larger array whose other places hold NaN, the largest integer or True: not to be read."""
    if a.ndim == 0:
        return _strided(a.reshape(1), rng)[0, ...]
    poison = {"f": np.nan, "b": True}[a.dtype.kind] if a.dtype.kind in "fb" else int(np.iinfo(a.dtype).max)
    view = _xp(a).full(tuple(2 * n + 1 for n in a.shape), poison, a.dtype)[(slice(1, None, 2),) * a.ndim]
    view[...] = a
    return view


def _negative(a: Any, rng: np.random.Generator) -> Any:
    """Some axes run backwards in memory, the longest always."""
    back = [bool(flip) or n == max(a.shape) for flip, n in zip(rng.random(a.ndim) < 0.5, a.shape, strict=True)]
    backwards = (*(slice(None, None, -1 if flip else 1) for flip in back), ...)
    return _c(a[backwards], rng)[backwards]


def _broadcast(a: Any, rng: np.random.Generator) -> Any:
    """One number for all of axis 1, or of the only axis, with a stride of zero: there the values change.

    Axis 1 is that of channels, so that the values of one channel keep their spread.
    """
    if a.ndim and a.size:
        first = a[(slice(None),) * min(1, a.ndim - 1) + (slice(1),)]
        return _xp(a).broadcast_to(_c(first, rng), a.shape)
    return _xp(a).broadcast_to(_c(a, rng), a.shape)


def _read_only(a: Any, rng: np.random.Generator) -> Any:
    """An array that refuses to be written to; a device's arrays cannot, and this is a plain copy of them."""
    a = _c(a, rng)
    if isinstance(a, np.ndarray):
        a.flags.writeable = False
    return a


Layout = Callable[[Any, np.random.Generator], Any]

LAYOUTS: dict[str, Layout] = {
    "C": _c,
    "F": _f,
    "permuted": _permuted,
    "strided": _strided,
    "negative-stride": _negative,
    "broadcast": _broadcast,
    "read-only": _read_only,
}
"""``layout(array, rng)`` by name: an equal array, of the same shape and dtype, that lies in memory so.

All but ``"broadcast"`` keep the values, at any number of axes and at size 0.

>>> from minigan.testing import LAYOUTS
>>> a = np.arange(6.0).reshape(2, 3)
>>> b = LAYOUTS["strided"](a, np.random.default_rng(0))
>>> b.strides, bool((a == b).all())
((112, 16), True)
"""
