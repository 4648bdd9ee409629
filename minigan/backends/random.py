"""Randomness: always drawn on the host from a `numpy.random.Generator`, so that one seed means one noise everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Generator = np.random.Generator
_default = np.random.default_rng()


def seed(n: int) -> None:
    """Restart minigan's default generator from the seed `n`, an integer that is not negative.

    Raises:
        ValueError: a negative number.

    >>> mg.seed(0)
    >>> a = mg.nn.Dense(2, 1).weight
    >>> mg.seed(0)
    >>> bool((a.numpy() == mg.nn.Dense(2, 1).weight.numpy()).all())
    True
    """
    global _default
    _default = np.random.default_rng(n)


def generator(rng: Generator | int | Sequence[int] | None = None) -> Generator:
    """`rng` itself, a generator seeded with an integer or several, or the default one."""
    if rng is None:
        return _default
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)


def normal(shape: tuple[int, ...], dtype: str = "float32", rng: Generator | int | None = None) -> np.ndarray:
    """Host samples of N(0, 1). Drawn in float32 unless `dtype` is float64."""
    return generator(rng).standard_normal(shape, dtype=np.dtype(dtype).type)


def uniform(
    low: float, high: float, shape: tuple[int, ...], dtype: str = "float32", rng: Generator | int | None = None
) -> np.ndarray:
    """Host samples of U[low, high)."""
    return low + (high - low) * generator(rng).random(shape, dtype=np.dtype(dtype).type)
