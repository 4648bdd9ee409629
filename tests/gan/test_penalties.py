"""The penalties: their closed forms for linear and quadratic critics, their own gradients, and the norm that has none."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigan as mg
from minigan.errors import MissingGradient, ShapeError
from minigan.gan import gradient_penalty, penalties
from minigan.gan.penalties import PENALTIES
from minigan.testing import check_grads

seeds = st.integers(0, 2**32 - 1)


named = pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)


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


@given(seeds, st.integers(1, 4), st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_r1_and_r2_are_the_mean_square_of_the_gradient_where_they_look(seed, n, shape):
    """For D(x) = <w, x> that is ||w||^2 everywhere, for D(x) = sum(a x^2) / 2 it is the mean of ||a x||^2."""
    rng = np.random.default_rng(seed)
    real, fake = samples(rng, n, shape)
    w = mg.tensor(rng.normal(size=shape), requires_grad=True)
    axes = tuple(range(1, 1 + len(shape)))
    linear, quadratic = (lambda x: (x * w).sum(axis=axes)), (lambda x: (x * x * w).sum(axis=axes) / 2)
    # float64: a few sums and products of numbers below 10
    close = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12)
    for penalty, x in ((penalties.r1, real), (penalties.r2, fake)):
        close(penalty(linear, x).item(), (w.numpy() ** 2).sum())
        close(mg.grad(penalty(linear, x), w).numpy(), 2 * w.numpy())
        ax = w.numpy() * x.numpy()
        close(penalty(quadratic, x).item(), (ax**2).sum(axis=axes).mean())
        close(mg.grad(penalty(quadratic, x), w).numpy(), (2 * ax * x.numpy()).mean(axis=0))


@named
@given(st.data())
def test_the_names_give_the_published_sums(penalty, data):
    """lambda E[(||grad|| - 1)^2], gamma / 2 E[||grad||^2]; lambda 10 and gamma 1 when nothing is said."""
    rng = np.random.default_rng(data.draw(seeds))
    real, fake = samples(rng, 3, (2,))
    critic = critic_of(rng.normal(size=(2, 4)), rng.normal(size=4))
    r1, r2 = penalties.r1(critic, real).item(), penalties.r2(critic, fake).item()
    default, term = {
        "wgan-gp": (10, gradient_penalty(critic, real, fake, rng=5).item()),
        "r1": (1, r1 / 2),
        "r2": (1, r2 / 2),
        "r1+r2": (1, (r1 + r2) / 2),
    }[penalty.name]
    # float64: two roundings more
    np.testing.assert_allclose(penalty(critic, real, fake, rng=5).item(), default * term, rtol=1e-14)
    weight = data.draw(st.floats(0, 100))
    np.testing.assert_allclose(penalty(critic, real, fake, weight, 5).item(), weight * term, rtol=1e-14)


@named
@settings(max_examples=10)
@given(seeds, st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_its_gradients_are_those_of_differences(penalty, seed, n, inputs, hidden):
    """By the critic's weights, to the second order."""
    rng = np.random.default_rng(seed)
    real, fake = samples(rng, n, (inputs,))
    weights = rng.normal(size=(inputs, hidden)), rng.normal(size=hidden)
    check_grads(lambda *values: penalty(critic_of(*values), real, fake, rng=seed), *weights, order=2, rng=seed)


