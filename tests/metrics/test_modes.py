"""Measures of mixtures, on true samples and on samples that are wrong in a known way."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.data import toys
from minigan.metrics import high_quality_share, modes_covered, reverse_kl, spread_ratio

TOYS = {
    mg.data.ring: (toys.RING_CENTRES, toys.RING_SIGMA),
    mg.data.grid: (toys.GRID_CENTRES, toys.GRID_SIGMA),
    mg.data.line: (toys.LINE_CENTRES, toys.LINE_SIGMA),
}
every_toy = pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.__name__)
MEASURES = (modes_covered, high_quality_share, reverse_kl, spread_ratio)
CEILING = {1: math.erf(3 / math.sqrt(2)), 2: 1 - math.exp(-4.5)}  # P(|x| <= 3) of a standard Gaussian
N = 100_000
ERRORS = 5  # standard errors, which leave one seed in a million to chance; the seeds are fixed


@every_toy
def test_true_samples_have_all_that_can_be_had(toy):
    centres, sigma = TOYS[toy]
    modes, d = centres.shape
    points = toy(N, rng=0)
    assert modes_covered(points, centres, sigma) == modes
    p = CEILING[d]
    assert abs(high_quality_share(points, centres, sigma) - p) <= ERRORS * math.sqrt(p * (1 - p) / N)
    assert 0 <= reverse_kl(points, centres, sigma) <= ERRORS * modes / N  # chi-squared with modes - 1 degrees over 2N
    # a standard deviation of n numbers has the relative error 1/sqrt(2n), and a median of them no more
    assert abs(spread_ratio(points, centres, sigma) - 1) <= ERRORS / math.sqrt(2 * N * d / modes)


@given(st.sampled_from(list(TOYS)), st.floats(0.0, 0.5), st.floats(-1.0, 1.0), st.integers(0, 2**32 - 1))
def test_the_spread_is_that_of_the_modes_and_not_where_they_are(toy, narrower, shift, seed):
    """Modes so narrow that nothing is cut off, each shifted as a whole."""
    centres, sigma = TOYS[toy]
    modes, d = centres.shape
    own = np.tile(np.arange(modes), 50)
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-1, 1, (50, 1, d)).repeat(modes, axis=1).reshape(-1, d)  # the same in every mode
    points = centres[own].astype(float) + sigma * (shift / math.sqrt(d) + narrower * noise)
    deviation = narrower * math.sqrt(noise.reshape(50, modes, d)[:, 0].var(axis=0, ddof=1).mean())
    cut = {1: 0.98658, 2: 0.97438}[d]  # root of F(9; d + 2)/F(9; d), from tables of the chi-squared distribution
    # the tables' five digits, and the rounding of points at 4 beside a sigma of 0.05
    assert abs(spread_ratio(points, centres, sigma) - deviation / cut) <= 1e-4 * deviation + 1e-9


def test_the_spread_is_the_median_over_the_modes_that_have_two_samples():
    centres = np.array([[0.0], [100.0], [200.0], [300.0]])
    pairs = np.array([[-1.0], [1.0]])
    points = np.concatenate([0.5 * pairs, 100 + 0.1 * pairs, 200 + pairs, [[300.0]]])
    alone = spread_ratio(0.5 * pairs, centres, 1.0)
    assert alone > 0
    assert spread_ratio(points, centres, 1.0) == pytest.approx(alone, rel=1e-9)  # points at 100 are rounded


@given(st.sets(st.integers(0, 24), min_size=1), st.integers(1, 5))
def test_modes_that_are_missing_are_missed(kept, copies):
    centres, sigma = TOYS[mg.data.grid]
    points = np.repeat(centres[sorted(kept)], copies, axis=0)
    assert modes_covered(points, centres, sigma) == len(kept)
    assert high_quality_share(points, centres, sigma) == 1
    assert abs(reverse_kl(points, centres, sigma) - math.log(25 / len(kept))) <= 1e-12  # float64 rounding
    spread = spread_ratio(points, centres, sigma)
    assert spread == 0 if copies > 1 else math.isnan(spread)


@given(st.floats(0, 2 * math.pi), st.floats(0, 6).filter(lambda r: abs(r - 3) > 1e-3))
def test_a_sample_counts_within_three_sigma(angle, reach):
    """But for the rounding of the distance, which is what the thousandth leaves out."""
    centres, sigma = TOYS[mg.data.grid]
    point = centres[7] + reach * sigma * np.array([[math.cos(angle), math.sin(angle)]])
    assert modes_covered(point, centres, sigma) == (reach < 3)
    assert high_quality_share(point, centres, sigma) == (reach < 3)


@given(st.sampled_from(list(TOYS)), st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_order_units_and_place_do_not_matter(toy, n, seed):
    centres, sigma = TOYS[toy]
    rng = np.random.default_rng(seed)
    points = toy(n, rng).astype(float) + rng.normal(size=(n, centres.shape[1])) * sigma
    for measure in MEASURES:
        expected = measure(points, centres, sigma)
        moved = measure(4 * rng.permutation(points) + 8, 4 * centres + 8, 4 * sigma)  # powers of 2, exact in binary
        np.testing.assert_allclose(moved, expected, rtol=1e-6)  # but for the sum's 8


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
@pytest.mark.parametrize(
    ("points", "sigma", "message"),
    [
        (np.ones((3, 2)), 1.0, r"got \(3, 2\) and \(1, 1\)"),
        (np.ones((0, 1)), 1.0, r"got \(0, 1\) and"),
        (np.ones(3), 1.0, r"got \(3,\) and"),
        (np.ones((3, 1)), 0.0, "sigma must be above 0, got 0.0"),
    ],
)
def test_what_makes_no_sense_is_refused(measure, points, sigma, message):
    with pytest.raises(ValueError, match=message):
        measure(points, np.zeros((1, 1)), sigma)
