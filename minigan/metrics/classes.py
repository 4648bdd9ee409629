"""What a classifier's probabilities say about samples: sure or not, and of which classes."""

from __future__ import annotations

from typing import Any

import numpy as np


def confidence(probabilities: Any) -> float:
    """E[max_c p(c|x)]: how sure the classifier is on average, from 1/classes to 1.

    Args:
        probabilities: (n, classes), each row sums to 1.

    >>> mg.metrics.confidence(np.array([[1.0, 0.0], [0.5, 0.5]]))
    0.75
    """
    return float(np.max(probabilities, axis=1).mean(dtype=np.float64))


def class_shares(probabilities: Any) -> np.ndarray:
    """The share of samples that are most probably of each class: (classes,), summing to 1.

    Args:
        probabilities: (n, classes).

    >>> mg.metrics.class_shares(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])).tolist()
    [0.75, 0.25]
    """
    chosen = np.argmax(probabilities, axis=1)
    return np.bincount(chosen, minlength=np.shape(probabilities)[1]) / len(chosen)


def entropy_of_mean(probabilities: Any) -> float:
    """H(E[p(c|x)]) in nats: how evenly the classes are made, log(classes) at most, 0 where there is but one.

    This less `mean_entropy` is the logarithm of the Inception score's formula (Salimans et al. 2016).

    Args:
        probabilities: (n, classes).

    >>> round(mg.metrics.entropy_of_mean(np.array([[1.0, 0.0], [0.0, 1.0]])), 4)
    0.6931
    """
    return float(_entropy(np.asarray(probabilities, np.float64).mean(axis=0)))


def mean_entropy(probabilities: Any) -> float:
    """E[H(p(c|x))] in nats: how undecided the classifier is about a sample, 0 where it is sure of each.

    Args:
        probabilities: (n, classes).

    >>> mg.metrics.mean_entropy(np.array([[1.0, 0.0], [0.0, 1.0]]))
    0.0
    """
    return float(_entropy(np.asarray(probabilities, np.float64)).mean())


def _entropy(p: np.ndarray) -> np.ndarray:
    """-sum p log p over the last axis, where 0 log 0 is 0."""
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1) + 0.0  # no -0
