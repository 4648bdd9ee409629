"""The Fréchet distance of two sets of features."""

from __future__ import annotations

from typing import Any

import numpy as np


def frechet_distance(features_a: Any, features_b: Any) -> float:
    """|m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2), with the means m and the covariances A and B of both sets.

    The squared distance of Fréchet (Dowson and Landau 1982) of the two Gaussians that the sets would be, which Heusel et
    al. (2017) measure generators by on the features of an Inception network. On other features, such as the `judge`'s,
    it has another scale: figures are comparable on the same features, the same reference and the same number of samples
    alone, as few samples make it larger.

    With A = R^T R and B = S^T S, as a QR decomposition of the centred features gives them, the root's trace is the sum
    of the singular values of R S^T: no covariance is made, and no root taken of what rounding has left below 0.

    Args:
        features_a: (n, d), n at least 2.
        features_b: (m, d), m at least 2.

    Raises:
        ValueError: features of different widths, not of two axes, fewer than two rows, or not finite.

    >>> a = np.array([[-1.0], [0.0], [1.0]])  # variance 1
    >>> round(mg.metrics.frechet_distance(a, 2 * a + 3), 6)  # 3^2 + (2 - 1)^2
    10.0
    """
    a, b = (np.asarray(features, np.float64) for features in (features_a, features_b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"features must be (n, d) and (m, d) with n and m of at least 2, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features must be finite, some are nan or inf")
    shift = a.mean(axis=0) - b.mean(axis=0)
    r, s = (np.linalg.qr(x - x.mean(axis=0), mode="r") / np.sqrt(len(x) - 1) for x in (a, b))
    shared = np.linalg.svd(r @ s.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + (r * r).sum() + (s * s).sum() - 2 * shared))
