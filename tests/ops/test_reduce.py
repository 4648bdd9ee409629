"""Reductions: values as NumPy's, and what their gradients sum to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import arriving_at, assert_close, rngs, run

import minigan as mg

from .cases import CASES

data = st.data()


@pytest.mark.parametrize("name", ["sum", "mean", "var"])
@given(data=data)
def test_values(backend, name, data):
    call = data.draw(CASES[name])
    x = call.inputs["x"]
    bound = 1e-15 if backend == "numpy" else 1e-13  # the same routine; else 27 terms of size 4 in another order
    assert_close(call(x)[0].numpy(), np.asarray(getattr(np, name)(x, **call.attributes)), bound)


@given(data, rngs)
def test_what_gradients_sum_to(data, rng):
    """A mean hands out what arrives in equal parts; a variance does not see a shift, so its gradients cancel."""
    for name, handed_out in (("mean", 1.0), ("var", 0.0)):
        call = data.draw(CASES[name])
        arriving = arriving_at(call, rng)
        _, (dx,) = run(call, arriving)
        axis = call.attributes["axis"]
        kept = np.sum(dx, axis=axis, keepdims=call.attributes["keepdims"])
        assert_close(np.asarray(kept), handed_out * arriving[0], 1e-13)  # 27 terms of size 10 in another order


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("axis", [None, 1, (0, 1)])
def test_ties_split_the_gradient_equally(name, axis):
    values = np.array([[1.0, 3.0, 3.0], [3.0, 1.0, 1.0]]) * (1 if name == "max" else -1)
    x = mg.tensor(values, requires_grad=True)
    g = mg.grad(getattr(x, name)(axis=axis).sum(), x).numpy()
    chosen = values == getattr(values, name)(axis=axis, keepdims=True)
    np.testing.assert_allclose(g, chosen / chosen.sum(axis=axis, keepdims=True), rtol=1e-15)  # one division
