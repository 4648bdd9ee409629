"""Samples in one or two dimensions beside the mixture of equally likely round Gaussians that they should come from.

The sample's own centre is the nearest; a sample is of high quality within 3 sigma of it. These are the measures of
VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018), which take 2,500 samples.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

REACH = 3.0  # sigmas


def modes_covered(points: Any, centres: Any, sigma: float) -> int:
    """How many centres have at least one sample within 3 sigma.

    Args:
        points: samples (n, d).
        centres: (modes, d).
        sigma: the standard deviation of each mode along each axis.

    Raises:
        ValueError: points and centres of different dimensions, no points, sigma not above 0.

    >>> mg.metrics.modes_covered(mg.data.ring(2500, rng=0), mg.data.toys.RING_CENTRES, mg.data.toys.RING_SIGMA)
    8
    """
    own, distance = _own_centre(points, centres, sigma)
    return len(np.unique(own[distance <= REACH]))


def high_quality_share(points: Any, centres: Any, sigma: float) -> float:
    """The share of samples within 3 sigma of their centre: 1 - exp(-4.5) = 98.9% of true ones in two dimensions.

    Arguments and errors are those of `modes_covered`.

    >>> mg.metrics.high_quality_share(np.array([[0.1], [5.0]]), centres=np.array([[0.0]]), sigma=1.0)
    0.5
    """
    _, distance = _own_centre(points, centres, sigma)
    return float((distance <= REACH).mean())


def reverse_kl(points: Any, centres: Any, sigma: float) -> float:
    """sum_k q_k log(q_k modes) in nats, with the share q_k of all samples that are nearest to centre k.

    KL(q || uniform): 0 where every mode has its share, log(modes) where one has all. Arguments and errors are those
    of `modes_covered`.

    >>> round(mg.metrics.reverse_kl(np.array([[0.1], [-0.1]]), centres=np.array([[0.0], [9.0]]), sigma=1.0), 4)
    0.6931
    """
    own, _ = _own_centre(points, centres, sigma)
    shares = np.bincount(own, minlength=len(centres)) / len(own)
    shares = shares[shares > 0]
    return float((shares * np.log(shares * len(centres))).sum())


def spread_ratio(points: Any, centres: Any, sigma: float) -> float:
    """How wide the modes are, over how wide they should be: 1 for true samples, 0 where each mode is one point.

    Of the samples within 3 sigma of a centre, the standard deviation about their own mean (unbiased variances, averaged
    over the axes), over what a Gaussian that is cut off at 3 sigma has: sigma times the root of F(9; d + 2) / F(9; d),
    where F(x; d) is the chi-squared distribution with d degrees of freedom, in two dimensions 0.974 sigma. The median
    over the modes that have two such samples or more; nan where none has.

    Modes much wider than they should be are cut off too: the ratio then grows to 1.54 in two dimensions and no further.
    Arguments and errors are those of `modes_covered`.

    >>> points = mg.data.grid(2500, rng=0)
    >>> round(mg.metrics.spread_ratio(points, mg.data.toys.GRID_CENTRES, mg.data.toys.GRID_SIGMA), 1)
    1.0
    """
    points = np.asarray(points, np.float64)
    own, distance = _own_centre(points, centres, sigma)
    d = points.shape[1]
    members = [points[(own == k) & (distance <= REACH)] for k in range(len(centres))]
    spreads = [math.sqrt(m.var(axis=0, ddof=1).mean()) for m in members if len(m) > 1]
    truth = sigma * math.sqrt(_chi_squared(REACH**2, d + 2) / _chi_squared(REACH**2, d))
    return float(np.median(spreads)) / truth if spreads else math.nan


def _own_centre(points: Any, centres: Any, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """The index of each point's nearest centre, (n,), and its distance in sigmas, (n,)."""
    points, centres = np.asarray(points, np.float64), np.asarray(centres, np.float64)
    if (
        points.ndim != 2
        or centres.ndim != 2
        or points.shape[1] != centres.shape[1]
        or 0 in (*points.shape, *centres.shape)
    ):
        raise ValueError(f"points must be (n, d) and centres (modes, d), got {points.shape} and {centres.shape}")
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0, got {sigma}")
    distances = np.linalg.norm(points[:, None] - centres, axis=2) / sigma  # (n, modes)
    own = distances.argmin(axis=1)
    return own, distances[np.arange(len(own)), own]


def _chi_squared(x: float, d: int) -> float:
    """P(X <= x) for a chi-squared X with d degrees of freedom, from those with d - 2."""
    if d <= 2:
        return math.erf(math.sqrt(x / 2)) if d == 1 else 1 - math.exp(-x / 2)
    return _chi_squared(x, d - 2) - (x / 2) ** (d / 2 - 1) * math.exp(-x / 2) / math.gamma(d / 2)
