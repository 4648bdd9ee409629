"""The gradient penalty: its closed form for a linear critic, its own gradient, and the norm that has none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigan as mg
from minigan.errors import MissingGradient, ShapeError
from minigan.gan import gradient_penalty

seeds = st.integers(0, 2**32 - 1)


def samples(rng, n, shape):
    return (mg.tensor(rng.normal(size=(n, *shape))) for _ in range(2))


def critic_of(w, v):
    """v tanh(W x): smooth, and of another gradient at every x."""
    return lambda x: (x.reshape(x.shape[0], -1) @ w).tanh() @ v


@given(seeds, st.integers(1, 4), st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_a_linear_critic_has_the_same_norm_everywhere(seed, n, shape):
    rng = np.random.default_rng(seed)
    real, fake = samples(rng, n, shape)
    w = rng.normal(size=shape)
    w *= rng.uniform(0, 3) / np.linalg.norm(w)
    critic = lambda x: (x * w).sum(axis=tuple(range(1, x.ndim)))
    # float64: a root, a square and a few sums of numbers below 10
    expected = (np.linalg.norm(w) - 1) ** 2
    np.testing.assert_allclose(gradient_penalty(critic, real, fake, rng=seed).item(), expected, rtol=1e-12, atol=1e-12)


@given(seeds, st.integers(1, 4), st.integers(1, 3))
def test_epsilon_says_where_between_real_and_fake(seed, n, inputs):
    """For D(x) = sum(x^2) / 2 the gradient is x itself."""
    rng = np.random.default_rng(seed)
    real, fake = samples(rng, n, (inputs,))
    epsilon = rng.random(n)
    x = epsilon[:, None] * real.numpy() + (1 - epsilon[:, None]) * fake.numpy()
    penalty = gradient_penalty(lambda x: (x * x).sum(axis=1) / 2, real, fake, epsilon=epsilon)
    # float64, as above
    np.testing.assert_allclose(penalty.item(), ((np.linalg.norm(x, axis=1) - 1) ** 2).mean(), rtol=1e-12, atol=1e-12)


@settings(max_examples=30)
@given(seeds, st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_its_gradient_is_that_of_differences(seed, n, inputs, hidden):
    rng = np.random.default_rng(seed)
    real, fake = samples(rng, n, (inputs,))
    weights = [rng.normal(size=(inputs, hidden)), rng.normal(size=hidden)]

    def penalty(*values):
        return gradient_penalty(critic_of(*values), real, fake, rng=seed)

    leaves = [mg.tensor(a, requires_grad=True) for a in weights]
    grads = mg.grad(penalty(*leaves), leaves)
    along = [rng.normal(size=a.shape) for a in weights]
    h = 1e-6
    ends = [penalty(*(mg.tensor(a + s * h * t) for a, t in zip(weights, along, strict=True))).item() for s in (1, -1)]
    slope = sum(float((g.numpy() * t).sum()) for g, t in zip(grads, along, strict=True))
    # central differences: h^2 times a third derivative, and the values' last digits over h, on slopes of up to 100
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * h), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_of_zero_has_norm_0_and_teaches_nothing(dtype):
    """A ReLU that never fires: the root's slope there is infinite, and must not come out as NaN."""
    real, fake = (mg.tensor(np.full((3, 2), value, dtype)) for value in (-1.0, -2.0))
    w = mg.tensor(np.ones(2, dtype), requires_grad=True)
    penalty = gradient_penalty(lambda x: mg.ops.relu(x) @ w, real, fake, rng=0)
    assert penalty.item() == 1.0
    assert penalty.dtype == dtype
    assert not mg.grad(penalty, w).numpy().any()


def test_what_is_not_finite_stays_so():
    x = mg.tensor(np.ones((2, 3)))
    assert np.isnan(gradient_penalty(lambda x: (x * np.nan).sum(axis=1), x, x, rng=0).item())


def test_nothing_flows_to_the_samples():
    real, fake = (mg.tensor(np.ones((2, 3)) * k, requires_grad=True) for k in (1, 2))
    w = mg.tensor(np.ones(3), requires_grad=True)
    gradient_penalty(lambda x: (x * x) @ w, real, fake, rng=0).backward()
    assert w.grad is not None
    assert real.grad is None
    assert fake.grad is None


def test_a_seed_draws_the_same_epsilon():
    real, fake = samples(np.random.default_rng(0), 4, (3,))
    values = [gradient_penalty(lambda x: (x * x).sum(axis=1), real, fake, rng=rng).item() for rng in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


def test_a_mistake_says_what_was_given():
    x, critic = mg.tensor(np.ones((2, 3))), lambda x: x.sum(axis=1)
    with pytest.raises(ShapeError, match=r"one by one, got \(2, 3\) and \(1, 3\)"):
        gradient_penalty(critic, x, mg.tensor(np.ones((1, 3))))
    with pytest.raises(ShapeError, match="got 3 for 2 samples"):
        gradient_penalty(critic, x, x, epsilon=[0.1, 0.2, 0.3])
    with pytest.raises(MissingGradient, match="not on any path"):
        gradient_penalty(lambda x: mg.tensor(np.ones(2), requires_grad=True) * 2, x, x)


def test_dcgans_critic_treats_samples_apart():
    """Without batch norm, and so with a bias at every layer."""
    critic = mg.gan.models.dcgan28_critic(rng=0, width=2)
    assert [p.ndim for p in critic.parameters()] == [4, 1, 4, 1, 2, 1]
    x = np.random.default_rng(0).uniform(-1, 1, (3, 1, 28, 28)).astype("float32")
    together = critic(mg.tensor(x)).numpy()
    alone = [critic(mg.tensor(x[i : i + 1])).numpy() for i in range(3)]
    # float32 sums in an order that may depend on the batch; values here are about 1e-3
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-4, atol=1e-8)
