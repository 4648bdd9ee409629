"""Densities on a line: the data's, the generator's, and what the best discriminator would say of them."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np

from minigan.data.toys import LINE_CENTRES, LINE_SIGMA

PLACES = np.linspace(-4, 5, 361)  # where densities are known and shown
EVENLY = np.linspace(-4.5, 4.5, 9001, dtype=np.float32)[:, None]  # latents, as close together where they are rare
WEIGHTS = np.exp(-0.5 * EVENLY**2) / np.exp(-0.5 * EVENLY**2).sum()
SMOOTH = 0.05  # of the generator's density: a tenth of the data's sigma
MASS = 0.01  # of the largest density: below that, there is hardly a point that D could learn from
DATA = np.exp(-0.5 * ((PLACES - LINE_CENTRES.item()) / LINE_SIGMA) ** 2) / (LINE_SIGMA * math.sqrt(2 * math.pi))


@cache
def latents(n: int) -> Any:
    """n latents that share N(0, 1) evenly, float32 (n, 1), read-only: the middles, by probability, of n equal parts.

    >>> from minigan.study.lab import density
    >>> print(density.latents(3).round(2).tolist())
    [[-0.97...], [0.0], [0.97...]]
    """
    z = np.array([[NormalDist().inv_cdf((i + 0.5) / n)] for i in range(n)], np.float32)
    z.flags.writeable = False
    return z


def density(made: Any) -> Any:
    """The density at `PLACES` of a generator that makes `made` (n, 1) of `EVENLY`: a histogram, smoothed a little."""
    apart = PLACES[1] - PLACES[0]
    edges = np.append(PLACES, PLACES[-1] + apart) - apart / 2
    shares, _ = np.histogram(made, edges, weights=WEIGHTS)
    reach = np.arange(-math.ceil(4 * SMOOTH / apart), math.ceil(4 * SMOOTH / apart) + 1) * apart
    kernel = np.exp(-0.5 * (reach / SMOOTH) ** 2)
    return np.convolve(shares, kernel / kernel.sum(), mode="same") / apart


def optimum(q: Any, p: Any = DATA) -> Any:
    """The best D against a generator of density q, p / (p + q), at `PLACES`; nan where p + q is below `MASS` of its maximum.

    Goodfellow et al. (2014), proposition 1.
    """
    both = p + q
    return np.where(both >= MASS * both.max(), p / np.maximum(both, np.finfo(float).tiny), np.nan)


def from_optimum(d: Any, q: Any) -> float:
    """max ``|D - p / (p + q)|`` where p + q is at least `MASS` of its maximum; `d` is what D says at `PLACES`."""
    return float(np.nanmax(abs(d - optimum(q))))


def from_half(d: Any) -> float:
    """The mean ``|D - 1/2|`` where p is at least `MASS` of its maximum; `d` is what D says at `PLACES`."""
    return float(abs(d - 0.5)[MASS * DATA.max() <= DATA].mean())
