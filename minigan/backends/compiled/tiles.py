"""Tiles of images, outputs and taps to the products of minimal filtering, and back; see `minigan.backends.filtering`."""

import numpy as np
from numba import njit

from minigan.backends import filtering
from minigan.backends.compiled.signatures import compiled

inputs_to_products, products_to_inputs, products_to_outputs, outputs_to_products, taps_to_products, products_to_taps = (
    njit(inline="always")(f)
    for f in (
        filtering.inputs_to_products, filtering.products_to_inputs, filtering.products_to_outputs,
        filtering.outputs_to_products, filtering.taps_to_products, filtering.products_to_taps,
    )
)  # fmt: skip


@compiled("4=3ppi")
def split_windows(x, out, tiles, padding, first):
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
            t = (first + image) * th * tw + tile
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


@compiled("4=3pi")
def split_outputs(y, out, tiles, first):
    n, height, width, channels = y.shape
    th, tw = tiles
    nothing = np.zeros(channels, y.dtype)
    mid = np.empty((5, 4, channels), y.dtype)
    for image in range(n):
        for tile in range(th * tw):
            row, column = divmod(tile, tw)
            t = (first + image) * th * tw + tile
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
