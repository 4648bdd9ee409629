"""The inner loops of the hot kernels, in NumPy: each goes over its arrays block by block, so that a block stays in the cache
through every pass over it.

`compiled` has the same functions as one fused loop each, and more for `filtering`. Arrays are C-contiguous, of one
floating dtype, and belong to one thread: rows are (n, C), images (n, H, W, C). What is called `out` is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigan.backends.memory import MEMORY
from minigan.backends.plain import taps

# elements worked on at a time; in smaller blocks two threads wait for each other at Python's global lock
BLOCK = 1 << 18
ADAM_BLOCK = 1 << 15  # five arrays, ten passes
THICK = 8  # channels from which on `fold` gains by adding whole cells

Array = Any
Pair = tuple[int, int]


def blocks(count: int, width: int = 1, elements: int | None = None) -> Iterator[slice]:
    """Slices of ``range(count)``, of BLOCK or so many elements each, where one of the count is `width` of them."""
    step = max(1, (elements or BLOCK) // max(1, width))
    return (slice(i, min(i + step, count)) for i in range(0, count, step))


def wait(counter: Array, seen: int) -> None:
    """Not at all: in Python it would keep the others from the global lock."""


# -- convolutions ------------------------------------------------------------------------------------------------------


def patches(x: Array, out: Array, stride: Pair, padding: Pair, dilation: Pair) -> None:
    """Every window that a convolution looks at: images (n, H, W, C) -> (n, P, Q, kH, kW, C)."""
    n, h, w, c = x.shape
    ph, pw = padding
    if ph or pw:
        padded = _zeros((n, h + 2 * ph, w + 2 * pw, c), x.dtype)
        padded[:, ph : ph + h, pw : pw + w] = x
        x = padded
    sn, sh, sw, sc = x.strides
    strides = (sn, sh * stride[0], sw * stride[1], sh * dilation[0], sw * dilation[1], sc)
    np.copyto(out, np.lib.stride_tricks.as_strided(x, out.shape, strides))


def fold(windows: Array, out: Array, stride: Pair, padding: Pair, dilation: Pair) -> None:
    """The transpose of `patches`: windows (n, P, Q, kH, kW, C) are added up where they came from, (n, H, W, C)."""
    n, h, w, channels = out.shape
    p, q, kh, kw = windows.shape[1:5]
    if dilation == (1, 1) and kh % stride[0] == 0 and kw % stride[1] == 0 and channels >= THICK:
        # the windows' cells of stride x stride pixels fall on the cells of a grid: fewer and longer additions
        (sh, sw), rows, columns = stride, kh // stride[0], kw // stride[1]
        grid = _zeros((n, p + rows - 1, sh, q + columns - 1, sw, channels), out.dtype)
        cells = windows.reshape(n, p, q, rows, sh, columns, sw, channels)
        for i in range(rows):
            for j in range(columns):
                part = grid[:, i : i + p, :, j : j + q]
                part += cells[:, :, :, i, :, j].swapaxes(2, 3)
        inner = grid.reshape(n, (p + rows - 1) * sh, -1, channels)[:, padding[0] :, padding[1] :][:, :h, :w]
        out[:, inner.shape[1] :], out[:, :, inner.shape[2] :] = 0, 0  # what no window reaches
        out[:, : inner.shape[1], : inner.shape[2]] = inner
        return
    out[...] = 0
    for i in range(kh):
        small_h, large_h = taps(i * dilation[0], stride[0], padding[0], p, h)
        for j in range(kw):
            small_w, large_w = taps(j * dilation[1], stride[1], padding[1], q, w)
            part = out[:, large_h, large_w]
            part += windows[:, small_h, small_w, i, j]


def _zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """Zeros in memory that is used again."""
    zeros = MEMORY.empty(shape, dtype)
    zeros[...] = 0
    return zeros


# -- normalisation: rows are (n, C) ------------------------------------------------------------------------------------


def channel_sums(rows: Array, total: Array) -> None:
    """The sum of each channel, in float64."""
    total[...] = 0
    for block in blocks(*rows.shape):
        total += np.ones(block.stop - block.start, rows.dtype) @ rows[block]


def channel_moments(rows: Array, mean: Array, spread: Array) -> None:
    """Mean of each channel, and the sum of the squared distances from it, in float64.

    One pass: each block has its own mean and spread, and Chan, Golub and LeVeque (1983) say how they are joined.
    """
    mean[...], spread[...] = 0, 0
    for block in blocks(*rows.shape):
        x, size = rows[block], block.stop - block.start
        own = (np.ones(size, x.dtype) @ x) / size
        centred = np.subtract(x, own, out=MEMORY.empty(x.shape, x.dtype))
        spread += np.einsum("ic,ic->c", centred, centred)
        distance = own - mean
        mean += distance * (size / block.stop)
        spread += distance * distance * (block.start * size / block.stop)


def normalize(rows: Array, mean: Array, scale: Array, shift: Array, out: Array) -> None:
    """(rows - mean) * scale + shift, with vectors (C,)."""
    for block in blocks(*rows.shape):
        y = np.subtract(rows[block], mean, out=out[block])
        y *= scale
        y += shift


def norm_sums(dy: Array, rows: Array, mean: Array, total: Array, moment: Array) -> None:
    """For each channel the sums of dy and of dy * (rows - mean), in float64."""
    total[...], moment[...] = 0, 0
    for block in blocks(*rows.shape):
        total += np.ones(block.stop - block.start, dy.dtype) @ dy[block]
        centred = np.subtract(rows[block], mean, out=MEMORY.empty(rows[block].shape, rows.dtype))
        moment += np.einsum("ic,ic->c", dy[block], centred)


def norm_grad(dy: Array, rows: Array, mean: Array, scale: Array, slope: Array, shift: Array, out: Array) -> None:
    """dy * scale - (rows - mean) * slope - shift, with vectors (C,)."""
    for block in blocks(*rows.shape):
        dx = np.subtract(rows[block], mean, out=out[block])
        dx *= -slope
        dx -= shift
        dx += np.multiply(dy[block], scale, out=MEMORY.empty(dx.shape, dx.dtype))


# -- element by element: arrays are flat -------------------------------------------------------------------------------


def relu(x: Array, out: Array) -> None:
    """max(x, 0). NumPy's `maximum` takes a third of the time beside an array than beside a number."""
    zeros = _zeros((min(BLOCK, x.size),), x.dtype)
    for block in blocks(x.size):
        np.maximum(x[block], zeros[: block.stop - block.start], out=out[block])


