"""The figures of 0001-memory-layout.md."""

import statistics
import time

import numpy as np

from minigan.backends import get

xp = get("numpy")
nhwc = np.random.default_rng(0).normal(size=(64, 14, 14, 64)).astype("float32").transpose(0, 3, 1, 2)


def as_nchw(x):
    """The plain way: windows of NCHW memory, in the order (C, kH, kW)."""
    n, c = x.shape[:2]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    sn, sc, sh, sw = padded.strides
    windows = np.lib.stride_tricks.as_strided(padded, (n, 7, 7, c, 4, 4), (sn, sh * 2, sw * 2, sc, sh, sw))
    return np.ascontiguousarray(windows)


def milliseconds(function):
    times = []
    for _ in range(30):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


nchw = np.ascontiguousarray(nhwc)
print(f"NCHW {milliseconds(lambda: as_nchw(nchw)):.1f} ms")
print(f"NHWC {milliseconds(lambda: xp.patches(nhwc, (4, 4), (7, 7), (2, 2), (1, 1), (1, 1))):.1f} ms")
