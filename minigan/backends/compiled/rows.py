"""Normalisation, activations and Adam."""

import numpy as np

from minigan.backends.compiled.signatures import compiled

ROWS = 64  # rows that are summed in their own dtype before they go into a sum in float64


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
