"""The strict backend: arrays that behave as a device's do, on a machine that has none.

What runs on it never touches the host's memory unseen: NumPy's functions don't take its arrays, which have no truth
value, no ``float()`` and no loops over them, and there are only the functions and keywords that CuPy has. It counts
kernel launches and reads by the host.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np

from minigan.backends.base import HostArray, storage
from minigan.backends.device import DeviceBackend
from minigan.testing.recording import StrictGraph

IN_PLACE = {  # what is called for what it writes into its first argument
    "copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask",
    "ndarray.fill", "ndarray.partition", "ndarray.put", "ndarray.sort",
}  # fmt: skip
COUNTED = {"argwhere", "flatnonzero", "nonzero", "unique", "ndarray.nonzero"}  # whose sizes the host must know


class StrictError(TypeError):
    """Something that a device's array cannot do, or that would move it to the host unseen."""


@cache
def cupy_api() -> dict[str, Any]:
    """What CuPy offers: functions with their parameters, methods, constants. `make_cupy_api` wrote it."""
    api: dict[str, Any] = json.loads(Path(__file__).with_name("cupy_api.json").read_text())
    return api


class StrictArray:
    """An array on the device that isn't there."""

    __slots__ = ("_array", "base", "__weakref__")
    __array_ufunc__ = None  # so that NumPy leaves an operator to the array on its other side
    __hash__ = object.__hash__

    def __init__(self, array: np.ndarray, base: StrictArray | None = None) -> None:
        self._array, self.base = array, base

    shape = property(lambda self: self._array.shape)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    dtype = property(lambda self: self._array.dtype)
    nbytes = property(lambda self: self._array.nbytes)
    strides = property(lambda self: self._array.strides)
    flags = property(lambda self: SimpleNamespace(c_contiguous=self._array.flags.c_contiguous))
    T = property(lambda self: _computed(self._array.T, (self,)))

    def __len__(self) -> int:
        return len(self._array)

    def __repr__(self) -> str:
        return f"StrictArray(shape {self.shape}, {self.dtype})"

    def __getattr__(self, name: str) -> Any:
        if (
            name.startswith("_")
            or name not in cupy_api()["methods"]
            or name in ("item", "tolist", "get", "tobytes", "data")
        ):
            raise AttributeError(f"a device's array has no {name!r}, or it would read from the device")
        return partial(_call, f"ndarray.{name}", getattr(np.ndarray, name), self)

    def __getitem__(self, index: Any) -> Any:
        _count_masks(index)
        return _call("indexing", np.ndarray.__getitem__, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        _count_masks(index)
        place, bare = _bare(index, "indexing"), _bare(value, "assignment")
        STRICT.perform(lambda: self._array.__setitem__(place, bare))

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise StrictError("NumPy asked a device's array for its values; use the backend's own functions (xp)")

    def __array_function__(self, function: Any, *args: Any) -> NoReturn:
        raise StrictError(f"numpy.{function.__name__} got a device's array; use xp.{function.__name__}")

    def _refused(self) -> NoReturn:
        raise StrictError(
            "a device's array gave its values to the host: a truth value, number or loop over it reads from the device"
        )

    __bool__ = __float__ = __int__ = __index__ = __iter__ = __complex__ = _refused


def _operator(ufunc: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *other: _call(ufunc.__name__, ufunc, self, *other)


def _reflected(ufunc: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, other: _call(ufunc.__name__, ufunc, other, self)


def _in_place(ufunc: Callable[..., Any]) -> Callable[[StrictArray, Any], StrictArray]:
    def method(self: StrictArray, other: Any) -> StrictArray:
        bare = _bare(other, ufunc.__name__)
        STRICT.perform(lambda: ufunc(self._array, bare, out=self._array))
        return self

    return method


for _name, _ufunc in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "pow": np.power, "mod": np.mod,
    "floordiv": np.floor_divide, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "matmul": np.matmul,
}.items():  # fmt: skip
    setattr(StrictArray, f"__{_name}__", _operator(_ufunc))
    setattr(StrictArray, f"__r{_name}__", _reflected(_ufunc))
    setattr(StrictArray, f"__i{_name}__", _in_place(_ufunc))
for _name, _ufunc in {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
    "neg": np.negative, "abs": np.absolute, "invert": np.invert,
}.items():  # fmt: skip
    setattr(StrictArray, f"__{_name}__", _operator(_ufunc))


def _bare(value: Any, what: str) -> Any:
    """The NumPy arrays behind `value`; `StrictError` for an array of the host among them."""
    if isinstance(value, StrictArray):
        return value._array
    if isinstance(value, (np.ndarray, np.generic)):
        raise StrictError(
            f"{what}: an array or scalar of the host ({value.dtype}) among those of the device; bring it there first"
        )
    if isinstance(value, (tuple, list)):
        return type(value)(_bare(v, what) for v in value)
    return value


def _inputs(values: Any) -> list[StrictArray]:
    return [
        a for v in values for a in (_inputs(v) if isinstance(v, (tuple, list)) else [v]) if isinstance(a, StrictArray)
    ]


def _computed(result: Any, inputs: Any) -> Any:
    """A result on the device. Views keep hold of what they show; everything else took a launch."""
    if isinstance(result, (tuple, list)):
        return type(result)(_computed(r, inputs) for r in result)
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    array = np.asarray(result)
    if not array.flags.writeable:  # what is broadcast; a device's arrays know nothing of it
        array.flags.writeable = True
    root = storage(array)
    for a in inputs:
        if array is a._array:
            return a
        if storage(a._array) is root:
            return StrictArray(array, a if a.base is None else a.base)
    STRICT.launches += 1
    return StrictArray(array)


def _call(name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    given, bare = _bare(args, name), {k: _bare(v, name) for k, v in kwargs.items()}

    def work() -> Any:
        return function(*given, **bare)

    if name in IN_PLACE or isinstance(kwargs.get("out"), StrictArray):
        STRICT.perform(work)
        return kwargs.get("out")
    if name in COUNTED or (name == "where" and len(args) == 1):
        STRICT.read("looked for places whose number the host must know")
    launches = STRICT.launches
    result = _computed(work(), _inputs((*args, *kwargs.values())))
    STRICT.launches -= name == "empty"  # reserves memory and computes nothing
    if STRICT.recording and STRICT.launches > launches:
        STRICT.note(lambda: _write(result, work()))
    return result


def _write(made: Any, result: Any) -> None:
    """Put a result where it was put when it was first computed."""
    if isinstance(made, StrictArray):
        made._array[...] = result
    elif isinstance(made, (tuple, list)):
        for array, value in zip(made, result, strict=True):
            _write(array, value)


def _count_masks(index: Any) -> None:
    """A mask is turned into places, whose number the host must know."""
    if any(a.dtype == bool for a in _inputs((index,))):
        STRICT.read("indexed with a mask, whose number of places the host must know")


class _Functions:
    """NumPy's functions as far as CuPy has them, with CuPy's parameters, on strict arrays."""

    def __getattr__(self, name: str) -> Any:
        api = cupy_api()
        if name in api["constants"]:
            return getattr(np, name)
        if name not in api["functions"]:
            raise AttributeError(f"CuPy {api['version']} has no function {name!r}")
        accepted, function = api["functions"][name], getattr(np, name)
        positional = len(accepted) if not any(p.startswith("*") for p in accepted) else 99

        def checked(*args: Any, **kwargs: Any) -> Any:
            unknown = [k for k in kwargs if k not in accepted and "**kwargs" not in accepted]
            if unknown or len(args) > positional:
                raise StrictError(
                    f"cupy.{name} takes {', '.join(accepted)}; got {len(args)} arguments and {', '.join(kwargs)}"
                )
            return _call(name, function, *args, **kwargs)

        return checked

    class lib:
        class stride_tricks:
            @staticmethod
            def as_strided(x: StrictArray, shape: Any, strides: Any) -> Any:
                return _call("as_strided", np.lib.stride_tricks.as_strided, x, shape, strides)


class StrictBackend(DeviceBackend):
    """The backend ``"strict"``, with counters.

    Attributes:
        launches: calls that computed something, as a device would have to launch a kernel for; a recorded step is one.
        host_reads: times that values went from the device to the host.
        host_copies: times that they went the other way.
    """

    can_record = True

    def __init__(self) -> None:
        super().__init__("strict", _Functions(), StrictArray)
        self.launches = self.host_reads = self.host_copies = 0

    def new_graph(self) -> StrictGraph:
        return StrictGraph(self)

    def perform(self, work: Callable[[], Any]) -> None:
        """Launch `work`, which writes into arrays that there are: now, or where a graph is recorded at its launches."""
        self.launches += 1
        if self.recording:
            self.note(work)
        else:
            work()

    def note(self, work: Callable[[], Any]) -> None:
        """Have `work` done at each launch of the graph that is recorded."""
        assert isinstance(self.open_graph, StrictGraph)
        self.open_graph.noted.append(work)

    def read(self, how: str) -> None:
        """Note that the host reads from the device."""
        self.host_reads += 1
        self.refuse(f"the host {how}")

    def from_host(self, array: HostArray) -> Any:
        self.host_copies += 1
        self.refuse(f"values of shape {np.shape(array)} were brought from the host")
        return StrictArray(np.array(array))

    def to_host(self, array: Any) -> HostArray:
        self.read(f"read values of shape {array.shape}")
        return array._array.copy()


STRICT = StrictBackend()
