"""An op's worked example: a call with numbers, the gradients that its rules return, and central differences beside them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigan as mg
from minigan.autodiff.graph import reachable
from minigan.autodiff.protocol import Op

Array = np.ndarray

STEP = 1e-5  # where a central difference's own errors meet: step^2/6 * |f'''| ~ eps * |f| / step ~ 2e-11
# Examples have numbers of about 1, with |f| up to 10 and |f'''| up to 100, so that the errors are up to 2e-9; a wrong rule is
# off by a part of the gradient that is seen in its first digits.
BOUND = 1e-8


@dataclass(frozen=True)
class Worked:
    """What came of a call, all in float64.

    Attributes:
        name: of the op, or of the function made of ops.
        inputs: its arrays by name.
        outputs: its results by name.
        arriving: the gradient at each result; empty where no gradient flows.
        gradients: by an input's name, what the rules return and what differences give.
        used: names of the ops that ran, in the order of the backward walk.
    """

    name: str
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    arriving: Mapping[str, Array]
    gradients: Mapping[str, tuple[Array, Array]]
    used: tuple[str, ...]

    def off(self, name: str) -> float:
        """The largest difference between the two gradients by an input."""
        rule, numeric = self.gradients[name]
        return float(np.max(np.abs(rule - numeric)))

    @property
    def agrees(self) -> bool:
        """Whether no difference is above `BOUND`, for gradients above 1 relative to their largest number."""
        return all(self.off(x) <= BOUND * max(1.0, np.max(np.abs(g))) for x, (_, g) in self.gradients.items())


def work(text: str) -> Worked:
    """Run an example such as ``"tanh([-1.0, 0.5])"``: lists are arrays, and those of floats have a gradient."""
    name = text.partition("(")[0]
    function = getattr(mg.ops, name)
    given = eval(text, {name: inspect.signature(function).bind}).arguments
    op = inspect.unwrap(function)
    with mg.backend("numpy"):
        inputs = dict(_arrays(given))
        at = {x: a for x, a in inputs.items() if a.dtype.kind == "f"}

        def outputs(values: Mapping[str, Any]) -> tuple[mg.Tensor, ...]:
            y = function(**{x: _filled(x, value, {**inputs, **values}) for x, value in given.items()})
            return y if isinstance(y, tuple) else (y,)

        xs = {x: mg.tensor(a, requires_grad=True) for x, a in at.items()}
        ys = outputs(xs)
        named = dict(zip(op.outputs if isinstance(op, Op) else ("y",), ys, strict=True))
        results = {y: t.numpy() for y, t in named.items()}
        if not any(t.requires_grad for t in ys):
            return Worked(name, inputs, results, {}, {}, ())
        arriving = {y: _arriving(a) for y, a in results.items()}
        dys = list(arriving.values())
        nodes = reachable([t._edge for t in ys])
        rules = mg.grad(ys, list(xs.values()), dys)
        numeric = _central(lambda: [t.numpy().copy() for t in outputs(at)], list(at.values()), dys)
        pairs = zip(xs, rules, numeric, strict=True)
        gradients = {x: (dx.numpy(), slope) for x, dx, slope in pairs}
    used = tuple(dict.fromkeys(node.plan.op.name for node in nodes))
    return Worked(name, inputs, results, arriving, gradients, used)


def _arrays(given: Mapping[str, Any]) -> Iterator[tuple[str, Array]]:
    """The lists of a call as arrays, by name; those of a tuple as ``arrays[0]``, ``arrays[1]`` and so on."""
    for name, value in given.items():
        parts = {f"{name}[{i}]": part for i, part in enumerate(value)} if type(value) is tuple else {name: value}
        yield from ((label, np.array(part)) for label, part in parts.items() if type(part) is list)


def _filled(name: str, value: Any, arrays: Mapping[str, Any]) -> Any:
    """An argument with arrays in place of its lists."""
    if type(value) is tuple:
        return tuple(arrays.get(f"{name}[{i}]", part) for i, part in enumerate(value))
    return arrays.get(name, value)


def _arriving(y: Array) -> Array:
    """1 at a number, as at a loss; elsewhere numbers of both signs with one digit."""
    if y.ndim == 0:
        return np.ones(())
    rng = np.random.default_rng(y.size)
    return np.round(rng.uniform(0.2, 2, y.shape) * rng.choice((-1, 1), y.shape), 1)


def _central(outputs: Any, at: list[Array], dys: list[Array]) -> list[Array]:
    """The gradient of the sum of dy * y, one coordinate after the other; `outputs` reads the arrays that are moved."""
    slopes = [np.zeros(a.shape) for a in at]
    for a, slope in zip(at, slopes, strict=True):
        for i in np.ndindex(a.shape):
            middle, sides = a[i], []
            for moved in (middle + STEP, middle - STEP):
                a[i] = moved
                sides.append(outputs())
            a[i] = middle
            slope[i] = sum(np.sum(dy * (p - m)) for dy, p, m in zip(dys, *sides, strict=True)) / (2 * STEP)
    return slopes
