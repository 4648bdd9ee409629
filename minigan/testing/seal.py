"""Leaving things as they were: what a subject keeps, and a block after which it keeps the same."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.backends import HostArray, random
from minigan.nn.module import Module, Parameter


def module_of(f: Any) -> Module | None:
    """The module that a subject is, or whose method it is."""
    owner = getattr(f, "__self__", f)
    return owner if isinstance(owner, Module) else None


def state_of(f: Any) -> dict[str, HostArray]:
    """Host copies of parameters and buffers by key, whatever a subject makes of `state_dict`."""
    module = module_of(f)
    return {} if module is None else {name: np.array(t.numpy()) for name, t in module.named_state()}


def parameters_of(f: Any) -> dict[str, Parameter]:
    """The parameters that want a gradient, by key."""
    module = module_of(f)
    return {} if module is None else {name: p for name, p in module.named_parameters() if p.requires_grad}


def held(value: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """What a subject keeps, by path: modules, Tensors, arrays, generators, lists and dicts, and what is in them."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    items: Any = ()
    if isinstance(value, Module):
        items = vars(value).items()
    elif isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    elif isinstance(value, functools.partial):
        items = enumerate((value.func, *value.args, *value.keywords.values()))
    elif callable(value):
        items = enumerate((getattr(value, "__self__", None), *_closed_over(value)))
    elif not isinstance(value, (Tensor, np.ndarray, np.random.Generator)):
        return
    yield path, value
    for key, item in list(items):
        yield from held(item, f"{path}.{key}" if path else str(key), seen)


def _closed_over(function: Any) -> Iterator[Any]:
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue


class Snapshot:
    """What a call may change in a subject, as it is now.

    Attributes:
        state: parameters and buffers of the modules that it is or holds.
    """

    def __init__(self, f: Any) -> None:
        found = [v for _, v in held(f)]
        modules = [v for v in found if isinstance(v, Module)]
        self.state = list({id(t): t for m in modules for _, t in m.named_state()}.values())
        self._attributes = [(m, dict(vars(m))) for m in modules]
        self._containers = [(v, v.copy()) for v in found if isinstance(v, (list, dict))]
        self._arrays = [(v, v.copy()) for v in found if isinstance(v, np.ndarray) and v.flags.writeable]
        leaves = [v for v in found if isinstance(v, Tensor) and v.is_leaf]
        self._tensors = [
            (t, t.data, np.array(t.numpy()), t._version, list(t._version), t.grad, t.requires_grad) for t in leaves
        ]
        self._default = random.generator()
        self._generators = [(g, g.bit_generator.state) for g in generators_of(f)]

    def rewind(self) -> None:
        """Put back parameters, buffers and generators, and nothing that a module keeps elsewhere."""
        random._default = self._default
        for generator, state in self._generators:
            generator.bit_generator.state = state
        for t, data, values, version, count, gradient, wanted in self._tensors:
            t.data, t._version = data, version
            if t.numpy().tobytes() != values.tobytes():
                t.assign_(values)
            t._version[:] = count
            t.grad, t.requires_grad = gradient, wanted

    def restore(self) -> None:
        """Put back everything."""
        for module, attributes in self._attributes:
            vars(module).clear()
            vars(module).update(attributes)
        for container, items in self._containers:
            container.clear()
            (container.update if isinstance(container, dict) else container.extend)(items)
        for array, values in self._arrays:
            array[...] = values
        self.rewind()

    def restart(self, seed: int, everything: bool = False) -> None:
        """Put back what `rewind` does, or everything, and begin with a seed and with parameters and buffers in float64.

        These get memory of their own each time, so that graphs from before stay good.
        """
        (self.restore if everything else self.rewind)()
        reseed(seed)
        for t in self.state:
            values = t.numpy()
            wide = values.astype(np.float64) if values.dtype.kind == "f" else values
            t.data, t._version, t.grad = t._home.from_host(wide), [0, None], None


def generators_of(f: Any) -> list[np.random.Generator]:
    """Every generator that a call may draw from: minigan's default one, and those that the subject keeps."""
    return [random.generator(), *(v for _, v in held(f) if isinstance(v, np.random.Generator))]


def positions(f: Any) -> list[Any]:
    """Where the generators stand; another answer after a call says that it drew random numbers."""
    return [g.bit_generator.state for g in generators_of(f)]


@contextmanager
def untouched(f: Any, seed: int | None = None) -> Iterator[Snapshot]:
    """Whatever happens to a subject inside the block, it is afterwards as it was, and so is minigan's default generator.

    Put back are modes and other attributes, parameters, buffers, gradients, the lists, dicts and arrays that modules keep,
    and the generators that they draw from.

    Args:
        f: the subject.
        seed: of the default generator inside the block.
    """
    snapshot = Snapshot(f)
    try:
        if seed is not None:
            reseed(seed)
        yield snapshot
    finally:
        snapshot.restore()


def reseed(seed: int) -> None:
    """Restart the default generator, without putting another in its place as `minigan.seed` does."""
    random.generator().bit_generator.state = _start(seed)


@functools.lru_cache
def _start(seed: int) -> Any:
    """Where a generator starts from a seed."""
    return np.random.default_rng(seed).bit_generator.state


def cast(f: Any, dtype: str) -> None:
    """Bring parameters and buffers of floats to a dtype; inside `untouched`."""
    module = module_of(f)
    for _, t in () if module is None else module.named_state():
        if t.dtype.kind == "f":
            t.data = t.detach().astype(dtype).data


def same_bits(a: HostArray, b: HostArray) -> bool:
    """Whether two arrays are equal in shape, dtype and every bit."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
