"""Convolutions and batch norm against PyTorch, where it is installed: values and gradients of orders 1 and 2."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Call, anywhere, arriving_at, assert_close, rngs

import minigan as mg

from .cases import CASES

torch = pytest.importorskip("torch")
functional = torch.nn.functional

BOUND = 1e-10  # float64 in both; sums of at most some hundred terms, differentiated twice


def batch_norm(x, mean=None, var=None, weight=None, bias=None, eps=0.0):
    """PyTorch's, by the batch's statistics or by given ones."""
    if weight is None and bias is not None:
        weight = torch.ones_like(bias)  # its second derivative fails without
    return functional.batch_norm(x, mean, var, weight, bias, training=mean is None, eps=eps)


PEERS = {
    "conv2d": functional.conv2d,
    "conv_transpose2d": functional.conv_transpose2d,
    "batch_norm_train": batch_norm,
    "batch_norm_eval": batch_norm,
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Two pools of threads on the same cores would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def two_orders(grad, y, xs, dy, directions):
    """y, its gradients, and the gradients of <gradients, directions>, by the same sentences in both libraries."""
    first = grad(y, [*xs], dy, create_graph=True)
    second = grad(first, [*xs, dy], directions, allow_unused=True)
    return [y, *first, *second]


@pytest.mark.parametrize("name", PEERS)
@given(st.data(), rngs)
def test_values_and_two_orders_of_gradients(name, data, rng):
    drawn = data.draw(CASES[name])
    call = Call(name, drawn.inputs, drawn.attributes)  # PyTorch has no statistics among its outputs
    by = {x: a for x, a in call.variables.items() if x not in ("mean", "var")}  # nor gradients by given ones
    (dy,), directions = arriving_at(call, rng), [anywhere(rng, a.shape) for a in by.values()]

    def tensors(make, values):
        return [make(a, requires_grad=True) for a in values]

    xs, (seed,) = tensors(mg.tensor, by.values()), tensors(mg.tensor, [dy])
    (y,) = call(*(dict(zip(by, xs, strict=True)).get(x, a) for x, a in call.variables.items()))
    ours = two_orders(mg.grad, y, xs, seed, list(map(mg.tensor, directions)))

    xs, (seed,) = tensors(torch.tensor, by.values()), tensors(torch.tensor, [dy])
    fixed = {x: torch.tensor(a) for x, a in call.inputs.items() if x not in by}
    named = fixed | dict(zip(by, xs, strict=True))
    y = PEERS[name](named.pop("x"), **named, **call.attributes)  # what PyTorch calls x is "input"
    theirs = two_orders(torch.autograd.grad, y, xs, seed, list(map(torch.tensor, directions)))

    for mine, peer in zip(ours, theirs, strict=True):
        if mine is None or peer is None:  # a zero, or nothing at all
            assert all(t is None or not np.any(t.data if t is mine else t.numpy()) for t in (mine, peer))
        else:
            assert_close(mine.data, peer.detach().numpy(), BOUND)
