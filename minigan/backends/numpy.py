"""The NumPy backend: the hot kernels cut into parts for the threads, on inner loops in NumPy or compiled ones."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cached_property, reduce
from typing import Any

import numpy as np

from minigan.backends import filtering, jit, passes, pool
from minigan.backends.base import Backend, HostArray, inverse, memory_order
from minigan.backends.memory import MEMORY

PATCH_BYTES = 1 << 22  # patches that a thread works on at a time
LARGE = 1 << 14  # elements from which on compiled loops are worth their start
SHARE = 1 << 17  # elements that a thread should have at least; to wake it takes some 50 microseconds
RUN = 32  # neighbouring numbers in a patch from which on compiled loops copy faster than NumPy

Pair = tuple[int, int]


class NumPyBackend(filtering.MinimalFiltering, Backend):
    """Arrays in the host's memory."""

    large_parameter = 1 << 16

    def __init__(self) -> None:
        super().__init__("numpy", np, np.ndarray)

    def empty(self, shape: Any, dtype: Any = float, **options: Any) -> Any:
        """As NumPy's, in memory that is used again."""
        return np.empty(shape, dtype, **options) if options else MEMORY.empty(shape, dtype)

    def free_memory(self) -> None:
        MEMORY.clear()

    def from_host(self, array: HostArray) -> Any:
        return np.array(array)

    def to_host(self, array: Any) -> HostArray:
        return array

    @cached_property
    def compiled(self) -> Any:
        """The loops for large arrays: compiled ones where there are any, else those in NumPy."""
        loops = jit.load()
        pool.wait_by(loops.wait)
        return loops

    @property
    def kernels(self) -> str:
        """What the inner loops are made of: ``numpy``, or Numba with its version."""
        if self.compiled is passes:
            return "numpy"
        import numba

        return f"numba {numba.__version__}"

    def loops(self, *arrays: Any) -> Any:
        """The inner loops for such arrays."""
        first = arrays[0]
        known = first.dtype in filtering.DTYPES and all(a.dtype == first.dtype for a in arrays)
        return self.compiled if known and first.size >= LARGE else passes

    # -- memory ----------------------------------------------------------------------------------------

    def packed(self, x: Any) -> Any:
        """x in C order and aligned, copied where it is not."""
        if x.flags.c_contiguous and x.flags.aligned:
            return x
        y = self.empty(x.shape, x.dtype)
        if y.size < LARGE:
            np.copyto(y, x)
            return y
        pool.run(lambda part: np.copyto(y[part], x[part]), len(x), SHARE * len(x) // x.size)
        return y

    def reshape(self, x: Any, shape: Any, **options: Any) -> Any:
        """As NumPy's: a view where memory allows."""
        if options:
            return np.reshape(x, shape, **options)
        try:
            return np.reshape(x, shape, copy=False)
        except ValueError:
            return np.reshape(self.packed(x), shape)

    def rows(self, x: Any) -> Any:
        """(N, C) or (N, C, H, W) as (n, C) in C order, a view where memory allows."""
        return self.packed(x if x.ndim == 2 else x.transpose(0, 2, 3, 1)).reshape(-1, x.shape[1])

    # -- products --------------------------------------------------------------------------------------

    def matmul(self, a: Any, b: Any, **options: Any) -> Any:
        """As NumPy's; a large product of two matrices is cut along the longer side of its result."""
        if options or a.ndim != 2 or b.ndim != 2 or a.shape[1] != len(b) or len(a) * b.shape[1] < LARGE:
            with pool.one_blas_thread if pool.serving() else nullcontext():
                return np.matmul(a, b, **options)
        y = self.empty((len(a), b.shape[1]), np.result_type(a, b))
        if len(b) == 1:  # every sum has one term; BLAS takes longer
            return np.multiply(a, b, out=y)
        if not pool.serving():
            return np.matmul(a, b, out=y)
        if len(a) >= b.shape[1]:
            pool.run(lambda part: np.matmul(a[part], b, out=y[part]), len(a))
        else:
            pool.run(lambda part: np.matmul(a, b[:, part], out=y[:, part]), b.shape[1])
        return y

    # -- convolutions: in each thread a few images at a time, so that the memory of their patches, many times that of the
    # images, is small and found again; docs/decisions/0002-blocked-convolution.md has the figures -----------------------

    def patches(self, x: Any, kernel: Pair, small: Pair, *geometry: Pair) -> Any:
        """As the plain kernel."""
        images = self.nhwc(x)
        windows = self.empty((len(x), *small, *kernel, x.shape[1]), x.dtype)
        loops = self.loops(windows) if kernel[1] * x.shape[1] >= RUN else passes
        loops.patches(images, windows, *geometry)
        return windows

    def fold(self, patches: Any, large: Pair, *geometry: Pair) -> Any:
        """As the plain kernel."""
        images = self.empty((len(patches), *large, patches.shape[-1]), patches.dtype)
        loops = self.loops(patches) if patches.shape[4] * patches.shape[5] >= RUN else passes
        loops.fold(self.packed(patches), images, *geometry)
        return images.transpose(0, 3, 1, 2)

    def _large(self, x: Any) -> bool:
        """Whether compiled convolutions serve for x. Such a convolution is better off with minigan's threads, too."""
        if x.size < LARGE:
            return False
        pool.take_over()
        return self.compiled is not passes

    def conv2d(self, x: Any, weight: Any, bias: Any, small: Pair, *geometry: Any) -> Any:
        """As the plain kernel, block by block."""
        if self._large(x) and filtering.serves(weight.shape, x, weight, small, geometry):
            return self.filtered_conv2d(x, weight, bias, small, geometry[1])
        plain, matrix = super().conv2d, _as_matrix(weight)
        y = self.empty((len(x), *small, len(weight)), np.result_type(x, weight))

        def work(part: slice) -> None:
            for block in _images(part, x, weight.shape[2:], small):
                y[block] = plain(x[block], matrix, None, small, *geometry).transpose(0, 2, 3, 1)
                if bias is not None:
                    y[block] += bias

        pool.run(work, len(x))
        return y.transpose(0, 3, 1, 2)

    def conv2d_input_grad(self, dy: Any, weight: Any, large: Pair, *geometry: Any) -> Any:
        """As the plain kernel, block by block."""
        if self._large(dy) and filtering.serves(weight.shape, dy, weight, dy.shape[2:], geometry):
            return self.filtered_input_grad(dy, weight, large, geometry[1])
        plain, matrix = super().conv2d_input_grad, _as_matrix(weight)
        channels = weight.shape[1] * geometry[-1]
        x = self.empty((len(dy), *large, channels), np.result_type(dy, weight)).transpose(0, 3, 1, 2)

        def work(part: slice) -> None:
            for block in _images(part, x, weight.shape[2:], dy.shape[2:]):
                x[block] = plain(dy[block], matrix, large, *geometry)

        pool.run(work, len(dy))
        return x

    def conv2d_weight_grad(self, x: Any, dy: Any, kernel: Pair, *geometry: Any) -> Any:
        """As the plain kernel, block by block; each thread has a sum of its own."""
        weight = dy.shape[1], x.shape[1], *kernel
        if self._large(dy) and filtering.serves(weight, x, dy, dy.shape[2:], geometry):
            return self.filtered_weight_grad(x, dy, geometry[1])
        plain = super().conv2d_weight_grad

        def work(part: slice) -> Any:
            blocks = _images(part, x, kernel, dy.shape[2:])
            return reduce(_added, (plain(x[b], dy[b], kernel, *geometry) for b in blocks))

        return reduce(_added, pool.run(work, len(x))) if len(x) else plain(x, dy, kernel, *geometry)

    # -- normalisation ---------------------------------------------------------------------------------

    def batch_norm(self, x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
        """As the plain kernel, in two passes: one for the statistics, one for the values."""
        rows = self.rows(x)
        mean, var = self._moments(rows)
        inv_std = (1.0 / np.sqrt(var + eps)).astype(x.dtype)
        mean = mean.astype(x.dtype)
        scale = inv_std if weight is None else inv_std * weight
        shift = np.zeros_like(scale) if bias is None else self.packed(bias)
        y = self.empty(rows.shape, np.result_type(rows, scale, shift))
        loops = self.loops(rows, mean, scale, shift, y)
        pool.run(lambda part: loops.normalize(rows[part], mean, scale, shift, y[part]), len(rows), _least(rows))
        return _images_of(y, x.shape), mean, inv_std

    def _moments(self, rows: Any) -> tuple[Any, Any]:
        """Mean and biased variance of each channel, in float64; the parts' own are joined as `passes` joins its blocks'."""
        loops = self.loops(rows)

        def work(part: slice) -> tuple[int, Any, Any]:
            mean, spread = np.empty((2, rows.shape[1]))
            loops.channel_moments(rows[part], mean, spread)
            return part.stop - part.start, mean, spread

        (count, mean, spread), *others = pool.run(work, len(rows), _least(rows))
        for size, own, square in others:
            distance, total = own - mean, count + size
            mean = mean + distance * (size / total)
            spread = spread + square + distance * distance * (count * size / total)
            count = total
        return mean, spread / count

    def batch_norm_grad(self, dy: Any, x: Any, weight: Any, mean: Any, inv_std: Any) -> tuple[Any, Any, Any]:
        """The gradients of x, weight and bias, in two passes: one for the sums, one for the values."""
        dy, rows, mean = self.rows(dy), self.rows(x), self.packed(mean)
        loops = self.loops(rows, dy, mean)

        def work(part: slice) -> Any:
            sums = np.empty((2, rows.shape[1]))
            loops.norm_sums(dy[part], rows[part], mean, *sums)
            return sums

        dbias, moment = sum(pool.run(work, len(rows), _least(rows)))
        dweight = moment * inv_std
        scale = inv_std if weight is None else inv_std * weight
        slope = (scale * inv_std * dweight / len(rows)).astype(rows.dtype)
        shift = (scale * dbias / len(rows)).astype(rows.dtype)
        dx = self.empty(rows.shape, np.result_type(rows, dy, scale))
        loops = self.loops(rows, dy, mean, scale, dx)
        pool.run(
            lambda part: loops.norm_grad(dy[part], rows[part], mean, scale, slope, shift, dx[part]),
            len(rows),
            _least(rows),
        )
        return _images_of(dx, x.shape), dweight.astype(x.dtype), dbias.astype(x.dtype)

    def channel_sums(self, x: Any) -> Any:
        """The sum of x (N, C) or (N, C, H, W) over all axes but the channels', (C,)."""
        rows = self.rows(x)
        loops = self.loops(rows)

        def work(part: slice) -> Any:
            total = np.empty(rows.shape[1])
            loops.channel_sums(rows[part], total)
            return total

        return sum(pool.run(work, len(rows), _least(rows)), np.zeros(rows.shape[1])).astype(x.dtype)

    # -- element by element ------------------------------------------------------------------------------

    def elementwise(self, loop: str, *arrays: Any, **settings: Any) -> Any:
        """Call an inner loop on arrays of one shape; the result lies in memory as the first of them does."""
        first = arrays[0]
        axes = memory_order(first)
        flat = [self.packed(a.transpose(axes)).reshape(-1) for a in arrays]
        y = self.empty([first.shape[i] for i in axes], np.result_type(*arrays))
        out, function = y.reshape(-1), getattr(self.loops(*flat, y), loop)
        pool.run(lambda part: function(*(a[part] for a in flat), *settings.values(), out[part]), out.size, SHARE)
        return y.transpose(inverse(axes))

    def where(self, condition: Any, *choices: Any) -> Any:
        """As NumPy's, which is slow where large conditions are hard to guess."""
        if len(choices) != 2:
            return np.where(condition, *choices)
        a, b = choices
        dtype = getattr(a, "dtype", getattr(b, "dtype", None))
        if (
            condition.size < LARGE
            or dtype not in filtering.DTYPES
            or not all(_fits(v, condition, dtype) for v in (a, b))
        ):
            return np.where(condition, a, b)
        values = [np.broadcast_to(np.asarray(v, dtype), condition.shape) for v in (a, b)]
        return self.elementwise("select", condition, *values)

    def relu(self, x: Any) -> Any:
        """As the plain kernel."""
        return self.elementwise("relu", x)

    def leaky_relu(self, x: Any, negative_slope: float) -> Any:
        """As the plain kernel."""
        if negative_slope > 1:
            return super().leaky_relu(x, negative_slope)
        return self.elementwise("leaky_relu", x, slope=negative_slope)

    def adam(
        self, value: Any, grad: Any, m: Any, v: Any, lr: float, betas: tuple[float, float], eps: float, step: int
    ) -> None:
        """As the plain kernel, in one pass."""
        beta1, beta2 = betas
        settings = beta1, beta2, lr / (1.0 - beta1**step), (1.0 - beta2**step) ** -0.5, eps
        loops = self.loops(value, grad, m, v)
        pool.run(lambda part: loops.adam(value[part], grad[part], m[part], v[part], *settings), value.size, SHARE)


def _as_matrix(weight: Any) -> Any:
    """The same weight (O, C, kH, kW) in the memory order of a patch, so that the products need not bring it there."""
    return np.ascontiguousarray(weight.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def _images(part: slice, x: Any, kernel: Pair, small: Pair) -> list[slice]:
    """Slices that make up a part of the batch, and whose patches take about PATCH_BYTES."""
    image = x.shape[1] * kernel[0] * kernel[1] * small[0] * small[1] * x.dtype.itemsize
    return pool.blocks(part, PATCH_BYTES // max(1, image))


def _fits(value: Any, condition: Any, dtype: Any) -> bool:
    """Whether a value to choose is a number, or an array of the condition's shape in this dtype."""
    return not isinstance(value, np.ndarray) or (value.shape == condition.shape and value.dtype == dtype)


def _added(a: Any, b: Any) -> Any:
    a += b
    return a


def _images_of(rows: Any, shape: tuple[int, ...]) -> Any:
    """(n, C) as (N, C) or (N, C, H, W)."""
    return rows if len(shape) == 2 else rows.reshape(shape[0], *shape[2:], shape[1]).transpose(0, 3, 1, 2)


def _least(rows: Any) -> int:
    """Rows that a thread should have at least."""
    return SHARE // max(1, rows.shape[1]) + 1


NUMPY = NumPyBackend()


@NUMPY.fast_rule("relu", "x")
def _(xp: Any, dy: Any, y: Any) -> Any:
    return xp.elementwise("leaky_relu_grad", y, dy, slope=0.0)


@NUMPY.fast_rule("leaky_relu", "x")
def _(xp: Any, dy: Any, y: Any, negative_slope: float) -> Any:
    return xp.elementwise("leaky_relu_grad", y, dy, slope=negative_slope) if negative_slope <= 1 else None


@NUMPY.fast_rule("conv2d", "bias")
@NUMPY.fast_rule("conv_transpose2d", "bias")
def _(xp: Any, dy: Any) -> Any:
    return xp.channel_sums(dy)


@NUMPY.fast_rule("batch_norm_train", "x", "weight", "bias")
def _(xp: Any, dy: Any, dmean: Any, dinv_std: Any, x: Any, weight: Any, mean: Any, inv_std: Any) -> Any:
    if dy is None or dmean is not None or dinv_std is not None:
        return None  # only the plain rule serves
    return xp.batch_norm_grad(dy, x, weight, mean, inv_std)
