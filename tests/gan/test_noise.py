"""Instance noise: of the size it says, new in each call, and no obstacle to the gradient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.gan import InstanceNoise

seeds = st.integers(0, 2**32 - 1)


class Seen:
    """A discriminator that keeps what it is given."""

    def __call__(self, *given):
        self.given = given
        return given[0].sum(axis=1)


@given(seeds, st.floats(0.01, 3))
def test_the_noise_is_normal_of_standard_deviation_sigma(seed, sigma):
    n = 4000
    x = np.linspace(-1, 1, 2 * n).reshape(n, 2)
    seen = Seen()
    InstanceNoise(seen, sigma, rng=seed)(mg.tensor(x))
    noise = (seen.given[0].numpy() - x) / sigma
    # of 8,000 draws of N(0, 1): six standard errors of each statistic, which no seed of 1,000 will pass
    assert abs(noise.mean()) < 6 / np.sqrt(2 * n)
    assert abs(noise.var() - 1) < 6 * np.sqrt(2 / (2 * n))
    assert abs((noise**4).mean() - 3) < 6 * np.sqrt(96 / (2 * n))  # neither uniform nor of two values
    assert abs((noise[:, 0] * noise[:, 1]).mean()) < 6 / np.sqrt(n)


@given(seeds, st.sampled_from(["float32", "float64"]))
def test_gradients_flow_through_to_the_image(seed, dtype):
    """For D(x) = sum(x^2) / 2 the gradient is the noisy image itself."""
    x = mg.tensor(np.random.default_rng(seed).normal(size=(3, 2)).astype(dtype), requires_grad=True)
    seen = Seen()
    noisy = InstanceNoise(lambda x: (seen(x), (x * x).sum(axis=1) / 2)[1], 0.5, rng=seed)
    dx = mg.grad(noisy(x).sum(), x)
    assert dx.dtype == seen.given[0].dtype == dtype
    np.testing.assert_allclose(dx.numpy(), seen.given[0].numpy(), rtol=1e-6)  # float32: x / 2 + x / 2


def test_each_call_draws_anew_and_a_seed_draws_the_same():
    x, runs = mg.tensor(np.zeros((2, 3), "float32")), []
    for _ in range(2):
        seen = Seen()
        noisy = InstanceNoise(seen, 1.0, rng=4)
        runs.append([noisy(x) is None or seen.given[0].numpy().copy() for _ in range(2)])
    assert (runs[0][0] != runs[0][1]).all()
    np.testing.assert_array_equal(runs[0], runs[1])


def test_there_is_none_in_evaluation_nor_with_sigma_0():
    x, d = mg.tensor(np.ones((2, 3), "float32")), mg.nn.Dense(3, 1, rng=0)
    rng = np.random.default_rng(0)
    noisy, plain = InstanceNoise(d, 1.0, rng=rng), d(x).numpy()
    assert (noisy(x).numpy() != plain).all()
    drawn = rng.bit_generator.state
    np.testing.assert_array_equal(noisy.eval()(x).numpy(), plain)
    assert not d.training
    noisy.train().sigma = 0
    np.testing.assert_array_equal(noisy(x).numpy(), plain)
    assert rng.bit_generator.state == drawn  # so that a run that ends its noise goes on as one without


def test_what_stands_beside_the_image_is_passed_on():
    seen = Seen()
    InstanceNoise(seen, 0.1, rng=0)(mg.tensor([[1.0]]), "label")
    assert seen.given[1:] == ("label",)


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf")])
def test_a_sigma_out_of_range_is_named(sigma):
    with pytest.raises(ValueError, match=f"at least 0 and finite, got {sigma}"):
        InstanceNoise(Seen(), sigma)
    noisy = InstanceNoise(Seen(), 0.5)
    with pytest.raises(ValueError, match=f"at least 0 and finite, got {sigma}"):
        noisy.sigma = sigma
    assert noisy.sigma == 0.5
