"""The hot kernels of a GPU, in CUDA."""

from __future__ import annotations

import math
from typing import Any

from minigan.backends.base import inverse, memory_order
from minigan.backends.cuda.launching import BUSY, Array, Blocks, Long, blocks_for, same
from minigan.backends.cuda.products import Products
from minigan.backends.cuda.source import DTYPES

LANES = 32  # channels that a block looks at side by side; as in norms.cu
CHUNK = 256  # rows that a block sums up at least
LOOKS = 1 << 24  # at an index, that a gather may take where a sort would serve


class CudaKernels(Products):
    """The kernels in CUDA, for floating arrays; for others, and for convolutions in groups, the plain ones."""

    # -- normalisation ---------------------------------------------------------------------------------

    def batch_norm(self, x: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Array, Array]:
        """As the plain kernel, in two passes: one for the statistics, one for the values."""
        if not same(x, weight, bias):
            return super().batch_norm(x, weight, bias, eps)
        rows, blocks, sizes = self._chunks(x)
        means, spreads = (self.empty((blocks[1], x.shape[1]), x.dtype) for _ in range(2))
        y, mean, inv_std = (self.empty(shape, x.dtype) for shape in (rows.shape, x.shape[1:2], x.shape[1:2]))
        self.launch("batch_moments", blocks, x.dtype.name, *sizes, rows, means, spreads)
        weight, bias = (v if v is None else self.packed(v) for v in (weight, bias))
        self.launch(
            "batch_norm", blocks, x.dtype.name, *sizes, float(eps), rows, weight, bias, means, spreads, y, mean, inv_std
        )
        return _images(y, x.shape), mean, inv_std

    def running_statistics(
        self, running_mean: Array | None, running_var: Array | None, mean: Array, inv_std: Array, count: int,
        momentum: float, eps: float,
    ) -> tuple[Array | None, Array | None]:  # fmt: skip
        """As the plain kernel."""
        vectors = [v for v in (running_mean, running_var, mean, inv_std) if v is not None]
        if len(vectors) < 4 or not same(*vectors) or len({v.shape for v in vectors}) > 1:
            return super().running_statistics(running_mean, running_var, mean, inv_std, count, momentum, eps)
        new_mean, new_var = (self.empty(mean.shape, mean.dtype) for _ in range(2))
        settings = float(momentum), float(eps), count / (count - 1)
        self._each("running_statistics", new_mean, *settings, *map(self.packed, vectors), new_mean, new_var)
        return new_mean, new_var

    def batch_norm_grad(
        self, dy: Array, x: Array, weight: Array | None, mean: Array, inv_std: Array
    ) -> tuple[Array, ...] | None:
        """The gradients of x, weight and bias, in two passes: one for the sums, one for the values; None for other dtypes."""
        if not same(x, dy, weight, mean, inv_std):
            return None
        rows, blocks, sizes = self._chunks(x)
        dy = self._rows(dy)
        totals, moments = (self.empty((blocks[1], x.shape[1]), x.dtype) for _ in range(2))
        dx, dweight, dbias = (self.empty(shape, x.dtype) for shape in (rows.shape, x.shape[1:2], x.shape[1:2]))
        weight, mean, inv_std = (v if v is None else self.packed(v) for v in (weight, mean, inv_std))
        self.launch("batch_norm_sums", blocks, x.dtype.name, *sizes, dy, rows, mean, totals, moments)
        self.launch(
            "batch_norm_grad", blocks, x.dtype.name, *sizes,
            dy, rows, weight, mean, inv_std, totals, moments, dx, dweight, dbias,
        )  # fmt: skip
        return _images(dx, x.shape), dweight, dbias

    def channel_sums(self, x: Array) -> Array:
        """The sum of x (N, C) or (N, C, H, W) over all axes but the channels', (C,)."""
        if not x.size:
            return self.zeros(x.shape[1:2], x.dtype)
        rows, blocks, sizes = self._chunks(x)
        parts = self.empty((blocks[1], x.shape[1]), x.dtype)
        self.launch("channel_sums", blocks, x.dtype.name, *sizes, rows, parts)
        return parts[0] if len(parts) == 1 else self.channel_sums(parts)

    def _rows(self, x: Array) -> Array:
        """(N, C) or (N, C, H, W) as (n, C) in C order."""
        return self.packed(x if x.ndim == 2 else x.transpose(0, 2, 3, 1)).reshape(-1, x.shape[1])

    def _chunks(self, x: Array) -> tuple[Array, Blocks, tuple[int, int, int]]:
        """x as rows, the blocks that look at them, and what a kernel must know: rows, channels, rows of a chunk."""
        rows = self._rows(x)
        n, channels = rows.shape
        columns = blocks_for(channels, LANES)
        chunk = max(CHUNK, -(-n * columns // BUSY))
        return rows, (columns, blocks_for(n, chunk), 1), (n, channels, chunk)

    # -- element by element ----------------------------------------------------------------------------

    def relu(self, x: Array) -> Array:
        """As the plain kernel."""
        return self._activation("relu", super().relu, x)

    def leaky_relu(self, x: Array, negative_slope: float) -> Array:
        """As the plain kernel."""
        if not 0 <= negative_slope <= 1:
            return super().leaky_relu(x, negative_slope)
        return self._activation("leaky_relu", super().leaky_relu, x, float(negative_slope))

    def tanh(self, x: Array) -> Array:
        """As the array module's; the result lies in memory as the array does, which CuPy's would not."""
        order, flat = _flat(x)
        return self.module.tanh(x) if flat is None else self.module.tanh(flat).transpose(inverse(order))

    def leaky_relu_grad(self, x: Array, dy: Array, slope: float) -> Array | None:
        """dy where x is positive, else slope * dy; None where the plain rule serves."""
        return self._activation_grad("leaky_relu_grad", x, dy, float(slope))

    def tanh_grad(self, y: Array, dy: Array) -> Array | None:
        """dy (1 - y^2); None where the plain rule serves."""
        return self._activation_grad("tanh_grad", y, dy)

    def _activation_grad(self, kernel: str, x: Array, dy: Array, *settings: float) -> Array | None:
        """A kernel of an array and what arrives for it; None for other dtypes, and where the array's memory has gaps."""
        order, flat = _flat(x)
        if x.dtype.name not in DTYPES or dy.dtype != x.dtype or flat is None:
            return None
        dx = self.empty(flat.shape, x.dtype)
        self._each(kernel, dx, *settings, flat, self.packed(dy.transpose(order)), dx)
        return dx.transpose(inverse(order))

    def _activation(self, kernel: str, plain: Any, x: Array, *settings: float) -> Array:
        """A kernel of one array; the result lies in memory as the array does."""
        order, flat = _flat(x)
        if x.dtype.name not in DTYPES or flat is None:
            return plain(x, *settings)
        y = self.empty(flat.shape, x.dtype)
        self._each(kernel, y, *settings, flat, y)
        return y.transpose(inverse(order))

    # -- losses ----------------------------------------------------------------------------------------

    def bce_with_logits(self, x: Array, target: Any) -> Array:
        """As the plain kernel, in one pass."""
        given = self._target(x, target)
        if given is None:
            return super().bce_with_logits(x, target)
        y = self.empty((), x.dtype)
        self.launch("bce_with_logits", (1, 1, 1), x.dtype.name, Long(x.size), given[0], self.packed(x), given[1], y)
        return y

    def bce_with_logits_grad(self, dy: Array, x: Array, target: Any) -> Array | None:
        """dL/dx = dL/dy (sigmoid(x) - target) / n; None where the plain rule serves."""
        given = self._target(x, target)
        if given is None or dy.dtype != x.dtype:
            return None
        dx = self.empty(x.shape, x.dtype)
        self._each("bce_with_logits_grad", dx, given[0], dy, self.packed(x), given[1], dx)
        return dx

    def _target(self, x: Array, target: Any) -> tuple[float, Array | None] | None:
        """A target as the kernels take it, a number or an array; None where they do not serve."""
        if x.dtype.name not in DTYPES or not x.size:
            return None
        if not isinstance(target, self.array_type):
            return float(target), None
        return (0.0, self.packed(target)) if target.shape == x.shape and target.dtype == x.dtype else None

    # -- scatter --------------------------------------------------------------------------------------

    def scatter_add(self, x: Array, index: Any, shape: tuple[int, ...]) -> Array:
        """As the plain kernel; a few rows, such as an embedding's, that whole numbers choose are gathered."""
        places = index[0] if isinstance(index, tuple) and len(index) == 1 else index
        rows = isinstance(places, self.array_type) and places.ndim and places.dtype.kind == "i"
        if not rows or x.dtype.name not in DTYPES or math.prod(shape) * places.size > LOOKS:
            return super().scatter_add(x, index, shape)
        y, width = self.empty(shape, x.dtype), math.prod(shape[1:])
        places = self.packed(places.astype("int64", copy=False))
        self._each("scatter_rows", y, places.size, shape[0], width, places, self.packed(x), y)
        return y

    # -- Adam ------------------------------------------------------------------------------------------

    def adam(
        self,
        value: Array,
        grad: Array,
        m: Array,
        v: Array,
        lr: Array,
        betas: tuple[float, float],
        eps: float,
        step: Array,
    ) -> None:
        """As the plain kernel, in one pass."""
        self._each("adam", value, lr, step, *map(float, betas), float(eps), self.packed(grad), value, m, v)


def _flat(x: Array) -> tuple[list[int], Array | None]:
    """An array's axes in the order of its memory, and the array so turned, or None where that leaves gaps."""
    order = memory_order(x)
    turned = x.transpose(order)
    return order, turned if turned.flags.c_contiguous else None


def _images(rows: Array, shape: tuple[int, ...]) -> Array:
    """(n, C) as (N, C) or (N, C, H, W)."""
    return rows if len(shape) == 2 else rows.reshape(shape[0], *shape[2:], shape[1]).transpose(0, 3, 1, 2)
