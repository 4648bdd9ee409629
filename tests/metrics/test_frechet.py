"""The Fréchet distance against what is known of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg

seeds = st.integers(0, 2**32 - 1)
distance = mg.metrics.frechet_distance


def features(seed, n, d):
    """Correlated features with a mean, some hundred times as wide as others."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * 10 ** rng.uniform(-1, 1, d) + rng.normal(size=d)


def size(*sets):
    """The sum of squares that the distance is made of."""
    return 1 + sum(float((x**2).sum() / len(x)) for x in sets)


def same(a, b, scale):
    assert abs(a - b) <= 1e-12 * scale  # some thousand roundings of float64 at the size of what is summed


@given(seeds, st.integers(2, 30), st.integers(1, 6))
def test_it_is_0_on_itself_in_any_order_and_above_0_on_others(seed, n, d):
    """Also with fewer rows than columns, where the covariance is singular."""
    a = features(seed, n, d)
    same(distance(a, a), 0, size(a))
    same(distance(a, np.random.default_rng(seed).permutation(a)), 0, size(a))
    assert distance(a, a + 1) >= 0.9 * d


@given(seeds, seeds, st.integers(2, 30), st.integers(2, 30), st.integers(1, 6))
def test_it_is_symmetric_and_invariant_to_a_shift_and_a_rotation_of_both(seed_a, seed_b, n, m, d):
    a, b = features(seed_a, n, d), features(seed_b, m, d)
    shift = np.random.default_rng(seed_a).normal(size=d)
    turn, _ = np.linalg.qr(np.random.default_rng(seed_b).normal(size=(d, d)))
    scale = size(a, b) + shift @ shift
    same(distance(b, a), distance(a, b), scale)
    same(distance(a + shift, b + shift), distance(a, b), scale)
    same(distance(a @ turn, b @ turn), distance(a, b), scale)
    same(distance(3 * a, 3 * b), 9 * distance(a, b), 9 * scale)


@given(seeds, st.integers(1, 6), st.data())
def test_diagonal_gaussians_have_the_closed_form(seed, d, data):
    """sum (m - n)^2 + (s - t)^2 of means m, n and standard deviations s, t."""
    rng = np.random.default_rng(seed)
    centred = rng.normal(size=(20, d + 1))
    centred[:, 0] = 1
    white = np.linalg.qr(centred)[0][:, 1:] * np.sqrt(19)  # mean 0, covariance I
    vectors = st.lists(st.floats(-9, 9), min_size=d, max_size=d).map(np.array)
    m, n, s, t = (data.draw(vectors) for _ in range(4))
    s, t = abs(s), abs(t)
    found = distance(white * s + m, white * t + n)
    same(found, ((m - n) ** 2).sum() + ((s - t) ** 2).sum(), size(white * s + m, white * t + n))


@given(seeds, st.integers(2, 5))
def test_it_is_the_formula_with_matrix_roots(seed, d):
    a, b = features(seed, 50, d), features(seed + 1, 40, d)
    mean = lambda x: x.mean(axis=0)
    A, B = np.cov(a.T), np.cov(b.T)
    product = np.linalg.eigvals(A @ B).real  # similar to A^1/2 B A^1/2
    expected = ((mean(a) - mean(b)) ** 2).sum() + np.trace(A) + np.trace(B) - 2 * np.sqrt(product.clip(0)).sum()
    # the small eigenvalues of a product are known to 1e-16 of its largest, their roots to 1e-8 of it
    assert abs(distance(a, b) - expected) <= 1e-6 * size(a, b)


@pytest.mark.parametrize("shapes", [((3, 2), (3, 4)), ((1, 2), (3, 2)), ((3,), (3,))])
def test_features_that_cannot_be_compared_are_refused(shapes):
    with pytest.raises(ValueError, match="features must be"):
        distance(*(np.ones(shape) for shape in shapes))


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        distance(np.array([[1.0], [np.nan]]), np.ones((2, 1)))
