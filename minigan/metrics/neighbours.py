"""What a sample looks like: the nearest real image."""

from __future__ import annotations

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
    rows, known = samples.reshape(len(samples), -1), reference.reshape(len(reference), -1)
    if rows.shape[1] != known.shape[1]:
        raise ValueError(f"samples have {rows.shape[1]} values each, reference images {known.shape[1]}")
    squares = (known * known).sum(axis=1)
    parts = [
        np.argmin(squares - 2 * (rows[i : i + block] @ known.T), axis=1) for i in range(0, len(rows), block)
    ]  # |s - r|^2 less |s|^2, which is the same for every r
    return np.concatenate(parts)


def class_shares(samples: Any, images: Any, labels: Any, classes: int = 10) -> np.ndarray:
    """The share of samples whose nearest real image is of each class: (classes,), summing to 1.

    Args:
        samples: (n, ...).
        images, labels: the real ones, (m, ...) and integers (m,).
        classes: how many there are.

    Raises:
        ValueError: samples and real images of different sizes.

    >>> samples, images = np.array([[0.9], [0.2], [0.8], [0.7]]), np.array([[0.0], [1.0]])
    >>> mg.metrics.class_shares(samples, images, labels=np.array([0, 1]), classes=2).tolist()
    [0.25, 0.75]
    """
    counts = np.bincount(labels[nearest(samples, images)], minlength=classes)
    return counts / len(samples)
