"""Functions of one input: values as NumPy's, both tails of the sigmoid family, and derivatives at kinks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import assert_close, rngs

import minigan as mg
from minigan.autodiff.registry import OPS

from .cases import CASES

NUMPY = {
    **{name: getattr(np, name) for name in ("exp", "log", "sqrt", "abs", "sin", "cos", "tanh")},
    "neg": np.negative,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "relu": lambda x: np.where(x > 0, x, 0),
    "leaky_relu": lambda x, negative_slope: np.where(x > 0, x, negative_slope * x),
}


@pytest.mark.parametrize("name", NUMPY)
@given(st.data())
def test_values(name, data):
    call = data.draw(CASES[name])
    (y,) = call(*call.variables.values())
    assert_close(y.numpy(), np.asarray(NUMPY[name](call.inputs["x"], **call.attributes)), 1e-15)  # a few roundings


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "low", "slope_low", "high", "slope_high"),
    [("sigmoid", 0.0, 0.0, 1.0, 0.0), ("softplus", 0.0, 0.0, 1e4, 1.0), ("tanh", -1.0, 0.0, 1.0, 0.0)],
)
def test_far_tails_neither_overflow_nor_warn(name, low, slope_low, high, slope_high, dtype):
    x = mg.tensor(np.array([-1e4, 1e4], dtype), requires_grad=True)
    y = OPS[name](x)
    first = mg.grad(y.sum(), x, create_graph=True)
    second = mg.grad(first.sum(), x)
    np.testing.assert_array_equal(y.numpy(), np.array([low, high], dtype))
    np.testing.assert_array_equal(first.numpy(), [slope_low, slope_high])
    np.testing.assert_array_equal(second.numpy(), [0, 0])


def test_a_leaky_relu_that_cannot_be_undone_is_refused():
    with pytest.raises(ValueError, match=r"negative_slope must be at least 0, got -0\.5"):
        mg.ops.leaky_relu([1.0], -0.5)


@given(rng=rngs)
def test_tails_keep_their_digits(backend, rng):
    """sigmoid(x) and softplus(x) are exp(x) far to the left, to full relative precision."""
    x = rng.uniform(-600, -40, 20)
    for name in ("sigmoid", "softplus"):
        # two roundings, as exp(-40) is below eps; another library's exp may be off by two units, 2.2e-16 each
        rtol = 4e-16 if backend == "numpy" else 1e-15
        np.testing.assert_allclose(OPS[name](x).numpy(), np.exp(x), rtol=rtol)


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("relu", {}, [0, 0, 1]),
        ("leaky_relu", {}, [0.01, 0.01, 1]),
        ("leaky_relu", {"negative_slope": 0.25}, [0.25, 0.25, 1]),
        ("abs", {}, [-1, 0, 1]),
    ],
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_derivatives_at_kinks(name, attributes, expected, create_graph):
    x = mg.tensor(np.array([-1.0, 0.0, 1.0]), requires_grad=True)
    dx = mg.grad(OPS[name](x, **attributes).sum(), x, create_graph=create_graph)
    np.testing.assert_array_equal(dx.numpy(), expected)


@given(rngs)
def test_sign_is_a_constant(rng):
    x = mg.tensor(np.round(rng.uniform(-2, 2, 9)), requires_grad=True)
    assert not mg.ops.sign(x).requires_grad
    np.testing.assert_array_equal(mg.ops.sign(x).numpy(), np.sign(x.numpy()))


def test_attributes_may_follow_by_position():
    x = np.array([-1.0, 2.0])
    np.testing.assert_array_equal(mg.ops.leaky_relu(x, 0.2).numpy(), mg.ops.leaky_relu(x, negative_slope=0.2).numpy())
