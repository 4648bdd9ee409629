"""Matrix products, over every pairing of vectors, matrices and stacks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Call, anywhere, arriving_at, assert_close, check_derivative, rngs, run

import minigan as mg
from minigan.errors import ShapeError

from .cases import CASES

data = st.data()

LEFT = [(3,), (2, 3), (4, 2, 3), (1, 2, 3), (2, 4, 2, 3)]
RIGHT = [(3,), (3, 5), (4, 3, 5), (1, 3, 5), (2, 1, 3, 5)]


@pytest.mark.parametrize("a", LEFT, ids=str)
@pytest.mark.parametrize("b", RIGHT, ids=str)
def test_matmul_of_every_rank(a, b):
    rng = np.random.default_rng(0)
    call = Call("matmul", {"a": anywhere(rng, a), "b": anywhere(rng, b)})
    (y,) = call(*call.variables.values())
    assert_close(y.numpy(), np.asarray(np.einsum(subscripts(a, b), *call.variables.values())), 1e-14)  # three products
    check_derivative(call, order=1, bound=1e-6, rng=rng)  # the bars of test_every_op
    if max(len(a), len(b)) < 4:  # the largest would take seconds
        check_derivative(call, order=2, bound=1e-5, rng=rng)


def subscripts(a, b):
    left, right = "ik"[-len(a) :], "kj"[: len(b)]
    return f"...{left},...{right}->...{left[:-1]}{right[1:]}"


@given(data, rngs)
def test_linear_is_a_product_and_a_sum(data, rng):
    """In values and in gradients: x W^T + b by the smaller ops."""
    call = data.draw(CASES["linear"])
    arriving = arriving_at(call, rng)
    (y,), grads = run(call, arriving)
    xs = {name: mg.tensor(a, requires_grad=True) for name, a in call.variables.items()}
    by_hand = xs["x"] @ xs["weight"].T
    by_hand = by_hand + xs["bias"] if "bias" in xs else by_hand
    assert_close(y, by_hand.numpy(), 1e-14)  # three products, in another order at most
    for g, expected in zip(grads, mg.grad(by_hand, list(xs.values()), mg.tensor(arriving[0])), strict=True):
        assert_close(g, expected.numpy(), 1e-14)  # as above


def test_linear_names_what_does_not_fit():
    with pytest.raises(ShapeError, match=r"linear\(x \(2, 3\) float64, weight \(4, 5\) float64\)"):
        mg.ops.linear(np.zeros((2, 3)), np.zeros((4, 5)))
    with pytest.raises(ShapeError, match=r"bias must be of shape \(4,\)"):
        mg.ops.linear(np.zeros((2, 3)), np.zeros((4, 3)), np.zeros(3))
