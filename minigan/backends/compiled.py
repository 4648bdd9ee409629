"""The inner loops of ``passes.py``, fused and compiled by Numba: the extra ``fast``. Imported when first needed.

Compiling takes about half a minute, once; the machine code is kept on disk. Every loop runs without Python's global lock, in
one thread: `threads` cuts the work.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from minigan.backends import filtering, passes
from minigan.backends.passes import relu as relu  # one pass already

Array = Any

# sums may be taken in another order and products fused, which is what vectors of numbers need; NaN and infinity stay what
# they are
FLAGS: dict[str, Any] = {
    "nogil": True,
    "cache": passes.KEPT,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz"},
}
ROWS = 64  # rows that are summed in their own dtype before they go into a sum in float64


def compiled(kinds: str) -> Any:
    """Compile for float32 and float64. `kinds` has a letter a parameter.

    A digit is an array that is read, of so many axes, after ``=`` one that is written; v a vector of the same dtype; d a
    vector of float64 that is written; f a number; p a pair of integers.
    """
    signatures = []
    for dtype in (types.float32, types.float64):
        arguments: list[Any] = []
        written = False
        for kind in kinds:
            if kind == "=":
                written = True
                continue
            arguments.append({
                "f": types.float64, "p": types.UniTuple(types.int64, 2), "d": types.Array(types.float64, 1, "C"),
            }.get(kind) or types.Array(dtype, int(kind.replace("v", "1")), "C", readonly=not written))  # fmt: skip
            written = False
        signatures.append(types.void(*arguments))
    return njit(signatures, **FLAGS)


# -- convolutions ------------------------------------------------------------------------------------------------------


@compiled("4=6ppp")
def patches(x, out, stride, padding, dilation):
    n, p, q, kh, kw, channels = out.shape
    h, w = x.shape[1:3]
    # neighbouring taps of one row are neighbours in the image, too, unless they are dilated: they go in one run
    taps, length = (1, kw) if dilation[1] == 1 else (kw, 1)
    image_rows, runs = x.reshape(n, h, w * channels), out.reshape(n, p, q, kh, taps, length * channels)
    for image in range(n):
        for a in range(p):
            for b in range(q):
                for i in range(kh):
                    y = a * stride[0] - padding[0] + i * dilation[0]
                    for j in range(taps):
                        z = b * stride[1] - padding[1] + j * dilation[1]
                        to = runs[image, a, b, i, j]
                        first = min(length, max(0, -z)) * channels if 0 <= y < h else length * channels
                        last = max(first, min(length, w - z) * channels)
                        for c in range(first):
                            to[c] = 0
                        if first < last:
                            source = image_rows[image, y, z * channels + first : z * channels + last]
                            middle = to[first:last]
                            for c in range(last - first):
                                middle[c] = source[c]
                        for c in range(last, length * channels):
                            to[c] = 0


@compiled("6=4ppp")
def fold(windows, out, stride, padding, dilation):
    n, p, q, kh, kw, channels = windows.shape
    h, w = out.shape[1:3]
    taps, length = (1, kw) if dilation[1] == 1 else (kw, 1)
    image_rows, runs = out.reshape(n, h, w * channels), windows.reshape(n, p, q, kh, taps, length * channels)
    for image in range(n):
        out[image] = 0
        for a in range(p):
            for b in range(q):
                for i in range(kh):
                    y = a * stride[0] - padding[0] + i * dilation[0]
                    if not 0 <= y < h:
                        continue
                    for j in range(taps):
                        z = b * stride[1] - padding[1] + j * dilation[1]
                        first, last = max(0, -z) * channels, min(length, w - z) * channels
                        if first < last:
                            source = runs[image, a, b, i, j][first:last]
                            to = image_rows[image, y, z * channels + first : z * channels + last]
                            for c in range(last - first):
                                to[c] += source[c]


# -- minimal filtering -------------------------------------------------------------------------------------------------

inputs_to_products, products_to_inputs, products_to_outputs, outputs_to_products, taps_to_products, products_to_taps = (
    njit(inline="always")(f)
    for f in (
        filtering.inputs_to_products, filtering.products_to_inputs, filtering.products_to_outputs,
        filtering.outputs_to_products, filtering.taps_to_products, filtering.products_to_taps,
    )
)  # fmt: skip


@compiled("4=3pp")
def split_windows(x, out, tiles, padding):
    n, h, w, channels = x.shape
    th, tw = tiles
    grid = np.zeros((8 * th + 2, 4 * tw + 1, 2 * channels), x.dtype)  # a pair of neighbouring pixels is one row
    pixels = grid.reshape(8 * th + 2, 8 * tw + 2, channels)
    mid = np.empty((5, 5, 2 * channels), x.dtype)
    for image in range(n):
        for y in range(min(h, 8 * th + 2 - padding[0])):
            for z in range(min(w, 8 * tw + 2 - padding[1])):
                to, source = pixels[y + padding[0], z + padding[1]], x[image, y, z]
                for k in range(channels):
                    to[k] = source[k]
        for tile in range(th * tw):
            row, column = divmod(tile, tw)
            t = image * th * tw + tile
            for phase in range(2):
                y, start, stop = 8 * row + phase, 2 * phase * channels, 2 * (phase + 1) * channels
                for j in range(5):
                    z = 4 * column + j
                    a, b, c, d, e = grid[y, z], grid[y + 2, z], grid[y + 4, z], grid[y + 6, z], grid[y + 8, z]
                    p, q, r, s, u = mid[0, j], mid[1, j], mid[2, j], mid[3, j], mid[4, j]
                    for k in range(2 * channels):
                        p[k], q[k], r[k], s[k], u[k] = inputs_to_products(a[k], b[k], c[k], d[k], e[k])
                for i in range(5):
                    a, b, c, d, e = mid[i, 0], mid[i, 1], mid[i, 2], mid[i, 3], mid[i, 4]
                    p, q = out[5 * i, t, start:stop], out[5 * i + 1, t, start:stop]
                    r, s = out[5 * i + 2, t, start:stop], out[5 * i + 3, t, start:stop]
                    u = out[5 * i + 4, t, start:stop]
                    for k in range(2 * channels):
                        p[k], q[k], r[k], s[k], u[k] = inputs_to_products(a[k], b[k], c[k], d[k], e[k])


@compiled("3=4pp")
def join_windows(products, x, tiles, padding):
    n, h, w, channels = x.shape
    th, tw = tiles
    grid = np.empty((8 * th + 2, 4 * tw + 1, 2 * channels), x.dtype)
    pixels = grid.reshape(8 * th + 2, 8 * tw + 2, channels)
    mid = np.empty((5, 5, 2 * channels), x.dtype)
    for image in range(n):
        grid[:] = 0
        for tile in range(th * tw):
            row, column = divmod(tile, tw)
            t = image * th * tw + tile
            for phase in range(2):
                y, start, stop = 8 * row + phase, 2 * phase * channels, 2 * (phase + 1) * channels
                for i in range(5):
                    a, b = products[5 * i, t, start:stop], products[5 * i + 1, t, start:stop]
                    c, d = products[5 * i + 2, t, start:stop], products[5 * i + 3, t, start:stop]
                    e = products[5 * i + 4, t, start:stop]
                    p, q, r, s, u = mid[i, 0], mid[i, 1], mid[i, 2], mid[i, 3], mid[i, 4]
                    for k in range(2 * channels):
                        p[k], q[k], r[k], s[k], u[k] = products_to_inputs(a[k], b[k], c[k], d[k], e[k])
                for j in range(5):
                    z = 4 * column + j
                    a, b, c, d, e = mid[0, j], mid[1, j], mid[2, j], mid[3, j], mid[4, j]
                    p, q, r, s, u = grid[y, z], grid[y + 2, z], grid[y + 4, z], grid[y + 6, z], grid[y + 8, z]
                    for k in range(2 * channels):
                        f, g, m, v, o = products_to_inputs(a[k], b[k], c[k], d[k], e[k])
                        p[k] += f
                        q[k] += g
                        r[k] += m
                        s[k] += v
                        u[k] += o
        x[image] = 0
        for y in range(min(h, 8 * th + 2 - padding[0])):
            for z in range(min(w, 8 * tw + 2 - padding[1])):
                to, source = x[image, y, z], pixels[y + padding[0], z + padding[1]]
                for k in range(channels):
                    to[k] = source[k]


@compiled("4=3p")
def split_outputs(y, out, tiles):
    n, height, width, channels = y.shape
    th, tw = tiles
    nothing = np.zeros(channels, y.dtype)
    mid = np.empty((5, 4, channels), y.dtype)
    for image in range(n):
        for tile in range(th * tw):
            row, column = divmod(tile, tw)
            t = image * th * tw + tile
            for j in range(4):
                z, i = 4 * column + j, 4 * row
                a = y[image, i, z] if z < width else nothing
                b = y[image, i + 1, z] if z < width and i + 1 < height else nothing
                c = y[image, i + 2, z] if z < width and i + 2 < height else nothing
                d = y[image, i + 3, z] if z < width and i + 3 < height else nothing
                p, q, r, s, u = mid[0, j], mid[1, j], mid[2, j], mid[3, j], mid[4, j]
                for k in range(channels):
                    p[k], q[k], r[k], s[k], u[k] = outputs_to_products(a[k], b[k], c[k], d[k])
            for i in range(5):
                a, b, c, d = mid[i, 0], mid[i, 1], mid[i, 2], mid[i, 3]
                p, q, r = out[5 * i, t], out[5 * i + 1, t], out[5 * i + 2, t]
                s, u = out[5 * i + 3, t], out[5 * i + 4, t]
                for k in range(channels):
                    p[k], q[k], r[k], s[k], u[k] = outputs_to_products(a[k], b[k], c[k], d[k])


@compiled("3=4p")
def join_outputs(products, y, tiles):
    n, height, width, channels = y.shape
    th, tw = tiles
    beyond = np.empty((4, channels), y.dtype)
    mid = np.empty((4, 5, channels), y.dtype)
    for image in range(n):
        for tile in range(th * tw):
            row, column = divmod(tile, tw)
            t = image * th * tw + tile
            for j in range(5):
                a, b, c = products[j, t], products[5 + j, t], products[10 + j, t]
                d, e = products[15 + j, t], products[20 + j, t]
                p, q, r, s = mid[0, j], mid[1, j], mid[2, j], mid[3, j]
                for k in range(channels):
                    p[k], q[k], r[k], s[k] = products_to_outputs(a[k], b[k], c[k], d[k], e[k])
            for i in range(min(4, height - 4 * row)):
                to, z = y[image, 4 * row + i], 4 * column
                a, b, c, d, e = mid[i, 0], mid[i, 1], mid[i, 2], mid[i, 3], mid[i, 4]
                p = to[z]
                q = to[z + 1] if z + 1 < width else beyond[1]
                r = to[z + 2] if z + 2 < width else beyond[2]
                s = to[z + 3] if z + 3 < width else beyond[3]
                for k in range(channels):
                    p[k], q[k], r[k], s[k] = products_to_outputs(a[k], b[k], c[k], d[k], e[k])


@compiled("4=4p")
def split_taps(rows, out, part):
    channels = rows.shape[3]
    half, sixth = rows.dtype.type(1 / 2), rows.dtype.type(1 / 6)
    mid = np.empty((5, 4, channels), rows.dtype)
    for o in range(part[0], part[1]):
        for phase in range(2):
            for j in range(4):
                a, b = rows[o, phase, j], rows[o, phase + 2, j]
                p, q, r, s, u = mid[0, j], mid[1, j], mid[2, j], mid[3, j], mid[4, j]
                for k in range(channels):
                    p[k], q[k], r[k], s[k], u[k] = taps_to_products(a[k], b[k], half, sixth)
            for i in range(5):
                for other in range(2):
                    a, b, z = mid[i, other], mid[i, other + 2], 2 * phase + other
                    p, q, r = out[5 * i, o, z], out[5 * i + 1, o, z], out[5 * i + 2, o, z]
                    s, u = out[5 * i + 3, o, z], out[5 * i + 4, o, z]
                    for k in range(channels):
                        p[k], q[k], r[k], s[k], u[k] = taps_to_products(a[k], b[k], half, sixth)


@compiled("4=4p")
def join_taps(products, rows, part):
    channels = rows.shape[3]
    half, sixth = rows.dtype.type(1 / 2), rows.dtype.type(1 / 6)
    mid = np.empty((5, 4, channels), rows.dtype)
    for o in range(part[0], part[1]):
        for phase in range(2):
            for i in range(5):
                for other in range(2):
                    z = 2 * phase + other
                    a, b, c = products[5 * i, o, z], products[5 * i + 1, o, z], products[5 * i + 2, o, z]
                    d, e = products[5 * i + 3, o, z], products[5 * i + 4, o, z]
                    p, q = mid[i, other], mid[i, other + 2]
                    for k in range(channels):
                        p[k], q[k] = products_to_taps(a[k], b[k], c[k], d[k], e[k], half, sixth)
            for j in range(4):
                a, b, c, d, e = mid[0, j], mid[1, j], mid[2, j], mid[3, j], mid[4, j]
                p, q = rows[o, phase, j], rows[o, phase + 2, j]
                for k in range(channels):
                    p[k], q[k] = products_to_taps(a[k], b[k], c[k], d[k], e[k], half, sixth)


# -- normalisation -----------------------------------------------------------------------------------------------------


@compiled("2d")
def channel_sums(rows, total):
    n, channels = rows.shape
    own = np.zeros(channels, rows.dtype)
    total[:] = 0
    for start in range(0, n, ROWS):
        own[:] = 0
        for i in range(start, min(start + ROWS, n)):
            row = rows[i]
            for c in range(channels):
                own[c] += row[c]
        for c in range(channels):
            total[c] += own[c]


@compiled("2dd")
def channel_moments(rows, mean, spread):
    n, channels = rows.shape
    own, square = np.zeros(channels, rows.dtype), np.zeros(channels, rows.dtype)
    mean[:] = 0
    spread[:] = 0
    for start in range(0, n, ROWS):
        stop = min(start + ROWS, n)
        size = stop - start
        own[:] = 0
        square[:] = 0
        for i in range(start, stop):
            row = rows[i]
            for c in range(channels):
                own[c] += row[c]
        for c in range(channels):
            own[c] /= size
        for i in range(start, stop):
            row = rows[i]
            for c in range(channels):
                square[c] += (row[c] - own[c]) ** 2
        for c in range(channels):
            distance = own[c] - mean[c]
            mean[c] += distance * (size / stop)
            spread[c] += square[c] + distance * distance * (start * size / stop)


@compiled("2vvv=2")
def normalize(rows, mean, scale, shift, out):
    n, channels = rows.shape
    for i in range(n):
        row, to = rows[i], out[i]
        for c in range(channels):
            to[c] = (row[c] - mean[c]) * scale[c] + shift[c]


@compiled("22vdd")
def norm_sums(dy, rows, mean, total, moment):
    n, channels = rows.shape
    sums, products = np.zeros(channels, rows.dtype), np.zeros(channels, rows.dtype)
    total[:] = 0
    moment[:] = 0
    for start in range(0, n, ROWS):
        sums[:] = 0
        products[:] = 0
        for i in range(start, min(start + ROWS, n)):
            g, row = dy[i], rows[i]
            for c in range(channels):
                sums[c] += g[c]
                products[c] += g[c] * (row[c] - mean[c])
        for c in range(channels):
            total[c] += sums[c]
            moment[c] += products[c]


@compiled("22vvvv=2")
def norm_grad(dy, rows, mean, scale, slope, shift, out):
    n, channels = rows.shape
    for i in range(n):
        g, row, to = dy[i], rows[i], out[i]
        for c in range(channels):
            to[c] = g[c] * scale[c] - (row[c] - mean[c]) * slope[c] - shift[c]


# -- element by element ------------------------------------------------------------------------------------------------


@compiled("1f=1")
def leaky_relu(x, slope, out):
    slope = x.dtype.type(slope)
    for i in range(x.size):
        out[i] = x[i] if x[i] > 0 else slope * x[i]


@compiled("11f=1")
def leaky_relu_grad(x, dy, slope, out):
    slope = x.dtype.type(slope)
    one = x.dtype.type(1)
    for i in range(x.size):
        out[i] = dy[i] * (one if x[i] > 0 else slope)


@compiled("=11=1=1fffff")
def adam(value, grad, m, v, beta1, beta2, rate, spread, eps):
    number = value.dtype.type
    one, b1, b2, rate, spread, eps = number(1), number(beta1), number(beta2), number(rate), number(spread), number(eps)
    for i in range(value.size):
        g = grad[i]
        m[i] = b1 * m[i] + (one - b1) * g
        v[i] = b2 * v[i] + (one - b2) * (g * g)
        value[i] -= rate * m[i] / (np.sqrt(v[i]) * spread + eps)
