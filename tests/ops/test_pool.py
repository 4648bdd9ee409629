"""Pooling and upsampling against windows taken one by one; ties, padding, and gradients of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import assert_close, rngs

import minigan as mg
from minigan.errors import ShapeError

from .cases import pair, pairs


@st.composite
def pooled(draw, values=None):
    """x, kernel, stride (or None) and padding; x is at most two rows and columns larger than one window needs."""
    kernel, stride = draw(pairs(1, 3)), draw(st.none() | pairs(1, 3))
    padding = tuple(draw(st.integers(0, k // 2)) for k in pair(kernel))
    sides = [max(1, k - 2 * p) + draw(st.integers(0, 2)) for k, p in zip(pair(kernel), padding, strict=True)]
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *sides)
    rng = draw(rngs)
    few = rng.integers(-2, 2, shape).astype(float)  # many ties
    x = few if draw(st.booleans()) else rng.normal(size=shape)
    return x, kernel, stride, padding


def windows(x, kernel, stride, padding, edge):
    """The windows (P, Q) of x's planes (N, C, kH, kW), `edge` outside, with the rows and columns of their first pixels."""
    (kh, kw), (ph, pw) = pair(kernel), padding
    sh, sw = pair(kernel if stride is None else stride)
    wide = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=edge)
    for i, top in enumerate(range(0, wide.shape[2] - kh + 1, sh)):
        for j, left in enumerate(range(0, wide.shape[3] - kw + 1, sw)):
            yield i, j, top - ph, left - pw, wide[:, :, top : top + kh, left : left + kw]


@given(pooled(), rngs)
def test_max_pool_takes_the_first_of_the_largest(case, rng):
    x, kernel, stride, padding = case
    leaf = mg.tensor(x, requires_grad=True)
    y = mg.ops.max_pool2d(leaf, kernel, stride, padding)
    dy = rng.integers(-3, 4, y.shape).astype(float)  # whole numbers: sums are exact
    expected, dx = np.full(y.shape, np.nan), np.zeros(x.shape)
    for i, j, top, left, window in windows(x, kernel, stride, padding, -np.inf):
        flat = window.reshape(*window.shape[:2], -1)
        expected[:, :, i, j] = flat.max(axis=2)
        for n, c in np.ndindex(flat.shape[:2]):
            row, column = divmod(int(flat[n, c].argmax()), window.shape[3])
            dx[n, c, top + row, left + column] += dy[n, c, i, j]
    assert np.array_equal(y.numpy(), expected)
    assert np.array_equal(mg.grad(y, leaf, dy).numpy(), dx)


@given(pooled())
def test_avg_pool_counts_padding_as_zeros(case):
    x, kernel, stride, padding = case
    y = mg.ops.avg_pool2d(x, kernel, stride, padding).numpy()
    expected = np.full(y.shape, np.nan)
    for i, j, _, _, window in windows(x, kernel, stride, padding, 0):
        expected[:, :, i, j] = window.mean(axis=(2, 3))
    assert_close(y, expected, 1e-14)  # a mean of at most nine values of size 4


@given(st.integers(1, 3), rngs)
def test_upsampling_repeats_and_average_pooling_undoes_it(scale, rng):
    x = rng.normal(size=(2, 3, 2, 4)).tolist()
    large = mg.ops.upsample_nearest2d(x, scale)
    assert np.array_equal(large.numpy(), np.float32(x).repeat(scale, 2).repeat(scale, 3))
    assert_close(
        mg.ops.avg_pool2d(large, scale).numpy(), np.float32(x), 1e-6
    )  # in float32 a mean of nine values errs by some 1e-7 of them


@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_planes_that_hold_only_the_least_value(dtype):
    """Padding ties with it and still is not chosen; integers stay integers."""
    least = -np.inf if dtype == "float32" else np.iinfo(dtype).min
    x = np.full((1, 1, 3, 3), least, dtype)
    y = mg.ops.max_pool2d(x, 2, 2, 1)
    assert y.numpy().dtype == dtype
    assert (y.numpy() == least).all()
    index = mg.ops.pool_argmax(x, kernel_size=(2, 2), stride=(2, 2), padding=(1, 1))
    assert index.numpy()[0, 0].tolist() == [[0, 1], [3, 4]]  # the first real pixel of each window, or the nearest to it


def test_whole_pixels_average_to_fractions():
    assert mg.ops.avg_pool2d(np.array([[[[0, 1], [2, 4]]]]), 2).item() == 1.75


@pytest.mark.parametrize("pool", [mg.ops.max_pool2d, mg.ops.avg_pool2d])
def test_bad_settings(pool):
    x = np.zeros((1, 1, 4, 4))
    for message, arguments in (
        (r"x must be \(N, C, H, W\), got shape \(4, 4\)", (x[0, 0], 2)),
        ("kernel_size must be an integer of at least 1", (x, 0)),
        ("stride must be an integer of at least 1", (x, 2, 0)),
        ("padding must be an integer of at least 0.* got 'same'", (x, 2, 1, "same")),
        (r"padding must be at most half of kernel_size \(2, 2\), got \(2, 2\)", (x, 2, 1, 2)),
        ("the output would be empty: height", (x, 5)),
    ):
        with pytest.raises(ShapeError, match=message):
            pool(*arguments)
