"""What a gradient check looks at: functions of float64 arrays that start from the same state and draw at every call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from minigan import backends
from minigan.autodiff import Op, Tensor, grad, tensor
from minigan.backends import HostArray
from minigan.nn.module import Module
from minigan.testing.calls import described, forward, input_names, is_floats, leaf, on_host
from minigan.testing.seal import Snapshot


class Evaluation(NamedTuple):
    """One call. Unlike a `Run` it may be of a gradient, whose variables are numbered and whose graph is of two calls.

    Attributes:
        leaves: the variables, one Tensor each.
        outputs: what was computed from them, of floats.
        roots: every Tensor whose graph shows which way the computation went.
    """

    leaves: list[Tensor]
    outputs: list[Tensor]
    roots: list[Tensor]


class Function(Protocol):
    """Called with an array for each of its variables `names`; `at` is the point where it is looked at.

    `origin` is the size of the outputs whose gradient this is, 0 for a function that is no gradient.
    """

    names: list[str]
    at: list[HostArray]
    outputs: list[str]
    origin: float

    def __call__(self, values: Sequence[HostArray]) -> Evaluation: ...


class Primal:
    """A user's function as a function of its float inputs, and of its parameters if it is a layer.

    Args:
        f: a function of Tensors, an op or a layer.
        xs: arrays, Tensors, numbers, None, or tuples of arrays for an op that takes one.
        seed: what minigan's generator starts from at each call.
        start: the state that each call starts from.

    Attributes:
        geometry: every input's and parameter's shape and dtype, as they were given.
    """

    def __init__(self, f: Any, xs: Sequence[Any], seed: int, start: Snapshot) -> None:
        self.f, self.seed, self.start, self.xs = f, seed, start, [on_host(x) for x in xs]
        self.names: list[str] = []
        self.at: list[HostArray] = []
        self.outputs: list[str] = []
        self.origin = 0.0
        names = input_names(f, len(xs))
        for name, x in zip(names, self.xs, strict=True):
            parts = [(f"{name}[{i}]", a) for i, a in enumerate(x)] if isinstance(x, tuple) else [(name, x)]
            for part, a in parts:
                if is_floats(a):
                    self.names.append(part)
                    self.at.append(a.astype(np.float64))
        self._inputs = len(self.names)
        named = dict(f.named_parameters()) if isinstance(f, Module) else {}
        self._parameters = list(named.values())
        self.names += named
        self.at += [p.numpy().astype(np.float64) for p in self._parameters]
        self.geometry = described([*names, *named], [*self.xs, *named.values()])

    def __call__(self, values: Sequence[HostArray]) -> Evaluation:
        """Call the function; its outputs get their names from the first call."""
        self.start.restart(self.seed, everything=True)
        leaves = [tensor(v, requires_grad=True) for v in values[: self._inputs]]
        for p, v in zip(self._parameters, values[self._inputs :], strict=True):
            p.data, p.requires_grad = backends.to_array(v, home=p._home), True
        inputs = iter(leaves)

        def given(x: Any) -> Any:
            if isinstance(x, tuple):
                return tuple(map(given, x))
            return next(inputs) if is_floats(x) else leaf(x)

        outputs = [y for y in forward(self.f, [given(x) for x in self.xs]) if y.dtype.kind == "f"]
        own = self.f.outputs if isinstance(self.f, Op) else ()
        self.outputs = list(own) if len(own) == len(outputs) else [f"y{i}" for i in range(len(outputs))]
        return Evaluation([*leaves, *self._parameters], outputs, outputs)


class Gradient:
    """The analytic gradient of a function, as a function of its variables and of the gradients that arrive.

    Args:
        inner: the function.
        rng: for the gradients that arrive where it is looked at.
    """

    def __init__(self, inner: Function, rng: np.random.Generator) -> None:
        self.inner = inner
        base = inner(inner.at)
        self.origin = max([inner.origin, *(float(np.max(np.abs(y.numpy()), initial=0.0)) for y in base.outputs)])
        dys = [dense(rng, y.shape) for y in base.outputs]
        self.names = [*inner.names, *(f"d{y}" for y in inner.outputs)]
        self.at = [*inner.at, *dys]
        self._reached = list(range(len(inner.at)))
        self._reached = [i for i, g in enumerate(self._pulled(base, dys)[1]) if g is not None]
        self.outputs = [f"d{inner.names[i]}" for i in self._reached]

    def _pulled(self, e: Evaluation, dys: Sequence[HostArray]) -> tuple[list[Tensor], list[Tensor | None]]:
        arriving = [tensor(dy, requires_grad=True) for dy in dys]
        leaves = [e.leaves[i] for i in self._reached]
        return arriving, list(grad(e.outputs, leaves, arriving, create_graph=True, allow_unused=True))

    def __call__(self, values: Sequence[HostArray]) -> Evaluation:
        e = self.inner(values[: len(self.inner.at)])
        arriving, grads = self._pulled(e, values[len(self.inner.at) :])
        outputs = [tensor(np.zeros(0)) if g is None else g for g in grads]
        return Evaluation([*e.leaves, *arriving], outputs, [*e.roots, *outputs])


def dense(rng: np.random.Generator, shape: tuple[int, ...]) -> HostArray:
    """Numbers of both signs, none of them small, so that nothing is hidden where they are weights."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice((-1.0, 1.0), shape))
