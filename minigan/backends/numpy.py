"""The NumPy backend: the plain kernels, and faster versions of those that dominate a GAN's step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigan.backends.base import Backend, HostArray
from minigan.backends.plain import channel_axes

PATCH_BYTES = 4 << 20  # patches worked on at a time: little enough for the cache, enough for the products to run well
BLOCK = 16_384  # elements of Adam's buffers worked on at a time: five float32 blocks fit a 512 KiB second-level cache

Pair = tuple[int, int]


class NumPyBackend(Backend):
    """Arrays in the host's memory."""

    def __init__(self) -> None:
        super().__init__("numpy", np, np.ndarray)

    def from_host(self, array: HostArray) -> Any:
        return np.array(array)

    def to_host(self, array: Any) -> HostArray:
        return array

    # Convolutions go through the batch a few images at a time, so that the memory of their patches, many times that of
    # the images, is small and found again; docs/decisions/0002-blocked-convolution.md has the figures.

    def conv2d(self, x: Any, weight: Any, bias: Any, small: Pair, *geometry: Any) -> Any:
        """As the plain kernel, block by block."""
        y = np.empty((len(x), *small, len(weight)), np.result_type(x, weight)).transpose(0, 3, 1, 2)
        weight = _as_matrix(weight)
        for block in _blocks(x, weight.shape[2:], small):
            y[block] = super().conv2d(x[block], weight, bias, small, *geometry)
        return y

    def conv2d_input_grad(self, dy: Any, weight: Any, large: Pair, *geometry: Any) -> Any:
        """As the plain kernel, block by block."""
        channels = weight.shape[1] * geometry[-1]
        x = np.empty((len(dy), *large, channels), np.result_type(dy, weight)).transpose(0, 3, 1, 2)
        weight = _as_matrix(weight)
        for block in _blocks(x, weight.shape[2:], dy.shape[2:]):
            x[block] = super().conv2d_input_grad(dy[block], weight, large, *geometry)
        return x

    def conv2d_weight_grad(self, x: Any, dy: Any, kernel: Pair, *geometry: Any) -> Any:
        """As the plain kernel, block by block."""
        total: Any = None
        for block in _blocks(x, kernel, dy.shape[2:]):
            part = super().conv2d_weight_grad(x[block], dy[block], kernel, *geometry)
            total = part if total is None else np.add(total, part, out=total)
        return total

    def batch_norm(self, x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
        """As the plain kernel; the variance's products go straight into sums, and the rest is done in one array."""
        shape = channel_axes(x.ndim)[1]
        count = x.size // x.shape[1]
        mean = channel_sum(x) / count
        y = x - mean.reshape(shape)
        inv_std = 1.0 / np.sqrt(channel_sum(y, y) / count + eps)
        y *= (inv_std if weight is None else inv_std * weight).reshape(shape)
        if bias is not None:
            y += bias.reshape(shape)
        return y, mean, inv_std

    def adam(
        self, value: Any, grad: Any, m: Any, v: Any, lr: float, betas: tuple[float, float], eps: float, step: int
    ) -> None:
        """As the plain kernel, block by block, so that each block stays in the processor's cache through every pass."""
        beta1, beta2 = betas
        rate, spread = lr / (1.0 - beta1**step), (1.0 - beta2**step) ** -0.5
        scratch = np.empty(min(BLOCK, value.size), value.dtype)
        for start in range(0, value.size, BLOCK):
            block = slice(start, start + BLOCK)
            g, first, second = grad[block], m[block], v[block]
            t = scratch[: g.size]
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


def _as_matrix(weight: Any) -> Any:
    """The same weight (O, C, kH, kW) in the memory order of a patch, so that the products need not bring it there."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)


def _blocks(x: Any, kernel: Pair, small: Pair) -> Iterator[slice]:
    """Slices of the batch whose patches take about PATCH_BYTES; one of an empty batch."""
    image = x.shape[1] * kernel[0] * kernel[1] * small[0] * small[1] * x.dtype.itemsize
    size = max(1, PATCH_BYTES // max(1, image))
    return (slice(i, i + size) for i in range(0, max(1, len(x)), size))


def channel_sum(a: Any, b: Any = None) -> Any:
    """Sum of a, or of a * b without making the product, over all axes but the channels': (N, C[, H, W]) -> (C,).

    As one matrix-vector product with ones, which BLAS does at memory speed and with partial sums.
    """
    rows = a if a.ndim == 2 else a.transpose(0, 2, 3, 1).reshape(-1, a.shape[1])
    if b is None:
        return np.ones(rows.shape[0], rows.dtype) @ rows
    return np.einsum("ic,ic->c", rows, b if b.ndim == 2 else b.transpose(0, 2, 3, 1).reshape(-1, b.shape[1]))


NUMPY = NumPyBackend()
# glibc gives memory back to the system above a threshold that follows the largest array freed so far; one of this size,
# never touched, lets the arrays of a training step be reused instead of being mapped and zeroed anew every time
np.empty(31 << 20, np.uint8)


@NUMPY.fast_rule("leaky_relu", "x")
def _(xp: Any, dy: Any, x: Any, negative_slope: float) -> Any:
    """Arithmetic on a mask: NumPy's `where` takes thirty times as long as a product."""
    if not 0 <= negative_slope <= 1 or x.ndim == 0:
        return None
    dx = (x > 0).astype(dy.dtype)
    np.maximum(dx, negative_slope, out=dx)  # 1 or the slope
    dx *= dy
    return dx


@NUMPY.fast_rule("batch_norm_train", "x", "weight", "bias")
def _(xp: Any, dy: Any, dmean: Any, dinv_std: Any, x: Any, weight: Any, mean: Any, inv_std: Any) -> Any:
    """The three gradients of batch norm in two passes of sums and one of values; None where only the plain rule serves."""
    if dy is None or dmean is not None or dinv_std is not None:
        return None
    shape = channel_axes(x.ndim)[1]
    count = x.size // x.shape[1]
    dx = x - mean.reshape(shape)  # holds the centred x first, and is turned into dx in place
    dbias, dweight = channel_sum(dy), channel_sum(dy, dx) * inv_std
    scale = inv_std if weight is None else inv_std * weight
    dx *= (-scale * inv_std * dweight / count).reshape(shape)
    dx -= (scale * dbias / count).reshape(shape)
    dx += dy * scale.reshape(shape)
    return dx, dweight, dbias