@named
@pytest.mark.parametrize("spectral", [False, True], ids=["plain", "spectral norm"])
def test_its_gradients_through_convolutions_and_spectral_norm(penalty, spectral):
    rng = np.random.default_rng(0)
    real, fake = samples(rng, 3, (2, 4, 4))
    wrapped = (lambda layer: mg.nn.SpectralNorm(layer, rng=1)) if spectral else lambda layer: layer
    critic = mg.nn.Sequential(
        wrapped(mg.nn.Conv2d(2, 3, 4, stride=2, padding=1, rng=2)), mg.nn.Tanh(), mg.nn.Flatten(),
        wrapped(mg.nn.Dense(12, 1, rng=3)),
    ).eval()  # so that spectral norm's vectors stay the same  # fmt: skip
    for _, t in critic.named_state():
        t.data = t.data.astype("float64")
    layers = critic[0], critic[3]
    inner = [layer.layer if spectral else layer for layer in layers]

    def of(*weights):
        held = [layer.weight for layer in inner]
        for layer, weight in zip(inner, weights, strict=True):
            layer.weight = weight
        try:
            return penalty(critic, real, fake, rng=4)
        finally:
            for layer, weight in zip(inner, held, strict=True):
                layer.weight = weight

    check_grads(of, *(layer.weight.numpy() for layer in inner))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_of_zero_has_norm_0_and_teaches_nothing(dtype):
    """A ReLU that never fires: the root's slope there is infinite, and must not come out as NaN."""
    real, fake = (mg.tensor(np.full((3, 2), value, dtype)) for value in (-1.0, -2.0))
    w = mg.tensor(np.ones(2, dtype), requires_grad=True)
    penalty = gradient_penalty(lambda x: mg.ops.relu(x) @ w, real, fake, rng=0)
    assert penalty.item() == 1.0
    assert penalty.dtype == dtype
    assert not mg.grad(penalty, w).numpy().any()
    for squared in (penalties.r1, penalties.r2):
        penalty = squared(lambda x: mg.ops.relu(x) @ w, real)
        assert penalty.item() == 0.0
        assert penalty.dtype == dtype
        assert not mg.grad(penalty, w).numpy().any()


@named
def test_what_is_not_finite_stays_so(penalty):
    x = mg.tensor(np.ones((2, 3)))
    assert np.isnan(penalty(lambda x: (x * np.nan).sum(axis=1), x, x, rng=0).item())


@named
def test_nothing_flows_to_the_samples(penalty):
    real, fake = (mg.tensor(np.ones((2, 3)) * k, requires_grad=True) for k in (1, 2))
    w = mg.tensor(np.ones(3), requires_grad=True)
    penalty(lambda x: (x * x) @ w, real, fake, rng=0).backward()
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


@named
def test_batch_norm_in_training_is_refused_with_the_reason(penalty):
    """Wherever it stands; in evaluation it treats samples apart, and a function is taken at its word."""
    norm = mg.nn.BatchNorm(3)
    critic = mg.nn.Sequential(mg.nn.Sequential(mg.nn.Dense(3, 3, rng=0), norm), mg.nn.Dense(3, 1, rng=0))
    x = mg.tensor(np.random.default_rng(0).normal(size=(4, 3)).astype("float32"))
    before = critic.state_dict()
    for refused in (critic, mg.gan.InstanceNoise(critic, 0.1, rng=0)):
        with pytest.raises(ValueError, match=r"BatchNorm\(3, .* depend on the whole batch; take a critic without"):
            penalty(refused, x, x, rng=0)
    assert all((before[name] == value).all() for name, value in critic.state_dict().items())
    assert np.isfinite(penalty(critic.forward, x, x, rng=0).item())
    assert np.isfinite(penalty(critic.eval(), x, x, rng=0).item())


def test_dcgans_critic_treats_samples_apart():
    """Without batch norm, and so with a bias at every layer."""
    critic = mg.gan.models.dcgan28_critic(rng=0, width=2)
    assert [p.ndim for p in critic.parameters()] == [4, 1, 4, 1, 2, 1]
    x = np.random.default_rng(0).uniform(-1, 1, (3, 1, 28, 28)).astype("float32")
    together = critic(mg.tensor(x)).numpy()
    alone = [critic(mg.tensor(x[i : i + 1])).numpy() for i in range(3)]
    # float32 sums in an order that may depend on the batch; values here are about 1e-3
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-4, atol=1e-8)
