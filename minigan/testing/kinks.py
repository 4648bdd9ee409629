"""On which side of its kinks a computation was, read from the graph that it left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.autodiff.graph import Node, reachable
from minigan.backends import HostArray, by_type
from minigan.testing.calls import on_host

Saved = Mapping[str, Any]
Branches = list[tuple[str, list[HostArray]]]


def branches(roots: Sequence[Tensor]) -> Branches:
    """The op and the branch masks of every call behind `roots` that has a kink, or that saved a mask or an index."""
    found = []
    for node in reachable([t._edge for t in roots]):
        masks = list(_masks(node))
        if masks:
            found.append((node.plan.op.name, masks))
    return found


def crossed(here: Branches, there: Branches) -> list[str]:
    """Names of the ops that took another branch."""
    if [name for name, _ in here] != [name for name, _ in there]:
        return ["the function's own control flow"]
    differ = (
        name
        for (name, a), (_, b) in zip(here, there, strict=True)
        if len(a) != len(b) or not all(map(np.array_equal, a, b))
    )
    return sorted(set(differ))


def precision(tensors: Sequence[Tensor]) -> float:
    """The distance from 1 to the next float, of the least precise floats that the computation rounded to."""
    dtypes = {t.dtype for t in tensors}
    for node in reachable([t._edge for t in tensors]):
        dtypes |= {route[2] for route in node.routes if type(route) is tuple and type(route[0]) is tuple}
    return max((float(np.finfo(d).eps) for d in dtypes if d.kind == "f"), default=0.0)


def _masks(node: Node) -> Iterator[HostArray]:
    saved = node.saved or {}
    rule = SIDES.get(node.plan.op.name) if node.plan.op.own else None
    if rule is not None:
        yield rule({name: on_host(value) for name, value in saved.items()})
    for value in saved.values():  # where's condition, pooling's index, any mask that a rule reads
        for a in value if isinstance(value, tuple) else (value,):
            if type(a) in by_type and a.dtype.kind in "biu":
                yield on_host(a)


def _chosen(s: Saved) -> HostArray:
    """Where the extreme values of a reduction are."""
    x, axis = s["x"], s["axis"]
    axes = range(x.ndim) if axis is None else {a % x.ndim for a in np.atleast_1d(axis)} if x.ndim else ()
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return np.equal(x, s["y"].reshape(kept))


def _within(s: Saved) -> HostArray:
    low = -np.inf if s["min"] is None else s["min"]
    high = np.inf if s["max"] is None else s["max"]
    return np.sign(s["x"] - low) + 3 * np.sign(s["x"] - high)


SIDES: dict[str, Callable[[Saved], HostArray]] = {
    "relu": lambda s: s["y"] > 0,
    "leaky_relu": lambda s: s["y"] > 0,
    "abs": lambda s: np.sign(s["x"]),
    "clip": _within,
    "max": _chosen,
    "min": _chosen,
    "maximum": lambda s: np.sign(np.subtract(s["a"], s["b"])),
    "minimum": lambda s: np.sign(np.subtract(s["a"], s["b"])),
    "l1_loss": lambda s: np.sign(np.subtract(s["x"], s["target"])),
}
