"""Arithmetic: values as NumPy's, broadcasting undone in the gradients, powers at 0, comparisons as constants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Array, arriving_at, assert_close, positive, rngs, run

import minigan as mg
from minigan.autodiff.registry import OPS

from .cases import CASES, binary

NUMPY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power, "where": np.where}
NUMPY |= {"maximum": np.maximum, "minimum": np.minimum}
COMPARISONS = ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")

data = st.data()


def test_every_op_that_broadcasts_is_tested_here():
    assert {name for name, op in OPS.items() if op.broadcasts} == {*NUMPY, *COMPARISONS, "matmul"}


@pytest.mark.parametrize("name", NUMPY)
@given(data=data, rng=rngs)
def test_values_and_broadcasting(backend, name, data, rng):
    """The op is NumPy's; its gradients are those of the inputs written out in full, summed over the repetitions."""
    call = data.draw(CASES[name])
    arriving = arriving_at(call, rng)
    (y,), grads = run(call, arriving)
    rounding = 1e-15 if name == "pow" and backend != "numpy" else 0  # CUDA's pow may be off by two units, 4.4e-16
    np.testing.assert_allclose(y, NUMPY[name](*call.arguments()), rtol=rounding, atol=0)
    _, full = run(call.map(lambda a: np.array(np.broadcast_to(a, y.shape))), arriving)
    for a, g, long in zip(call.variables.values(), grads, full, strict=True):
        assert_close(g, summed_to(long, a.shape), 1e-13)  # at most 27 terms of size 10, in another order
        assert isinstance(g, Array)


def summed_to(long, shape):
    """The sum over the axes that broadcasting to `long` made or stretched."""
    ones = (1,) * (long.ndim - len(shape)) + shape
    stretched = tuple(i for i, (n, m) in enumerate(zip(ones, long.shape, strict=True)) if n != m)
    return long.sum(axis=stretched, keepdims=True).reshape(shape)


@pytest.mark.parametrize("name", COMPARISONS)
@given(data)
def test_comparisons_are_constants(name, data):
    drawn = data.draw(binary(name)).map(np.round)
    a, b = (np.round(v) for v in drawn.inputs.values())  # whole numbers, so that some are equal
    y = OPS[name](mg.tensor(a, requires_grad=True), mg.tensor(b, requires_grad=True))
    assert not y.requires_grad
    np.testing.assert_array_equal(y.numpy(), getattr(np, name)(a, b))
    assert y.dtype == bool


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", [2, 0.3, np.float64(0.3), np.float32(2)])
@pytest.mark.parametrize("create_graph", [False, True])
def test_numbers_are_weak(name, dtype, number, create_graph):
    """A number never decides a dtype, and is never rounded below the array's precision."""
    x = mg.tensor(np.array([0.5, 1.5], dtype), requires_grad=True)
    for arguments in ((x, number), (number, x)):
        y = OPS[name](*arguments)
        dx = mg.grad(y, x, mg.tensor(np.ones(2, dtype)), create_graph=create_graph)
        assert y.dtype == dx.dtype == np.dtype(dtype)
        wide = [np.array(a.numpy() if a is x else a, np.float64) for a in arguments]
        expected = [NUMPY[name](*wide), slope(name, *wide)[0 if arguments[0] is x else 1]]
        for actual, reference in zip((y, dx), expected, strict=True):
            assert_close(actual.numpy(), reference * np.ones(2), 8 * np.finfo(dtype).eps)  # five roundings at most


def slope(name, a, b):
    """The textbook's partial derivatives."""
    return {
        "add": lambda: (1, 1),
        "sub": lambda: (1, -1),
        "mul": lambda: (b, a),
        "div": lambda: (1 / b, -a / b**2),
        "pow": lambda: (b * a ** (b - 1), a**b * np.log(a)),
    }[name]()


@pytest.mark.parametrize(
    ("a", "b", "da", "db", "second"),
    [  # a^b with da = b a^(b-1), db = a^b log a, and the second derivative by a
        (0.0, 0.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 1.0, 0.0, 0.0),
        (0.0, 2.0, 0.0, 0.0, 2.0),
        (0.0, 3.0, 0.0, 0.0, 0.0),
        (3.0, 0.0, 0.0, np.log(3.0), 0.0),
        (-2.0, 2.0, -4.0, None, 2.0),
        (-2.0, 0.0, 0.0, None, 0.0),
    ],
)
@pytest.mark.parametrize("as_number", [False, True])
def test_pow_where_its_formula_is_delicate(a, b, da, db, second, as_number):
    x, power = mg.tensor(np.array([a]), requires_grad=True), np.array([b])
    first = mg.grad((x ** (b if as_number else power)).sum(), x, create_graph=True)
    assert first.numpy() == pytest.approx([da], abs=1e-15)  # small whole numbers: exact but for a rounding
    again = mg.grad(first.sum(), x, allow_unused=True)
    assert (0.0 if again is None else again.numpy()) == pytest.approx(second, abs=1e-15)  # as above
    if db is not None:
        exponent = mg.tensor(power, requires_grad=True)
        assert mg.grad((x**exponent).sum(), exponent).numpy() == pytest.approx([db], abs=1e-15)  # as above


@given(rngs, st.sampled_from([0.0, 1.0, 2.0]))
def test_mixed_derivative_of_pow(rng, b):
    """d/db of b a^(b-1) is a^(b-1) (1 + b log a), where b is 0 too."""
    a = mg.tensor(positive(rng, (3,)), requires_grad=True)
    exponent = mg.tensor(np.full(3, b), requires_grad=True)
    first = mg.grad((a**exponent).sum(), a, create_graph=True)
    expected = a.numpy() ** (b - 1) * (1 + b * np.log(a.numpy()))
    assert_close(mg.grad(first.sum(), exponent).numpy(), expected, 1e-14)  # some ten roundings of values up to 4


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_a_tie_gives_each_half(name):
    a, b = (mg.tensor([1.0, 2.0, 2.0], requires_grad=True) for _ in "ab")
    for g in mg.grad(getattr(mg.ops, name)(a, b).sum(), [a, b]):
        np.testing.assert_array_equal(g.numpy(), [0.5, 0.5, 0.5])


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (None, 1.0), (-1.0, None), (None, None)])
def test_clip_passes_at_its_bounds_and_stops_beyond(low, high):
    values = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    x = mg.tensor(values, requires_grad=True)
    y = x.clip(low, high)
    np.testing.assert_array_equal(y.numpy(), np.clip(values, low, high))
    inside = (values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))
    np.testing.assert_array_equal(mg.grad(y.sum(), x).numpy(), inside)
