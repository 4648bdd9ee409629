"""Products and convolutions: on how many blocks, in how many shares, and where their arrays lie."""

from __future__ import annotations

import math
from typing import Any

from minigan.backends.cuda.launching import BUSY, Array, Launching, Long, blocks_for, same
from minigan.backends.cuda.source import DTYPES, PRECISIONS

TILE, DEPTH = 64, 16  # what a block makes of a product, and how much of its sum at a time; as in tiles.cuh
LAYERS = 65535  # of a grid of blocks, along its second and third axis

Pair = tuple[int, int]


class Products(Launching):
    """Products in the arrays' own precision, or float32's on tensor cores with ten bits of mantissa."""

    precisions: tuple[str, ...] = PRECISIONS
    precision = PRECISIONS[0]

    def matmul(self, a: Array, b: Array) -> Array:
        """As NumPy's."""
        dtype = self.result_type(a, b)
        if a.ndim < 2 or b.ndim < 2:  # a vector is a row on the left, and a column on the right
            left, right = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
            y = self.matmul(left, right)
            y = y[..., 0] if b.ndim == 1 else y
            return (y[..., 0, :] if b.ndim > 1 else y[..., 0]) if a.ndim == 1 else y
        m, n, batch = a.shape[-2], b.shape[-1], _broadcast(a.shape[:-2], b.shape[:-2])
        if (
            dtype.name not in DTYPES
            or a.shape[-1] != b.shape[-2]
            or max(math.prod(batch), blocks_for(n, TILE)) > LAYERS
        ):
            return self.module.matmul(a, b)
        a, b = (self._stack(side.astype(dtype, copy=False), batch) for side in (a, b))
        return self._product(a, b, None, dtype).reshape(*batch, m, n)

    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """As the plain kernel."""
        if not same(x, weight, bias) or blocks_for(len(weight), TILE) > LAYERS:
            return super().linear(x, weight, bias)
        rows = x.reshape(1, -1, x.shape[-1]) if x.shape[-1] else self.zeros((1, math.prod(x.shape[:-1]), 0), x.dtype)
        bias = bias if bias is None else self.packed(bias)
        return self._product(rows, weight.T[None], bias, x.dtype).reshape(*x.shape[:-1], len(weight))

    def _stack(self, side: Array, batch: tuple[int, ...]) -> Array:
        """Matrices of one batch axis, whose memory stays where it is if it can."""
        if side.ndim > 2:
            side = self.broadcast_to(side, (*batch, *side.shape[-2:]))
        return side.reshape(math.prod(side.shape[:-2]), *side.shape[-2:])

    def _product(self, a: Array, b: Array, bias: Array | None, dtype: Any) -> Array:
        """a (batch, m, k) b (batch, k, n) + bias (n,); a batch of 1 goes with any other."""
        (_, m, k), n, batch = a.shape, b.shape[2], max(len(a), len(b)) if len(a) and len(b) else 0
        if not batch * m * n * k:
            y = self.zeros((batch, m, n), dtype)
            return y if bias is None else y + bias
        shares, share = _shares(blocks_for(m, TILE) * blocks_for(n, TILE) * batch, k)
        steps = [
            s // side.dtype.itemsize for side in (a, b) for s in (side.strides[0] * (len(side) > 1), *side.strides[1:])
        ]
        parts = self.empty((batch, shares, m, n), dtype)
        self.launch(
            "matmul", (blocks_for(m, TILE), blocks_for(n, TILE), batch * shares), dtype.name,
            m, n, k, shares, share, *map(Long, steps), a, b, bias if shares == 1 else None, parts,
        )  # fmt: skip
        return self._added_up(parts, m * n, bias).reshape(batch, m, n)

    def _added_up(self, parts: Array, size: int, bias: Array | None = None) -> Array:
        """(batch, shares, ...) of `size` numbers each, summed over the shares; the bias is added already if there is one share."""
        batch, shares = parts.shape[:2]
        if shares == 1:
            return parts
        y = self.empty((batch, size), parts.dtype)
        columns = parts.shape[-1]
        self._each("add_up", y, shares, size, columns, parts, bias, y)
        return y

    # -- convolutions: images lie as (N, H, W, C), weights as (O, kH, kW, C) -------------------------------

    def patches(self, x: Array, kernel: Pair, small: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
        """As the plain kernel."""
        if x.dtype.name not in DTYPES:
            return super().patches(x, kernel, small, stride, padding, dilation)
        y = self.empty((len(x), *small, *kernel, x.shape[1]), x.dtype)
        self._each(
            "patches", y, *_axes(x.shape[2:], small, kernel, stride, padding, dilation), x.shape[1], self._nhwc(x), y
        )
        return y

    def fold(self, patches: Array, large: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
        """As the plain kernel."""
        n, p, q, kh, kw, c = patches.shape
        if patches.dtype.name not in DTYPES:
            return super().fold(patches, large, stride, padding, dilation)
        x = self.empty((n, *large, c), patches.dtype)
        axes = _axes(large, (p, q), (kh, kw), stride, padding, dilation)
        self._each("fold", x, *axes, c, self.packed(patches), x)
        return x.transpose(0, 3, 1, 2)

    def conv2d(self, x: Array, weight: Array, bias: Array | None, small: Pair, *geometry: Any) -> Array:
        """As the plain kernel."""
        if not self._serves(geometry, x, weight, bias):
            return super().conv2d(x, weight, bias, small, *geometry)
        (n, c), (o, _, *kernel) = x.shape[:2], weight.shape
        bias = bias if bias is None else self.packed(bias)
        positions, k = n * small[0] * small[1], c * kernel[0] * kernel[1]
        shares, share = _shares(blocks_for(positions, TILE) * blocks_for(o, TILE), k)
        parts = self.empty((1, shares, positions, o), x.dtype)
        self.launch(
            "conv2d", (blocks_for(positions, TILE), blocks_for(o, TILE), shares), x.dtype.name,
            *_axes(x.shape[2:], small, kernel, *geometry), n, c, o, share,
            self._nhwc(x), self._nhwc(weight), bias if shares == 1 else None, parts,
        )  # fmt: skip
        return self._added_up(parts, positions * o, bias).reshape(n, *small, o).transpose(0, 3, 1, 2)

    def conv2d_input_grad(self, dy: Array, weight: Array, large: Pair, *geometry: Any) -> Array:
        """As the plain kernel."""
        if not self._serves(geometry, dy, weight):
            return super().conv2d_input_grad(dy, weight, large, *geometry)
        (n, o, p, q), (_, c, *kernel), (stride, padding, dilation, _) = dy.shape, weight.shape, geometry
        x = self.empty((n, *large, c), dy.dtype)
        most = n * blocks_for(large[0], stride[0]) * blocks_for(large[1], stride[1])
        self.launch(
            "conv2d_input_grad", (blocks_for(most, TILE), blocks_for(c, TILE), stride[0] * stride[1]), dy.dtype.name,
            n, *large, c, p, q, o, *kernel, *stride, *padding, *dilation, self._nhwc(dy), self._nhwc(weight), x,
        )  # fmt: skip
        return x.transpose(0, 3, 1, 2)

    def conv2d_weight_grad(self, x: Array, dy: Array, kernel: Pair, *geometry: Any) -> Array:
        """As the plain kernel."""
        if not self._serves(geometry, x, dy):
            return super().conv2d_weight_grad(x, dy, kernel, *geometry)
        (n, c), (o, *small) = x.shape[:2], dy.shape[1:]
        k = c * kernel[0] * kernel[1]
        shares, share = _shares(blocks_for(o, TILE) * blocks_for(k, TILE), n * small[0] * small[1])
        parts = self.empty((1, shares, o, k), x.dtype)
        self.launch(
            "conv2d_weight_grad", (blocks_for(o, TILE), blocks_for(k, TILE), shares), x.dtype.name,
            *_axes(x.shape[2:], small, kernel, *geometry), n, c, o, share, self._nhwc(x), self._nhwc(dy), parts,
        )  # fmt: skip
        return self._added_up(parts, o * k).reshape(o, *kernel, c).transpose(0, 3, 1, 2)

    def _serves(self, geometry: Any, *arrays: Array | None) -> bool:
        """Whether the kernels of convolution are for such arrays: one floating dtype, no groups, none of size 0."""
        given = [a for a in arrays if a is not None]
        return (
            geometry[-1] == 1
            and given[0].dtype.name in DTYPES
            and all(a.dtype == given[0].dtype and a.size for a in given)
        )

    def _nhwc(self, x: Array) -> Array:
        """The memory of x (N, C, H, W) as (N, H, W, C), copied if it does not lie so."""
        return self.packed(x.transpose(0, 2, 3, 1))


def _shares(blocks: int, k: int) -> tuple[int, int]:
    """Into how many shares the sum of a product is cut, so that a GPU is busy, and the length of one, in whole steps."""
    share = DEPTH * blocks_for(k, DEPTH * max(1, min(BUSY // blocks, k // (4 * DEPTH))))
    return blocks_for(k, share), share


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all broadcast to."""
    longest = max(map(len, shapes))
    sides = zip(*((1,) * (longest - len(s)) + s for s in shapes), strict=True)
    return tuple(0 if 0 in side else max(side) for side in sides)


def _axes(large: Any, small: Any, kernel: Any, stride: Pair, padding: Pair, dilation: Pair, *_: Any) -> list[int]:
    """A convolution's two axes as the kernels take them: size, positions, stride, start, taps, distance of taps."""
    axes = zip(large, small, stride, padding, kernel, dilation, strict=True)
    return [v for size, count, step, pad, taps, apart in axes for v in (size, count, step, -pad, taps, apart)]
