"""Toy distributions in one and two dimensions: mixtures of equally likely round Gaussians."""

from __future__ import annotations

import numpy as np

from minigan.backends import random

Points = np.ndarray

_angles = np.arange(8) * (np.pi / 4)
_ticks = np.arange(-4, 5, 2)

RING_CENTRES = np.stack([np.cos(_angles), np.sin(_angles)], axis=1).astype(np.float32)  # (8, 2)
RING_SIGMA = 0.01
GRID_CENTRES = np.stack(np.meshgrid(_ticks, _ticks, indexing="ij"), axis=-1).reshape(25, 2).astype(np.float32)
GRID_SIGMA = 0.05
LINE_CENTRES = np.full((1, 1), 2, np.float32)
LINE_SIGMA = 0.5
for _centres in (RING_CENTRES, GRID_CENTRES, LINE_CENTRES):
    _centres.flags.writeable = False


def ring(n: int, rng: random.Generator | int | None = None) -> Points:
    """n points, float32 (n, 2), around `RING_CENTRES`: 8 on the unit circle, `RING_SIGMA` = 0.01 each.

    Args:
        n: how many, at least 1.
        rng: a generator or a seed; minigan's own generator without one.

    Raises:
        ValueError: n below 1.

    >>> mg.data.ring(3, rng=0).shape
    (3, 2)
    """
    return _mixture(RING_CENTRES, RING_SIGMA, n, rng)


def grid(n: int, rng: random.Generator | int | None = None) -> Points:
    """n points, float32 (n, 2), around `GRID_CENTRES`: the 25 of {-4, -2, 0, 2, 4}², `GRID_SIGMA` = 0.05 each.

    Arguments and errors are those of `ring`.

    >>> mg.data.grid(3, rng=0).shape
    (3, 2)
    """
    return _mixture(GRID_CENTRES, GRID_SIGMA, n, rng)


def line(n: int, rng: random.Generator | int | None = None) -> Points:
    """n points, float32 (n, 1), of a Gaussian with mean 2 and standard deviation 0.5.

    Arguments and errors are those of `ring`.

    >>> mg.data.line(3, rng=0).shape
    (3, 1)
    """
    return _mixture(LINE_CENTRES, LINE_SIGMA, n, rng)


def _mixture(centres: np.ndarray, sigma: float, n: int, rng: random.Generator | int | None) -> Points:
    if n < 1:
        raise ValueError(f"the number of points must be at least 1, got {n}")
    rng = random.generator(rng)
    chosen = centres[rng.integers(len(centres), size=n)]
    return chosen + sigma * random.normal(chosen.shape, rng=rng)
