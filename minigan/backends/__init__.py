"""Where arrays live and how they are computed with: the only rooms that know an array library by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigan.backends.array import Array
from minigan.backends.base import Backend, HostArray, storage
from minigan.backends.numpy import NUMPY
from minigan.backends.pool import own_threads, set_threads, threads
from minigan.errors import BackendError, DTypeError

__all__ = [
    "Array", "Backend", "HostArray", "SCALARS", "backend", "current", "free_memory", "get", "of", "own_threads", "register",
    "set_backend", "set_threads", "storage", "threads", "to_array", "weak",
]  # fmt: skip

SCALARS = (bool, int, float, np.generic)
_by_name: dict[str, Backend] = {"numpy": NUMPY}
by_type: dict[type, Backend] = {np.ndarray: NUMPY}
_current: Backend = NUMPY


def get(name: str) -> Backend:
    """The backend called `name`, loaded when first asked for; `BackendError` if there is none, or it cannot be used."""
    if name == "cupy" and name not in _by_name:
        from minigan.backends.cupy import load

        register(load())
    try:
        return _by_name[name]
    except KeyError:
        raise BackendError(f"unknown backend {name!r}; there is: {', '.join(sorted({*_by_name, 'cupy'}))}") from None


def register(made: Backend) -> None:
    """Make a backend known by its name and by the type of its arrays."""
    _by_name[made.name] = by_type[made.array_type] = made


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
    """Make new arrays on the backend called `name` from now on.

    Raises:
        BackendError: a backend that is unknown or cannot be used here.

    >>> mg.set_backend("numpy")
    >>> mg.tensor(1.0).backend
    'numpy'
    """
    global _current
    _current = get(name)


@contextmanager
def backend(name: str) -> Iterator[Backend]:
    """``with mg.backend("numpy"):`` makes new arrays there inside the block.

    Raises:
        BackendError: a backend that is unknown or cannot be used here.

    >>> with mg.backend("numpy"):
    ...     x = mg.tensor(1.0)
    >>> x.backend
    'numpy'
    """
    global _current
    before, _current = _current, get(name)
    try:
        yield _current
    finally:
        _current = before


def free_memory() -> None:
    """Give memory back to the system that is kept to be used again; what arrays hold stays.

    >>> mg.backends.free_memory()
    """
    for made in set(_by_name.values()):
        made.free_memory()


def weak(value: Any) -> Any:
    """A scalar as a Python number, which never decides a dtype; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def to_array(data: Any, copy: bool = True, home: Backend | None = None, dtype: Any = "float32") -> Any:
    """An array from user's data.

    A device's array stays where it is. What lies in the host's memory goes to the backend `home`, the current one when
    left out: arrays keep their dtype, numbers and lists become `dtype`.
    """
    place = of(data)
    if place is not None and place is not NUMPY:
        return place.array(data) if copy else data
    home = home or _current
    if place is NUMPY:
        array = (
            data if type(data) is np.ndarray else np.asarray(data)
        )  # a subclass (matrix, memmap) becomes a plain array
        if array.dtype.kind not in "fiub":
            raise DTypeError(f"dtype {array.dtype} is not supported; use floats, integers or booleans")
    else:
        array, copy = _from_lists(data, dtype), copy and hasattr(data, "dtype")
    if home is not NUMPY:
        return home.from_host(array)
    return np.array(array) if copy else array


def _from_lists(data: Any, dtype: Any) -> Any:
    """A host array of numbers, lists, or another library's array, which keeps its dtype."""
    try:
        array = np.asarray(data)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"it holds {array.dtype}")
    except (TypeError, ValueError, RuntimeError) as error:  # the last is how PyTorch refuses
        raise DTypeError(
            f"cannot make an array of numbers from {type(data).__name__} {data!r:.60}: {error}; "
            "give a number, an array, or lists of numbers that are equally long"
        ) from None
    return array if hasattr(data, "dtype") and not isinstance(data, np.generic) else array.astype(dtype)
