"""The toy distributions: centres, shares and widths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.data import toys

TOYS = {  # the centres' number and the standard deviation, as documented
    mg.data.ring: (toys.RING_CENTRES, toys.RING_SIGMA, (8, 2), 0.01),
    mg.data.grid: (toys.GRID_CENTRES, toys.GRID_SIGMA, (25, 2), 0.05),
    mg.data.line: (toys.LINE_CENTRES, toys.LINE_SIGMA, (1, 1), 0.5),
}
every_toy = pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.__name__)
N = 100_000
# Each statistic below is asymptotically normal around its value, with the standard error given beside it. Five of these
# leave one seed in ten thousand to chance, with the 240 statistics there are; the seed is fixed.
ERRORS = 5


@every_toy
def test_each_centre_has_its_share_and_its_gaussian(toy):
    centres, sigma, shape, documented = TOYS[toy]
    assert (centres.shape, sigma) == (shape, documented)
    points = toy(N, rng=0).astype(np.float64)
    nearest = np.argmin(((points[:, None] - centres) ** 2).sum(axis=-1), axis=1)
    p = 1 / len(centres)
    for i, centre in enumerate(centres):
        own = points[nearest == i] - centre
        n = len(own)
        assert abs(n / N - p) <= ERRORS * np.sqrt(p * (1 - p) / N)  # binomial; nothing is left to it with one centre
        assert np.all(np.abs(own.mean(axis=0)) <= ERRORS * sigma / np.sqrt(n))
        assert np.all(np.abs(own.std(axis=0) - sigma) <= ERRORS * sigma / np.sqrt(2 * n))
        inside = np.mean(np.abs(own) <= sigma)  # 68.27% within one sigma, of own.size independent numbers
        assert abs(inside - 0.6827) <= ERRORS * np.sqrt(0.6827 * 0.3173 / own.size)
        if own.shape[1] == 2:
            assert abs(np.corrcoef(own.T)[0, 1]) <= ERRORS / np.sqrt(n)


def test_the_centres_are_where_they_are_said_to_be():
    x, y = toys.RING_CENTRES.T.astype(np.float64)
    exact = 1e-6  # of float32 coordinates up to 1, each rounded by at most 6e-8
    np.testing.assert_allclose(np.hypot(x, y), 1, atol=exact)
    turns = np.degrees(np.arctan2(y, x)) / 45
    np.testing.assert_allclose(turns, turns.round(), atol=45 * exact)
    assert sorted(turns.round().astype(int) % 8) == list(range(8))
    assert {tuple(c) for c in toys.GRID_CENTRES} == {(a, b) for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)}
    assert toys.LINE_CENTRES.tolist() == [[2]]
    for centres, *_ in TOYS.values():
        with pytest.raises(ValueError, match="read-only"):
            centres[0] = 0


@given(st.sampled_from(list(TOYS)), st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_the_points_follow_from_the_seed(toy, n, seed):
    points = toy(n, rng=seed)
    assert (points.shape, points.dtype) == ((n, TOYS[toy][0].shape[1]), np.float32)
    np.testing.assert_array_equal(points, toy(n, rng=np.random.default_rng(seed)))
    mg.seed(seed)
    np.testing.assert_array_equal(points, toy(n))
    assert not np.array_equal(points, toy(n))  # the default generator has moved on
    points[...] = 0  # the points are the caller's: neither read-only nor the centres


@every_toy
@pytest.mark.parametrize("n", [0, -1])
def test_no_points_are_refused(toy, n):
    with pytest.raises(ValueError, match=f"the number of points must be at least 1, got {n}"):
        toy(n)
