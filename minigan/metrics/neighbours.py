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
    """The share of samples whose nearest real image is of each class: (classes,), summing to 1."""
    counts = np.bincount(labels[nearest(samples, images)], minlength=classes)
    return counts / len(samples)
