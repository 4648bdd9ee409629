"""Nearest neighbours by Euclidean distance: which one it is, how far away, and what that says of copying."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np


def nearest(samples: Any, reference: Any, block: int = 256) -> np.ndarray:
    """For each sample, the index of the nearest reference image by Euclidean distance of pixels.

    Args:
        samples: (n, ...).
        reference: (m, ...), the same number of values each.
        block: samples worked on at a time; the memory taken is block * m numbers.

    Raises:
        ValueError: samples and reference images of different sizes.

    >>> mg.metrics.nearest(np.array([[0.9], [0.2]]), np.array([[0.0], [1.0]])).tolist()
    [1, 0]
    """
    rows, known = rows_of(samples, reference)
    return np.concatenate([squares.argmin(axis=1) for _, squares in squared_distances(rows, known, block)])


def memorisation(samples: Any, training: Any, held_back: Any = None, most: int = 1000, block: int = 256) -> float:
    """How near samples are to the training images, beside how near real images are that were not trained on.

    The median over `samples` of the Euclidean distance of pixels to the nearest training image, over the same median of
    the images held back: near 1 where samples are new, well below 1 where they are copies, 0 for copies alone. Smooth or
    simple samples have near neighbours too, so that a ratio below 1 asks for a look at them beside the neighbours.

    Args:
        samples: (n, ...).
        training: (m, ...).
        held_back: (k, ...), real images that the generator has never seen. Without them training images take their
            place, each beside the others only.
        most: how many samples and how many real images are measured, evenly spaced; a median needs no more.
        block: images worked on at a time; the memory taken is block * m numbers.

    Returns:
        The ratio; nan where real images are at no distance from training images, so that there is nothing to measure by.

    Raises:
        ValueError: images of different sizes.

    >>> training = np.array([[0.0], [1.0], [3.0]])
    >>> round(mg.metrics.memorisation(np.array([[0.1], [2.9]]), training, held_back=np.array([[0.5], [2.5]])), 6)
    0.2
    """
    usual = _median_to_nearest(training if held_back is None else held_back, training, most, block, held_back is None)
    distance = _median_to_nearest(samples, training, most, block)
    return distance / usual if usual > 0 else math.nan


def _median_to_nearest(samples: Any, reference: Any, most: int, block: int, others: bool = False) -> float:
    """The median distance to the nearest reference image; with `others`, where both are one set, to the nearest but itself."""
    rows, known = rows_of(samples, reference)
    chosen = np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)
    rows = rows[chosen]
    distances = []
    for start, squares in squared_distances(rows, known, block):
        if others:
            squares[np.arange(len(squares)), chosen[start : start + block]] = np.inf
        apart = rows[start : start + block] - known[squares.argmin(axis=1)]
        distances.append(np.linalg.norm(apart.astype(np.float64), axis=1))  # exact: 0 for a copy
    return float(np.median(np.concatenate(distances)))


def precision_recall(real: Any, fake: Any, k: int = 3, block: int = 1024) -> tuple[float, float]:
    """How much of the fake lies where real lies, and how much of the real where fake lies.

    Kynkäänniemi et al. (2019), equations 1 and 2. A set's manifold is taken to be the union of balls, one around each of
    its points, that reach to the point's k-th nearest neighbour in the set. Precision is the share of fake points in the
    real manifold; recall is the share of real points in the fake one. Both depend on the number of points and on
    the features, so they should be compared at equal numbers, and beside what real data have.

    Args:
        real: features (n, d).
        fake: features (m, d).
        k: how many neighbours a ball reaches to.
        block: points worked on at a time; the memory taken is block * max(n, m) numbers.

    Returns:
        precision and recall, each in [0, 1].

    Raises:
        ValueError: features of different widths, or sets of k points or fewer.

    >>> real = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> mg.metrics.precision_recall(real, np.array([[0.5], [0.6], [9.0], [9.5]]), k=1)
    (0.5, 0.0)
    """
    real, fake = rows_of(np.asarray(real, np.float64), np.asarray(fake, np.float64))
    if not 1 <= k < min(len(real), len(fake)):
        raise ValueError(
            f"k must be at least 1 and below the number of points, got {k} for {len(real)} and {len(fake)}"
        )
    return _share_within(fake, real, k, block), _share_within(real, fake, k, block)


def _share_within(points: np.ndarray, centres: np.ndarray, k: int, block: int) -> float:
    """The share of `points` in at least one of the balls around `centres` that reach to their k-th neighbours."""
    reach = [np.partition(squares, k, axis=1)[:, k] for _, squares in squared_distances(centres, centres, block)]
    radii = np.concatenate(reach)  # of k + 1, as each is its own nearest
    inside = [(squares <= radii).any(axis=1) for _, squares in squared_distances(points, centres, block)]
    return float(np.concatenate(inside).mean())


def rows_of(samples: Any, reference: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as one row a sample; `ValueError` where they have different sizes, or there are none."""
    if len(samples) == 0 or len(reference) == 0:
        raise ValueError(
            f"there must be samples and something to compare with, got {len(samples)} and {len(reference)}"
        )
    rows, known = samples.reshape(len(samples), -1), reference.reshape(len(reference), -1)
    if rows.shape[1] != known.shape[1]:
        raise ValueError(f"samples have {rows.shape[1]} values each, reference images {known.shape[1]}")
    return rows, known


def squared_distances(rows: np.ndarray, known: np.ndarray, block: int) -> Iterator[tuple[int, np.ndarray]]:
    """|r - s|^2 = |r|^2 - 2 r s + |s|^2 of `block` rows at a time, as the first one's index and an array (block, m)."""
    squares = np.einsum("ij,ij->i", known, known)
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        distances = part @ known.T
        distances *= -2
        distances += squares
        distances += np.einsum("ij,ij->i", part, part)[:, None]
        yield start, np.maximum(distances, 0, out=distances)  # rounding may leave less than nothing
