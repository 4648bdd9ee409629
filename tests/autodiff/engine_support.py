"""What the tests of the engine share: a sample call of every op, random linear programs, and looks into a graph."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from hypothesis import strategies as st

import minigan as mg
from minigan import backends
from minigan.autodiff.graph import Node
from minigan.autodiff.registry import OPS, TRACED_OPS

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
float_dtypes = st.sampled_from(["float32", "float64"])


def integers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Small whole numbers in float64: sums and products of a few of them are exact, so tests need no tolerance."""
    return rng.integers(-3, 4, shape).astype(float)


# -- a sample call of every op: (arrays, attributes) from a generator --------------------------------------------

Sample = tuple[list[Any], dict[str, Any]]


def _floats(*shapes: tuple[int, ...], **attributes: Any) -> Callable[[np.random.Generator], Sample]:
    """Inputs in [0.5, 1.5], where every op is smooth, of distinct values."""
    return lambda rng: ([rng.random(shape) + 0.5 for shape in shapes], attributes)


def _packed(*shapes: tuple[int, ...], **attributes: Any) -> Callable[[np.random.Generator], Sample]:
    return lambda rng: ([tuple(rng.random(shape) + 0.5 for shape in shapes)], attributes)


def _with(first: Callable[[np.random.Generator], Any], *shapes: tuple[int, ...]) -> Callable[..., Sample]:
    return lambda rng: ([first(rng), *(rng.random(shape) + 0.5 for shape in shapes)], {})


def _pooled(shape: tuple[int, ...], **attributes: Any) -> Callable[[np.random.Generator], Sample]:
    """Values, and for each of four windows a plane which pixel it takes, one of them twice."""
    index = np.array([[[[1, 3], [3, 0]]]] * shape[0])
    return lambda rng: ([rng.random(shape) + 0.5, index], attributes)


_UNARY = {"neg", "exp", "log", "sqrt", "abs", "sign", "sin", "cos", "tanh", "sigmoid", "softplus", "relu", "leaky_relu"}
_UNARY |= {"copy", "softmax", "log_softmax"}
_BINARY = {"add", "sub", "mul", "div", "pow", "maximum", "minimum"}
_BINARY |= {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}
_unary, _binary = _floats((2, 3)), _floats((2, 3), (3,))
_vector = (3,)
HOME = backends.current().name
_geometry = {"stride": 2, "padding": 1, "groups": 2}

SAMPLES: dict[str, Callable[[np.random.Generator], Sample]] = {
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_BINARY, _binary),
    "where": _with(lambda rng: rng.random((2, 3)) > 0.5, (2, 3), _vector),
    "clip": _floats((2, 3), min=0.7, max=1.3),
    "matmul": _floats((2, 2, 3), (3, 2)),
    "linear": _floats((2, 3), (4, 3), (4,)),
    "sum": _floats((2, 3), axis=0),
    "mean": _floats((2, 3), axis=1, keepdims=True),
    "var": _floats((2, 3), axis=0, ddof=1),
    "max": _floats((2, 3), axis=0),
    "min": _floats((2, 3), axis=0),
    "reshape": _floats((2, 3), shape=(3, -1)),
    "transpose": _floats((2, 3, 1), axes=(2, 0, 1)),
    "broadcast_to": _floats((3, 1), shape=(2, 3, 2)),
    "sum_to": _floats((2, 3, 2), shape=(3, 1)),
    "getitem": _floats((4, 3), index=np.array([0, 2, 0])),
    "scatter_add": _floats((3, 3), index=np.array([0, 2, 0]), shape=(4, 3)),
    "astype": _floats((2, 3), dtype="float64"),
    "to": _floats((2, 3), backend=HOME, source=HOME),
    "pad": _floats((2, 3), pad_width=((1, 0), (0, 2)), value=1.5),
    "concatenate": _packed((2, 3), (1, 3)),
    "stack": _packed((2, 3), (2, 3)),
    "conv2d": _floats((2, 4, 6, 5), (4, 2, 3, 2), (4,), **_geometry),
    "conv_transpose2d": _floats((2, 4, 3, 3), (4, 2, 3, 2), (4,), output_padding=1, **_geometry),
    "conv2d_weight_grad": _floats((2, 4, 6, 5), (2, 4, 3, 3), kernel=(3, 2), **_geometry),
    "batch_norm_train": _floats((4, 3), _vector, _vector),
    "batch_norm_eval": _floats((4, 3), _vector, _vector, _vector, _vector),
    "standardize": _floats((2, 3), ndim=1),
    "pool_gather": _pooled((2, 1, 2, 3)),
    "pool_scatter": _pooled((2, 1, 2, 2), size=(2, 3)),
    "bce_with_logits": _floats((2, 3), (2, 3)),
    "mse_loss": _floats((2, 3), (2, 3)),
    "l1_loss": _floats((2, 3), (2, 3)),
}


