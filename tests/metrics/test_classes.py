"""What probabilities say, between its bounds."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.metrics import class_shares, confidence, entropy_of_mean, mean_entropy

ROUNDING = 1e-12  # of sums of at most a hundred float64 numbers about 1


@st.composite
def probabilities(draw):
    n, classes = draw(st.integers(1, 9)), draw(st.integers(2, 10))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    p = rng.dirichlet(np.full(classes, draw(st.sampled_from([0.01, 0.3, 1.0, 100.0]))), n)  # from sure to undecided
    p = np.where(p < 1e-9, 0, p)
    return p / p.sum(axis=1, keepdims=True)  # what was cut off would let entropies be too large


@given(probabilities())
def test_everything_is_within_its_bounds(p):
    classes = p.shape[1]
    assert 1 / classes - ROUNDING <= confidence(p) <= 1 + ROUNDING
    assert -ROUNDING <= mean_entropy(p) <= entropy_of_mean(p) + ROUNDING  # Jensen
    assert entropy_of_mean(p) <= math.log(classes) + ROUNDING
    assert abs(class_shares(p).sum() - 1) <= ROUNDING


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_a_sure_classifier_shows_the_histogram(labels):
    p = np.eye(5)[labels]
    shares = np.bincount(labels, minlength=5) / len(labels)
    np.testing.assert_allclose(class_shares(p), shares)
    assert confidence(p) == 1
    assert mean_entropy(p) == 0
    expected = -sum(q * math.log(q) for q in shares if q)
    assert abs(entropy_of_mean(p) - expected) <= ROUNDING


@given(st.integers(2, 10), st.integers(1, 5))
def test_an_undecided_one_is_at_the_other_end(classes, n):
    p = np.full((n, classes), 1 / classes)
    assert abs(confidence(p) - 1 / classes) <= ROUNDING
    assert abs(mean_entropy(p) - math.log(classes)) <= ROUNDING
    assert abs(entropy_of_mean(p) - math.log(classes)) <= ROUNDING


def test_rows_of_float32_are_summed_exactly_enough():
    p = np.tile(np.float32([0.7, 0.3]), (100_000, 1))
    assert abs(mg.metrics.confidence(p) - np.float32(0.7)) <= 1e-9  # float32 sums would be off by 1e-5
