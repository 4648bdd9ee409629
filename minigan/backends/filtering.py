"""Minimal filtering (Winograd 1980; Lavin and Gray 2016) of 4x4 convolutions of stride 2.

Such a convolution is a 2x2 one of stride 1 on the image's four phases: rows and columns by their parity, C channels each. Along
one axis four of its outputs need 5 inputs and 2 taps, and 5 products instead of 8::

    outputs = A^T ((G taps) * (B^T inputs))

A, B and G evaluate polynomials at 0, 1, -1, 2 and infinity. In two dimensions a tile of 4x4 outputs takes 25 products of
matrices (tiles, 4C) and (4C, O) where the plain way takes 64, and its gradients are the transposes of the same scheme. Rounding
grows by a factor of about ten; ``docs/decisions/0008-minimal-filtering.md`` has the figures.

The functions here are the one-dimensional maps, for numbers or arrays; `compiled` has the loops around them. In NumPy these
take longer than the products that are saved, so that only compiled loops filter.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.backends import pool

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))  # that there are compiled loops for
TILE = 4  # outputs of a tile along one axis
POINTS = 5  # products along one axis, and a tile's inputs
MATRICES = POINTS * POINTS
CHANNELS = 16  # fewer are done before the tiles are cut
ROWS = 128  # tiles that a thread works on at a time: enough for the products, little enough for its cache

Pair = tuple[int, int]


def serves(weight: tuple[int, ...], a: Any, b: Any, small: Pair, geometry: tuple[Any, ...]) -> bool:
    """Whether a convolution of `a` and `b` with a weight of this shape is of this kind, and large enough to gain by it."""
    stride, _, dilation, groups = geometry
    kind = weight[2:] == (4, 4) and stride == (2, 2) and dilation == (1, 1) and groups == 1
    rows = len(a) * math.prod(tiles(small))
    return kind and a.dtype == b.dtype and a.dtype in DTYPES and min(weight[:2]) >= CHANNELS and rows >= ROWS // 2


def tiles(small: Pair) -> Pair:
    """How many tiles cover the outputs."""
    return -(-small[0] // TILE), -(-small[1] // TILE)


# small factors are sums: a number beside a float32 would make the compiled loops compute in float64


def inputs_to_products(a: Any, b: Any, c: Any, d: Any, e: Any) -> tuple[Any, ...]:
    """B^T: rows (2, -1, -2, 1, 0), (0, -2, -1, 1, 0), (0, 2, -3, 1, 0), (0, -1, 0, 1, 0), (0, 2, -1, -2, 1)."""
    f, g = a - c, d - b
    return f + f + g, g - b - c, b + b - c - c - c + d, g, e - c - g - g


def products_to_inputs(a: Any, b: Any, c: Any, d: Any, e: Any) -> tuple[Any, ...]:
    """B."""
    f = c - b + e
    return a + a, f + f - a - d, -a - a - b - c - c - c - e, a + b + c + d - e - e, e


def products_to_outputs(a: Any, b: Any, c: Any, d: Any, e: Any) -> tuple[Any, ...]:
    """A^T: rows (1, 1, 1, 1, 0), (0, 1, -1, 2, 0), (0, 1, 1, 4, 0), (0, 1, -1, 8, 1)."""
    f, g, d2 = b + c, b - c, d + d
    d4 = d2 + d2
    return a + f + d, g + d2, f + d4, g + d4 + d4 + e


def outputs_to_products(a: Any, b: Any, c: Any, d: Any) -> tuple[Any, ...]:
    """A."""
    even, odd = a + c, b + d
    f = c + d + d
    f = b + f + f
    return a, even + odd, even - odd, a + f + f, d


def taps_to_products(a: Any, b: Any, half: Any = 1 / 2, sixth: Any = 1 / 6) -> tuple[Any, ...]:
    """G: rows (1/2, 0), (-1/2, -1/2), (-1/6, 1/6), (1/6, 1/3), (0, 1); the fractions may be given in the dtype of a and b."""
    return half * a, -half * (a + b), sixth * (b - a), sixth * (a + b + b), b


def products_to_taps(a: Any, b: Any, c: Any, d: Any, e: Any, half: Any = 1 / 2, sixth: Any = 1 / 6) -> tuple[Any, ...]:
    """G^T."""
    return half * (a - b) + sixth * (d - c), sixth * (c + d + d) - half * b + e


class MinimalFiltering:
    """A backend's convolutions of this kind; arrays are NCHW, in NHWC memory. Block by block as the plain way."""

    empty: Any
    compiled: Any
    packed: Any

    def nhwc(self, x: Any) -> Any:
        """(N, C, H, W) as (N, H, W, C) in C order, a view where memory allows."""
        return self.packed(x.transpose(0, 2, 3, 1))

    def filtered_conv2d(self, x: Any, weight: Any, bias: Any, small: Pair, padding: Pair) -> Any:
        """(N, C, H, W), (O, C, 4, 4) -> (N, O, P, Q)."""
        images, matrices = self.nhwc(x), self._matrices(weight)
        y = self.empty((len(x), *small, len(weight)), x.dtype)
        loops, count = self.compiled, tiles(small)

        def work(part: slice) -> None:
            for block in _blocks(part, count):
                inputs, outputs = self._products(block, count, len(weight), weight.shape[1], weight.dtype)
                loops.split_windows(images[block], inputs, count, padding, 0)
                np.matmul(inputs, matrices.swapaxes(1, 2), out=outputs)
                loops.join_outputs(outputs, y[block], count)
                if bias is not None:
                    y[block] += bias

        pool.run(work, len(x))
        return y.transpose(0, 3, 1, 2)

    def filtered_input_grad(self, dy: Any, weight: Any, large: Pair, padding: Pair) -> Any:
        """(N, O, P, Q), (O, C, 4, 4) -> (N, C, H, W)."""
        outgoing, matrices = self.nhwc(dy), self._matrices(weight)
        x = self.empty((len(dy), *large, weight.shape[1]), dy.dtype)
        loops, count = self.compiled, tiles(dy.shape[2:])

        def work(part: slice) -> None:
            for block in _blocks(part, count):
                inputs, outputs = self._products(block, count, len(weight), weight.shape[1], weight.dtype)
                loops.split_outputs(outgoing[block], outputs, count, 0)
                np.matmul(outputs, matrices, out=inputs)
                loops.join_windows(inputs, x[block], count, padding)

        pool.run(work, len(dy))
        return x.transpose(0, 3, 1, 2)

    def filtered_weight_grad(self, x: Any, dy: Any, padding: Pair) -> Any:
        """(N, C, H, W), (N, O, P, Q) -> (O, C, 4, 4)."""
        images, outgoing, o, c = self.nhwc(x), self.nhwc(dy), dy.shape[1], x.shape[1]
        loops, count = self.compiled, tiles(dy.shape[2:])
        products = self.empty((MATRICES, o, 4 * c), x.dtype)

        def add(block: slice) -> None:
            inputs, outputs = self._products(block, count, o, c, x.dtype)

            def split(part: slice) -> None:
                loops.split_windows(images[block][part], inputs, count, padding, part.start)
                loops.split_outputs(outgoing[block][part], outputs, count, part.start)

            def multiply(part: slice) -> None:
                for i in range(part.start, part.stop):
                    if block.start:
                        products[i] += outputs[i].T @ inputs[i]
                    else:
                        np.matmul(outputs[i].T, inputs[i], out=products[i])

            pool.run(split, block.stop - block.start)
            pool.run(multiply, MATRICES)

        for block in pool.blocks(slice(0, len(x)), ROWS // math.prod(count)):
            add(block)
        products, rows = products.reshape(MATRICES, o, 4, c), self.empty((o, 4, 4, c), x.dtype)
        pool.run(lambda part: loops.join_taps(products, rows, (part.start, part.stop)), o)
        return rows.transpose(0, 3, 1, 2)

    def _matrices(self, weight: Any) -> Any:
        """The weight as products: (25, O, 4C)."""
        o, c = weight.shape[:2]
        rows, matrices, loops = self.nhwc(weight), self.empty((MATRICES, o, 4, c), weight.dtype), self.compiled
        pool.run(lambda part: loops.split_taps(rows, matrices, (part.start, part.stop)), o)
        return matrices.reshape(MATRICES, o, 4 * c)

    def _products(self, block: slice, count: Pair, o: int, c: int, dtype: Any) -> tuple[Any, Any]:
        """Room for a block's inputs and outputs as products."""
        rows = (block.stop - block.start) * math.prod(count)
        return self.empty((MATRICES, rows, 4 * c), dtype), self.empty((MATRICES, rows, o), dtype)


def _blocks(part: slice, count: Pair) -> list[slice]:
    """Images that are worked on at a time, of which each has so many tiles."""
    return pool.blocks(part, ROWS // math.prod(count))
