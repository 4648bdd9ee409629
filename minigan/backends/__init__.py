"""Where arrays live and how they are computed with: the only rooms that know an array library by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigan.backends.base import Backend, storage
from minigan.backends.numpy import NUMPY
from minigan.errors import BackendError, DTypeError

__all__ = ["Backend", "SCALARS", "backend", "current", "get", "of", "set_backend", "storage", "to_array", "weak"]

SCALARS = (bool, int, float, np.generic)
_by_name: dict[str, Backend] = {"numpy": NUMPY}
by_type: dict[type, Backend] = {np.ndarray: NUMPY}
_current: Backend = NUMPY


def get(name: str) -> Backend:
    """The backend called `name`; `BackendError` if there is none."""
    try:
        return _by_name[name]
    except KeyError:
        raise BackendError(f"unknown backend {name!r}; there is: {', '.join(sorted(_by_name))}") from None


def of(array: Any) -> Backend | None:
    """The backend whose array this is, or None for anything that is not an array."""
    found = by_type.get(type(array))
    if found is None:
        found = next((b for b in _by_name.values() if isinstance(array, b.array_type)), None)
    return found


def current() -> Backend:
    """The backend where new arrays are made."""
    return _current


def set_backend(name: str) -> None:
    """Make new arrays on the backend called `name` from now on."""
    global _current
    _current = get(name)


@contextmanager
def backend(name: str) -> Iterator[Backend]:
    """``with mg.backend("numpy"):`` makes new arrays there inside the block."""
    global _current
    before, _current = _current, get(name)
    try:
        yield _current
    finally:
        _current = before


def weak(value: Any) -> Any:
    """A scalar as a Python number, which never decides a dtype; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def to_array(data: Any, copy: bool = True) -> Any:
    """An array from user's data: arrays keep their dtype and place, numbers and lists become float32 on the current backend."""
    home = of(data)
    if home is None:
        try:
            array = np.asarray(data)
            if array.dtype.kind not in "fiub":
                raise TypeError(f"it holds {array.dtype}")
        except (TypeError, ValueError) as error:
            raise DTypeError(
                f"cannot make an array of numbers from {type(data).__name__} {data!r:.60}: {error}; "
                "give a number, an array, or lists of numbers that are equally long"
            ) from None
        array = array.astype(np.float32)
        return array if _current is NUMPY else _current.from_host(array)
    if type(data) is not home.array_type:
        data = home.asarray(data)  # a subclass (matrix, memmap) becomes a plain array
    if data.dtype.kind not in "fiub":
        raise DTypeError(f"dtype {data.dtype} is not supported; use floats, integers or booleans")
    return home.array(data) if copy else data