def leaky_relu(x: Array, slope: float, out: Array) -> None:
    """max(x, slope * x), with a slope from 0 to 1."""
    for block in blocks(x.size):
        y = np.multiply(x[block], slope, out=out[block])
        np.maximum(x[block], y, out=y)


def leaky_relu_grad(x: Array, dy: Array, slope: float, out: Array) -> None:
    """dy where x is positive, else slope * dy; by a product, because NumPy's `where` takes ten times as long."""
    slopes = MEMORY.empty(min(BLOCK, x.size), x.dtype)
    slopes[...] = slope
    for block in blocks(x.size):
        dx = np.greater(x[block], 0, out=out[block], casting="unsafe")
        if slope:
            np.maximum(dx, slopes[: dx.size], out=dx)
        dx *= dy[block]


def select(condition: Array, a: Array, b: Array, out: Array) -> None:
    """a where the condition holds, else b: by their bits, because NumPy's `where` guesses and is often wrong."""
    integers = np.dtype(f"i{out.itemsize}")
    a, b, result = a.view(integers), b.view(integers), out.view(integers)
    masks = MEMORY.empty(min(BLOCK, out.size), integers)
    for block in blocks(out.size):
        all_or_none = np.negative(condition[block].view(np.int8), out=masks[: block.stop - block.start])
        y = np.bitwise_xor(a[block], b[block], out=result[block])
        y &= all_or_none
        y ^= b[block]


def adam(
    value: Array, grad: Array, m: Array, v: Array, beta1: float, beta2: float, rate: float, spread: float, eps: float
) -> None:
    """m and v move towards the gradient and its square, and value by -rate * m / (sqrt(v) * spread + eps)."""
    scratch = MEMORY.empty(min(ADAM_BLOCK, value.size), value.dtype)
    for block in blocks(value.size, elements=ADAM_BLOCK):
        g, first, second, t = grad[block], m[block], v[block], scratch[: block.stop - block.start]
        first *= beta1
        first += np.multiply(g, 1.0 - beta1, out=t)
        second *= beta2
        np.multiply(g, 1.0 - beta2, out=t)
        second += np.multiply(t, g, out=t)
        np.sqrt(second, out=t)
        t *= spread
        t += eps
        np.divide(first, t, out=t)
        value[block] -= np.multiply(t, rate, out=t)
