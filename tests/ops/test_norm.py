"""Batch norm as users call it: statistics of the batch, their running averages, and what gradients may not contain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import anywhere, assert_close, positive, rngs

import minigan as mg
from minigan.backends.plain import channel_axes
from minigan.errors import DTypeError, ShapeError

from .cases import epsilons, normalisable

BOUND = 1e-12  # statistics of at most some ten values of size 4, and conditions below 10


@st.composite
def batches(draw):
    """A batch, its axes but the channels', the shape that puts (C,) beside it, and eps."""
    _, x = draw(normalisable())
    return x, *channel_axes(x.ndim), draw(epsilons)


@given(batches())
def test_training_normalises(batch):
    x, axes, _, eps = batch
    y = mg.ops.batch_norm(x, eps=eps).numpy()
    var = x.var(axis=axes)
    assert_close(y.mean(axis=axes), np.zeros(x.shape[1]), BOUND)
    assert_close(y.var(axis=axes), var / (var + eps), BOUND)


@given(batches(), rngs, st.booleans(), st.booleans())
def test_scale_and_shift(batch, rng, scaled, shifted):
    """Left out, they are ones and zeros; in both modes."""
    x, _, shape, eps = batch
    weight, bias = anywhere(rng, x.shape[1:2]), anywhere(rng, x.shape[1:2])
    mean, var = anywhere(rng, x.shape[1:2]), positive(rng, x.shape[1:2])
    for mode in ({}, {"running_mean": mean, "running_var": var, "training": False}):
        plain = mg.ops.batch_norm(x, eps=eps, **mode).numpy()
        y = mg.ops.batch_norm(x, weight if scaled else None, bias if shifted else None, eps=eps, **mode).numpy()
        expected = plain * (weight.reshape(shape) if scaled else 1) + (bias.reshape(shape) if shifted else 0)
        assert_close(y, expected, BOUND)


@given(batches(), rngs, st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_running_statistics(batch, rng, momentum):
    """They move by momentum to the mean and to the unbiased variance, in place; evaluation normalises by them."""
    x, axes, shape, eps = batch
    mean, var = anywhere(rng, x.shape[1:2]), positive(rng, x.shape[1:2])
    running = [mg.tensor(mean), mg.tensor(var)]
    mg.ops.batch_norm(x, None, None, *running, momentum=momentum, eps=eps)
    held = [r.numpy() for r in running]
    assert_close(held[0], (1 - momentum) * mean + momentum * x.mean(axis=axes), BOUND)
    assert_close(held[1], (1 - momentum) * var + momentum * x.var(axis=axes, ddof=1), BOUND)

    before = [h.copy() for h in held]
    y = mg.ops.batch_norm(x, None, None, *running, training=False, eps=eps).numpy()
    assert_close(y, (x - held[0].reshape(shape)) / np.sqrt(held[1].reshape(shape) + eps), BOUND)
    np.testing.assert_array_equal([r.numpy() for r in running], before)


@given(batches(), rngs)
def test_running_statistics_are_outside_the_graph(batch, rng):
    x, _, _, eps = batch
    x = mg.tensor(x, requires_grad=True)
    weights = mg.tensor(anywhere(rng, x.shape))
    running = [mg.tensor(np.zeros(x.shape[1])), mg.tensor(np.ones(x.shape[1]))]
    with_running = mg.grad(mg.ops.batch_norm(x, None, None, *running, eps=eps), x, weights)
    without = mg.grad(mg.ops.batch_norm(x, eps=eps), x, weights)
    np.testing.assert_array_equal(with_running.numpy(), without.numpy())
    assert not any(r.requires_grad for r in running)


@given(st.sampled_from(["float32", "float64"]), st.floats(-8, 8, width=16), epsilons)
def test_a_constant_channel_has_no_variance(dtype, value, eps):
    x, running = np.full((5, 2), value, dtype), mg.tensor(np.zeros(2, dtype))
    y = mg.ops.batch_norm(x, running_var=running, momentum=1.0, eps=eps)
    # the mean may be off by a few roundings of |value|, which 1/sqrt(eps) magnifies in y; the variance by their square,
    # or by roundings of eps
    small = 8 * np.finfo(dtype).eps * max(1.0, abs(value))
    assert np.all(np.abs(y.numpy()) <= small / np.sqrt(eps))
    assert np.all(np.abs(running.numpy()) <= small**2 + 8 * np.finfo(dtype).eps * eps)


@given(batches(), rngs)
def test_a_shift_or_scale_of_a_channel_gets_no_gradient(batch, rng):
    """dx sums to 0 over a channel, and with x too but for what eps lets through."""
    x, axes, shape, eps = batch
    leaf = mg.tensor(x, requires_grad=True)
    for create_graph in (False, True):
        y = mg.ops.batch_norm(leaf, anywhere(rng, x.shape[1:2]), eps=eps)
        weights = anywhere(rng, x.shape)
        dx = mg.grad(y, leaf, mg.tensor(weights), create_graph=create_graph).numpy()
        assert_close(dx.sum(axis=axes), np.zeros(x.shape[1]), BOUND)
        centred = x - x.mean(axis=axes).reshape(shape)
        let_through = eps / (x.var(axis=axes) + eps) * np.sum(weights * y.numpy(), axis=axes)
        assert_close((dx * centred).sum(axis=axes), let_through, BOUND)


@pytest.mark.parametrize(
    ("arguments", "attributes", "error", "message"),
    [
        ([(1, 3)], {}, ShapeError, "more than one value a channel"),
        ([(2, 3, 4)], {}, ShapeError, "x must be .* got 3-D"),
        ([(2, 3), (2,)], {}, ShapeError, r"must be of shape \(3,\)"),
        ([(2, 3), (3,), (3,), (3,), (3,)], {}, DTypeError, "running statistics .* must be Tensors"),
        ([(2, 3)], {"training": False}, ValueError, "needs running_mean and running_var"),
    ],
)
def test_errors(arguments, attributes, error, message):
    with pytest.raises(error, match=message):
        mg.ops.batch_norm(*map(np.zeros, arguments), **attributes)


def test_the_running_variance_of_a_constant_channel_is_not_negative():
    running = mg.tensor(np.zeros(3, "float32"))
    mg.ops.batch_norm(np.full((5, 3), 0.3, "float32"), running_var=running, momentum=1.0)
    assert (running.numpy() >= 0).all()