def sample(name: str, rng: np.random.Generator, dtype: str = "float64") -> Sample:
    """A call of the op `name`, with its floats in `dtype`."""
    assert name in SAMPLES, f"the op {name} is new: give it a sample call in tests/autodiff/engine_support.py"
    arrays, attributes = SAMPLES[name](rng)

    def cast(a: Any) -> Any:
        if isinstance(a, tuple):
            return tuple(map(cast, a))
        return a.astype(dtype) if a.dtype.kind == "f" else a

    return [cast(a) for a in arrays], dict(attributes)


def as_tensors(arrays: list[Any], tracked: Callable[[int], bool] = lambda i: True) -> list[Any]:
    """Tensors of a sample's arrays; input i requires a gradient if it is of floats and ``tracked(i)``."""

    def one(a: Any, i: int) -> Any:
        if isinstance(a, tuple):
            return tuple(one(b, i) for b in a)
        return mg.tensor(a, requires_grad=a.dtype.kind == "f" and tracked(i))

    return [one(a, i) for i, a in enumerate(arrays)]


def flat(values: Any) -> list[Any]:
    """Nested tuples and lists as one list."""
    return [v for value in values for v in flat(value)] if isinstance(values, (tuple, list)) else [values]


def outputs_of(result: Any) -> list[mg.Tensor]:
    """What an op returned that carries a gradient, as a list."""
    return [t for t in flat([result]) if t.requires_grad]


differentiable = sorted(name for name, op in OPS.items() if op.rules)


# -- looks into a graph ------------------------------------------------------------------------------------------


def node_of(tensor: mg.Tensor) -> Node:
    """The node that made the tensor."""
    assert tensor._edge is not None
    return tensor._edge[0]


def nodes_behind(tensor: mg.Tensor) -> list[Node]:
    """Every node that the tensor was computed by."""
    found: dict[int, Node] = {}
    stack = [tensor._edge]
    while stack:
        edge = stack.pop()
        if isinstance(edge, tuple) and id(edge[0]) not in found:
            found[id(edge[0])] = edge[0]
            stack += [route[0] for route in edge[0].routes if type(route) is tuple]
    return list(found.values())


def ops_behind(tensor: mg.Tensor, *, since: mg.Tensor | None = None) -> list[str]:
    """Names of the ops behind a tensor, without those behind `since`."""
    before = set() if since is None else {id(n) for n in nodes_behind(since)}
    return sorted(n.plan.op.name for n in nodes_behind(tensor) if id(n) not in before)


def counted_op(calls: list[Any], tag: Any = None) -> Any:
    """A new op y = 2x whose rule notes each call in `calls`."""

    @mg.op
    def counted(xp: Any, x: Any) -> Any:
        return 2 * x

    @counted.gradient("x", formula=r"\partial L/\partial x = 2 \, \partial L/\partial y")
    def _(F: Any, dy: Any) -> Any:
        calls.append(tag)
        return 2 * dy

    return counted


@contextmanager
def no_collector() -> Iterator[None]:
    """The garbage collector off, so that only reference counting gives memory back."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# -- random linear programs --------------------------------------------------------------------------------------

SHAPE = (2, 3)
_STEPS: dict[str, Callable[[Any, mg.Tensor, mg.Tensor], Any]] = {
    "add": lambda F, a, b: a + b,
    "twice": lambda F, a, b: a + a,
    "subtract": lambda F, a, b: a - b,
    "negate": lambda F, a, b: -a,
    "scale": lambda F, a, b: 3 * a,
    "add a row": lambda F, a, b: a + b[1],
    "add a column": lambda F, a, b: b[:, 1:2] + a,
    "reshape": lambda F, a, b: a.reshape(3, 2).reshape(SHAPE),
    "turn": lambda F, a, b: a.reshape(3, 2).transpose(),
    "flip": lambda F, a, b: a[::-1],
    "gather": lambda F, a, b: a[np.array([1, 1])],
    "spread a row": lambda F, a, b: F.broadcast_to(a[0], shape=SHAPE),
    "spread the sum": lambda F, a, b: F.broadcast_to(F.sum(a, axis=1, keepdims=True), shape=SHAPE),
    "copy": lambda F, a, b: F.copy(a),
}

Program = list[tuple[str, int, int]]
programs: st.SearchStrategy[Program] = st.lists(
    st.tuples(st.sampled_from(sorted(_STEPS)), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=10
)


def run_program(program: Program, *leaves: mg.Tensor) -> tuple[mg.Tensor, ...]:
    """Apply each step to two of the values so far; the last two values are the results."""
    values = list(leaves)
    for name, i, j in program:
        values.append(_STEPS[name](TRACED_OPS, values[i % len(values)], values[j % len(values)]))
    return tuple(values[-2:])


def inner(xs: Any, ys: Any) -> float:
    """The sum of the inner products of two lists of Tensors or arrays."""
    data = [[t.numpy() if isinstance(t, mg.Tensor) else t for t in side] for side in (xs, ys)]
    return float(sum((a * b).sum() for a, b in zip(*data, strict=True)))
