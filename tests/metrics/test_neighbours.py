"""Nearest neighbours against the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_nearest_is_the_smallest_distance(n, m, size, block, seed):
    rng = np.random.default_rng(seed)
    samples, reference = rng.normal(size=(n, 1, size, 2)), rng.normal(size=(m, 1, size, 2))
    found = mg.metrics.nearest(samples, reference, block)
    distances = ((samples[:, None] - reference[None]) ** 2).sum(axis=(2, 3, 4))
    np.testing.assert_array_equal(found, distances.argmin(axis=1))  # continuous draws have no ties


def test_real_digits_are_their_own_neighbours():
    images, labels = mg.data.digits()
    chosen = slice(None, None, 50)
    shares = mg.metrics.class_shares(images[chosen], images, labels)
    np.testing.assert_allclose(shares, 0.1)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="samples have 4 values each, reference images 9"):
        mg.metrics.nearest(np.ones((2, 4)), np.ones((3, 9)))
