"""Nearest neighbours, copies and manifolds against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg

seeds = st.integers(0, 2**32 - 1)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), seeds)
def test_nearest_is_the_smallest_distance(n, m, size, block, seed):
    rng = np.random.default_rng(seed)
    samples, reference = rng.normal(size=(n, 1, size, 2)), rng.normal(size=(m, 1, size, 2))
    found = mg.metrics.nearest(samples, reference, block)
    distances = ((samples[:, None] - reference[None]) ** 2).sum(axis=(2, 3, 4))
    np.testing.assert_array_equal(found, distances.argmin(axis=1))  # continuous draws have no ties


@given(st.integers(1, 9), st.integers(2, 9), st.integers(1, 9), st.integers(1, 4), seeds)
def test_memorisation_is_the_ratio_of_median_distances(n, m, k, block, seed):
    rng = np.random.default_rng(seed)
    samples, training, held_back = (rng.normal(size=(length, 1, 2, 2)) for length in (n, m, k))

    def median(a, b, least=0):
        return np.median(np.sqrt(((a[:, None] - b) ** 2).sum(axis=(2, 3, 4))).min(axis=1, where=~least, initial=np.inf))

    all_of = np.zeros((1, m), bool)
    usual = median(held_back, training, all_of)
    found = mg.metrics.memorisation(samples, training, held_back, block=block)
    np.testing.assert_allclose(found, median(samples, training, all_of) / usual, rtol=1e-12)  # float64, a few roundings
    others = median(training, training, np.eye(m, dtype=bool))
    found = mg.metrics.memorisation(samples, training, block=block)
    np.testing.assert_allclose(found, median(samples, training, all_of) / others, rtol=1e-12)


def test_copies_have_0_and_new_digits_about_1():
    images, _ = mg.data.digits()
    training, new = images[::2], images[1::2]
    assert mg.metrics.memorisation(training[:50], training, new) == 0
    assert mg.metrics.memorisation(new, training, new) == 1
    assert abs(mg.metrics.memorisation(new, training) - 1) <= 0.05  # medians of a thousand distances, 1% apart


def test_the_measured_ones_are_evenly_spaced():
    training, held_back = np.array([[0.0]]), np.array([[1.0]])
    samples = np.array([[1.0], [9.0], [9.0], [2.0], [9.0], [9.0], [3.0]])
    assert mg.metrics.memorisation(samples, training, held_back, most=3) == 2
    assert mg.metrics.memorisation(samples, training, held_back) == 9


def test_nothing_to_measure_by_is_nan():
    assert math.isnan(mg.metrics.memorisation(np.ones((2, 3)), np.zeros((4, 3))))


@given(st.integers(4, 12), st.integers(4, 12), st.integers(1, 3), st.integers(1, 5), seeds)
def test_precision_and_recall_are_the_shares_within_balls(n, m, k, block, seed):
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + rng.normal(size=2)

    def share(points, centres):
        apart = lambda a, b: np.linalg.norm(a[:, None] - b, axis=2)
        radii = np.sort(apart(centres, centres), axis=1)[:, k]
        return (apart(points, centres) <= radii).any(axis=1).mean()

    assert mg.metrics.precision_recall(real, fake, k, block) == (share(fake, real), share(real, fake))
    assert mg.metrics.precision_recall(fake, real, k, block) == (share(real, fake), share(fake, real))


@given(st.integers(5, 20), seeds)
def test_a_set_has_all_of_itself_and_nothing_of_one_far_away(n, seed):
    points = np.random.default_rng(seed).normal(size=(n, 3))
    assert mg.metrics.precision_recall(points, points) == (1, 1)
    assert mg.metrics.precision_recall(points, points + 1e3) == (0, 0)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="samples have 4 values each, reference images 9"):
        mg.metrics.nearest(np.ones((2, 4)), np.ones((3, 9)))
    with pytest.raises(ValueError, match="got 0 and 3"):
        mg.metrics.memorisation(np.ones((0, 9)), np.ones((3, 9)))
    with pytest.raises(ValueError, match="got 3 for 4 and 3"):
        mg.metrics.precision_recall(np.ones((4, 2)), np.ones((3, 2)), k=3)
