"""What the property tests share: calls of ops as values, memory layouts, numeric differentiation, comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

import minigan as mg
from minigan import backends
from minigan.autodiff.registry import OPS

Array = np.ndarray

# -- values: drawn from a seed, so that hypothesis shrinks shapes and settings rather than digits --------------------

rngs = st.builds(np.random.default_rng, st.integers(0, 2**32 - 1))


def anywhere(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Values in [-2, 2]."""
    return np.asarray(rng.uniform(-2, 2, shape))


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Values in [0.5, 2]."""
    return np.asarray(rng.uniform(0.5, 2, shape))


def between(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Values in [-2, 2] at least 0.3 from every integer."""
    return np.asarray(rng.integers(-2, 2, shape) + rng.uniform(0.3, 0.7, shape))


def spread(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Values in [-2, 2] that are all different, by 4 over their number."""
    return np.asarray(rng.permutation(np.linspace(-2, 2, int(np.prod(shape)))).reshape(shape))


def away(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Values of both signs at least 0.5 from 0, where kinks and poles are."""
    return np.asarray(positive(rng, shape) * rng.choice((-1.0, 1.0), shape))


# -- arrays, wherever they live --------------------------------------------------------------------------------------


def is_array(value: Any) -> bool:
    """Whether this is an array of some backend, and no Tensor, list or number."""
    return type(value) in backends.by_type


def share_memory(a: Any, b: Any) -> bool:
    """Whether two arrays overlap; those of two backends never do."""
    xp = backends.by_type[type(a)]
    return type(b) is xp.array_type and bool(xp.shares_memory(a, b))


# -- calls -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One valid call of an op.

    Attributes:
        name: the op.
        inputs: arrays or numbers by input; optional inputs that are left out are None in the call. An op of one tuple
            of arrays has them as ``arrays[0]``, ``arrays[1]``, ...
        attributes: the keyword-only rest.
        reads: which of the op's outputs are looked at.
    """

    name: str
    inputs: dict[str, Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    reads: tuple[int, ...] = (0,)

    @property
    def variables(self) -> dict[str, Array]:
        """The inputs that have a gradient here."""
        served = {x for rule in OPS[self.name].rules for x in rule.inputs}
        floats = {x: a for x, a in self.inputs.items() if is_array(a) and a.dtype.kind == "f"}
        return {x: a for x, a in floats.items() if x.partition("[")[0] in served}

    def map(self, function: Callable[[Any], Any]) -> Call:
        """The call with `function` of every variable."""
        made = {x: function(a) for x, a in self.variables.items()}
        return replace(self, inputs=self.inputs | {x: a if is_array(a) else np.asarray(a) for x, a in made.items()})

    def arguments(self) -> list[Any]:
        """The inputs in the op's order."""
        packed = [a for x, a in self.inputs.items() if "[" in x]
        return [tuple(packed)] if packed else [self.inputs.get(x) for x in OPS[self.name].inputs]

    def __call__(self, *values: Any) -> tuple[mg.Tensor, ...]:
        """The outputs that are read, with `values` for the variables."""
        given = replace(self, inputs=self.inputs | dict(zip(self.variables, values, strict=True)))
        result = OPS[self.name](*given.arguments(), **self.attributes)
        return tuple(result[i] for i in self.reads) if isinstance(result, tuple) else (result,)


def run(call: Call, arriving: Sequence[Any], create_graph: bool = False) -> tuple[list[Array], list[Array]]:
    """Outputs, and gradients of <outputs, arriving> by the variables, as arrays of the host."""
    xs = [mg.tensor(a, requires_grad=True, copy=False) for a in call.variables.values()]
    ys = call(*xs)
    grads = mg.grad(ys, xs, [mg.tensor(g, copy=False) for g in arriving], create_graph=create_graph)
    return [y.numpy() for y in ys], [g.numpy() for g in grads]


def arriving_at(call: Call, rng: np.random.Generator) -> list[Array]:
    """A gradient for every output that is read."""
    return [anywhere(rng, y.shape).astype(y.dtype) for y in call(*call.variables.values())]


# -- memory layouts --------------------------------------------------------------------------------------------------


def _permuted(xp: Any, a: Any, rng: np.random.Generator) -> Any:
    order = [int(i) for i in rng.permutation(a.ndim)]
    return xp.array(a.transpose(*order), order="C").transpose(*(order.index(i) for i in range(a.ndim)))


def _strided(xp: Any, a: Any, rng: np.random.Generator) -> Any:
    large = xp.full(tuple(2 * n + 1 for n in a.shape), np.nan, a.dtype)  # what lies between must not be read
    view = large[(*(slice(1, None, 2) for _ in a.shape), ...)]
    view[...] = a
    return view


def _reversed(xp: Any, a: Any, rng: np.random.Generator) -> Any:
    backwards = (slice(None, None, -1),) * a.ndim
    return xp.array(a[backwards], order="C")[backwards] if a.ndim else a


def _broadcast(xp: Any, a: Any, rng: np.random.Generator) -> Any:
    """Zero strides along axis 1, or the only one: the same for all channels, so that statistics of a channel stay."""
    first = (slice(None),) * min(1, a.ndim - 1) + (slice(1),)
    return xp.broadcast_to(a[first].copy(), a.shape) if a.size and a.ndim else xp.broadcast_to(a, a.shape)


def _read_only(xp: Any, a: Any, rng: np.random.Generator) -> Any:
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS = {
    "F order": lambda xp, a, rng: xp.array(a, order="F"),
    "permuted": _permuted,
    "strided": _strided,
    "reversed": _reversed,
    "broadcast": _broadcast,
    "read-only": _read_only,  # the host's alone
}


def laid_out(draw: Callable[[Any], Any], a: Any, rng: np.random.Generator) -> Any:
    """An input in a drawn layout; the values change where strides are zero."""
    layouts = [name for name in LAYOUTS if isinstance(a, Array) or name != "read-only"]
    return LAYOUTS[draw(st.sampled_from(layouts))](backends.of(a), a, rng)


def arriving_laid_out(draw: Callable[[Any], Any], g: Any, rng: np.random.Generator) -> Any:
    """A gradient that arrives, in a drawn layout; or the same number everywhere, as sums and means send it."""
    constant = g.size > 0 and draw(st.booleans()) and draw(st.booleans())
    return backends.of(g).broadcast_to(g.reshape(-1)[0], g.shape) if constant else laid_out(draw, g, rng)


def in_c_order(a: Any) -> Any:
    """A copy in the plainest layout."""
    return backends.of(a).array(a, order="C")


def fingerprint(arrays: Iterable[Any]) -> list[bytes]:
    """Every byte of the memory behind the arrays, also what lies between their elements."""
    return [backends.of(a).to_host(backends.storage(a)).tobytes() for a in arrays]


# -- numeric differentiation -----------------------------------------------------------------------------------------

STEP = 1e-5  # where the central difference's own errors meet: step^2/6 * |f'''| ~ eps * |f| / step ~ 2e-11


def central_differences(
    function: Callable[..., Sequence[Array]], at: Sequence[Array], weights: Sequence[Array]
) -> list[Array]:
    """The gradient of <weights, function> at a point, one coordinate after the other, in float64."""
    point = [np.array(a) for a in at]
    results = [np.zeros(a.shape) for a in point]
    for a, result in zip(point, results, strict=True):
        for i in np.ndindex(a.shape):
            before, sides = a[i], []
            for moved in (before + STEP, before - STEP):
                a[i] = moved
                sides.append(function(*point))
            a[i] = before
            result[i] = sum(np.sum(w * (p - m)) for w, p, m in zip(weights, *sides, strict=True)) / (2 * STEP)
    return results


def pulled_back(function: Callable[..., Any], count: int, traced: bool = True) -> Callable[..., list[mg.Tensor]]:
    """The gradient of a function of `count` Tensors, as a function of them and of what arrives; differentiable if traced."""

    def gradient(*values: mg.Tensor) -> list[mg.Tensor]:
        xs = [v if v.requires_grad else mg.tensor(v, requires_grad=True) for v in values[:count]]
        grads = mg.grad(function(*xs), xs, values[count:], create_graph=traced, allow_unused=True)
        return [mg.tensor(np.zeros(x.shape)) if g is None else g for g, x in zip(grads, xs, strict=True)]

    return gradient


def check_derivative(call: Call, order: int, bound: float, rng: np.random.Generator) -> None:
    """Hold the derivative of this order, by every variable and every gradient that arrives, to central differences.

    The function that is differentiated last is the analytic derivative of one order less: differences are of its values
    from rules on arrays, as they are in training.
    """
    function: Any = call
    values: Any = call
    at = list(call.variables.values())
    for _ in range(order - 1):
        arriving = [anywhere(rng, y.shape) for y in function(*map(mg.tensor, at))]
        values, function = (pulled_back(function, len(at), traced) for traced in (False, True))
        at = [*at, *arriving]
    xs = [mg.tensor(a, requires_grad=True) for a in at]
    ys = function(*xs)
    weights = [anywhere(rng, y.shape) for y in ys]
    grads = mg.grad(ys, xs, weights, allow_unused=True)
    analytic = [np.zeros(x.shape) if g is None else g.numpy() for g, x in zip(grads, xs, strict=True)]
    numeric = central_differences(lambda *p: [y.numpy() for y in values(*map(mg.tensor, p))], at, weights)
    for a, n in zip(analytic, numeric, strict=True):
        assert_close(a, n, bound)


# -- comparisons -----------------------------------------------------------------------------------------------------


def largest(a: Array) -> float:
    return float(np.max(np.abs(a), initial=0.0))


def assert_close(actual: Array, expected: Array, bound: float) -> None:
    """The same shape, and max |actual - expected| / max(1, max |expected|) within the bound."""
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    assert np.all(np.isfinite(actual)), f"not finite: {actual}"
    error = largest(actual - expected) / max(1.0, largest(expected))
    assert error <= bound, f"off by {error:.3g}, allowed {bound:.3g}:\n{actual}\nexpected\n{expected}"


def assert_within(actual: Array, expected: Array, margin: Array | float) -> None:
    """The same shape, and every element within its own margin."""
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    assert np.all(np.abs(actual - expected) <= margin), f"{actual}\nexpected\n{expected}\nwithin\n{margin}"


def gamma(terms: int, dtype: Any) -> float:
    """Higham's bound on the relative error of a sum of products, by the sum of the terms' absolute values.

    It holds for any order of summation: n * u / (1 - n * u) with the unit roundoff u = eps / 2.
    """
    nu = terms * float(np.finfo(dtype).eps) / 2
    return nu / (1 - nu)
