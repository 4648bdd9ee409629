"""Ops that move values: as NumPy's, and in pairs of transposes, by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import anywhere, arriving_at, assert_close, rngs, run, share_memory

import minigan as mg
from minigan.autodiff.registry import OPS
from minigan.errors import ShapeError

from .cases import CASES

data = st.data()

NUMPY = {
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, axes: x.transpose(axes),
    "broadcast_to": lambda x, shape: np.broadcast_to(x, shape),
    "getitem": lambda x, index: x[index],
    "copy": lambda x: x,
    "astype": lambda x, dtype: x.astype(dtype),
    "to": lambda x, backend, source: x,
}


@pytest.mark.parametrize("name", NUMPY)
@given(data)
def test_values(name, data):
    call = data.draw(CASES[name])
    (y,) = call(*call.variables.values())
    np.testing.assert_array_equal(y.numpy(), NUMPY[name](call.inputs["x"], **call.attributes), strict=y.ndim > 0)


# the other member of the pair, called with what arrives; its attributes follow from the call's
TRANSPOSES = {
    "reshape": lambda dy, x, shape: mg.ops.reshape(dy, shape=x.shape),
    "broadcast_to": lambda dy, x, shape: mg.ops.sum_to(dy, shape=x.shape),
    "sum_to": lambda dy, x, shape: mg.ops.broadcast_to(dy, shape=x.shape),
    "getitem": lambda dy, x, index: mg.ops.scatter_add(dy, index=index, shape=x.shape),
    "scatter_add": lambda dy, x, index, shape: mg.ops.getitem(dy, index=index),
    "transpose": lambda dy, x, axes: mg.ops.transpose(dy, axes=inverse(axes)),
}


def inverse(axes):
    """The order of axes that undoes this one."""
    return None if axes is None else tuple(int(i) for i in np.argsort([a % len(axes) for a in axes]))


@pytest.mark.parametrize("name", TRANSPOSES)
@given(data, rngs)
def test_families_are_closed(name, data, rng):
    """The gradient is another member of the family, by its name."""
    call = data.draw(CASES[name])
    (dy,) = arriving_at(call, rng)
    _, (dx,) = run(call, [dy])
    expected = TRANSPOSES[name](dy, call.inputs["x"], **call.attributes)
    assert_close(dx, expected.numpy(), 1e-15)  # the same sums in the same order


@given(data)
def test_sum_to_and_scatter_add_against_loops(data):
    call = data.draw(CASES["sum_to"])
    x, shape = call.inputs["x"], call.attributes["shape"]
    expected = np.zeros(shape)
    for i in np.ndindex(x.shape):
        kept = i[len(i) - len(shape) :]
        expected[tuple(0 if n == 1 else j for j, n in zip(kept, shape, strict=True))] += x[i]
    assert_close(call(x)[0].numpy(), expected, 1e-14)  # 27 terms in another order

    call = data.draw(CASES["scatter_add"])
    x, index, shape = call.inputs["x"], call.attributes["index"], call.attributes["shape"]
    expected = np.zeros(shape)
    for place, value in zip(np.arange(expected.size).reshape(shape)[index].flat, x.flat, strict=True):
        expected.flat[place] += value
    assert_close(call(x)[0].numpy(), expected, 1e-14)  # as above


@given(rngs)
def test_places_named_twice_receive_both(rng):
    x, index = mg.tensor(anywhere(rng, (3,)), requires_grad=True), np.array([0, 2, 0, 0])
    np.testing.assert_array_equal(mg.grad(x[index].sum(), x).numpy(), [3, 0, 1])


@pytest.mark.parametrize("shape", [(2,), (4, 3), (1, 1, 3), (2, 1, 1, 3)])
def test_sum_to_refuses_what_does_not_broadcast(shape):
    with pytest.raises(ShapeError, match=r"sum_to\(x \(2, 3\) float64\).*does not broadcast"):
        mg.ops.sum_to(np.zeros((2, 3)), shape=shape)


@pytest.mark.parametrize("there", ["float32", "float64", "float16"])
@given(rngs)
def test_the_gradient_of_astype_returns_in_the_old_dtype(there, rng):
    x = mg.tensor(anywhere(rng, (3,)), requires_grad=True)
    y = x.astype(there)
    assert y.dtype == np.dtype(there)
    dx = mg.grad(y, x, mg.tensor(np.array([0.5, 1.0, 2.0], there)))
    assert dx.dtype == x.dtype
    np.testing.assert_array_equal(dx.numpy(), [0.5, 1.0, 2.0])


@given(rngs)
def test_copies_are_their_own_memory(rng):
    x = mg.tensor(anywhere(rng, (2, 3)))
    for y in (OPS["copy"](x), x.to(x.backend), OPS["sum_to"](x, shape=x.shape)):
        assert not share_memory(y.data, x.data)
