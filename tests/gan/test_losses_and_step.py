"""The losses against their definitions, and the adversarial step against the game it stands for."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.gan import losses

logits = st.lists(st.floats(-15, 15), min_size=1, max_size=6).map(lambda v: np.array(v)[:, None])


unwarned = pytest.mark.filterwarnings("ignore:bce_with_logits takes logits")  # where drawn ones lie in [0, 1]


def sigma(x):
    return 1 / (1 + np.exp(-x))


@unwarned
@given(logits, logits, st.sampled_from([0.7, 0.9, 1.0]))
def test_losses_are_their_definitions(real, fake, t):
    # the definitions on probabilities lose digits near 0 and 1: at |logit| 15, 1 - sigma is 3e-7 with error 1e-16
    close = partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-8)
    expected = -np.mean(t * np.log(sigma(real)) + (1 - t) * np.log(1 - sigma(real))) - np.mean(np.log(1 - sigma(fake)))
    close(losses.discriminator(mg.tensor(real), mg.tensor(fake), smoothing=t).item(), expected)
    close(losses.non_saturating(mg.tensor(fake)).item(), -np.mean(np.log(sigma(fake))))
    close(losses.minimax(mg.tensor(fake)).item(), np.mean(np.log(1 - sigma(fake))))


@unwarned
@given(logits)
def test_gradients_at_the_logit(fake):
    """Minimax vanishes where D is sure of a generated image, the non-saturating loss is strongest there."""
    x = mg.tensor(fake, requires_grad=True)
    n = len(fake)
    # sigma and its complement in float64, rounded once more each
    np.testing.assert_allclose(mg.grad(losses.non_saturating(x), x).numpy(), (sigma(fake) - 1) / n, atol=1e-15)
    np.testing.assert_allclose(mg.grad(losses.minimax(x), x).numpy(), -sigma(fake) / n, atol=1e-15)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
@pytest.mark.parametrize("loss", [losses.non_saturating, losses.minimax])
def test_extreme_logits_stay_finite(loss, logit):
    x = mg.tensor([[logit]], requires_grad=True)
    value = loss(x)
    assert np.isfinite(value.item())
    assert np.isfinite(mg.grad(value, x).item())


def test_smoothing_is_one_sided():
    real, fake = mg.tensor([[0.3]], requires_grad=True), mg.tensor([[-0.4]], requires_grad=True)
    smooth = mg.grad(losses.discriminator(real, fake, smoothing=0.8), [real, fake])
    plain = mg.grad(losses.discriminator(real, fake, smoothing=1.0), [real, fake])
    assert smooth[0].item() != plain[0].item()
    assert smooth[1].item() == plain[1].item()


class SGD:
    """w -= w.grad, so that the gradient can be read off."""

    def __init__(self, params):
        self.params = params

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    def step(self):
        for p in self.params:
            p.assign_(p.numpy() - p.grad.numpy())


def players(dtype="float64"):
    rng = np.random.default_rng(0)
    g = mg.nn.Sequential(mg.nn.Dense(3, 8, rng=rng), mg.nn.BatchNorm(8), mg.nn.Tanh(), mg.nn.Dense(8, 4, rng=rng))
    d = mg.nn.Sequential(
        mg.nn.Dense(4, 8, rng=rng), mg.nn.BatchNorm(8), mg.nn.LeakyReLU(0.2), mg.nn.Dense(8, 1, rng=rng)
    )
    for _, t in [*g.named_state(), *d.named_state()]:
        t.data = t.data.astype(dtype)
    return g, d


@pytest.mark.parametrize("g_loss", losses.GENERATOR_LOSSES.values())
def test_the_step_is_the_game_played_in_turn(g_loss):
    """D moves by its own loss's gradient; then G by its loss's gradient through the whole of the new D."""
    real, z = (mg.tensor(a) for a in np.random.default_rng(1).normal(size=(2, 6, 4)))
    z = mg.tensor(z.numpy()[:, :3])
    g, d = players()
    mg.gan.adversarial_step(g, d, SGD(g.parameters()), SGD(d.parameters()), real, z, losses.discriminator, g_loss)

    g2, d2 = players()
    params = d2.parameters()
    grads = mg.grad(losses.discriminator(d2(real), d2(g2(z))), params)
    for p, dp in zip(params, grads, strict=True):
        p.assign_(p.numpy() - dp.numpy())
    params = g2.parameters()
    grads = mg.grad(g_loss(d2(g2(z))), params)  # end to end, without stopping at the image
    for p, dp in zip(params, grads, strict=True):
        p.assign_(p.numpy() - dp.numpy())
    for ours, theirs in zip([*g.parameters(), *d.parameters()], [*g2.parameters(), *d2.parameters()], strict=True):
        # the same float64 operations, but for the order of a few sums
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-12)


def test_gs_turn_computes_nothing_for_ds_weights(monkeypatch):
    g, d = players()
    real, z = (
        mg.tensor(np.ones((4, 4)) * np.arange(4)[:, None]),
        mg.tensor(np.random.default_rng(0).normal(size=(4, 3))),
    )
    opt_g, opt_d = SGD(g.parameters()), SGD(d.parameters())
    held = []
    monkeypatch.setattr(opt_d, "step", lambda: held.append([p.grad for p in d.parameters()]))
    mg.gan.adversarial_step(g, d, opt_g, opt_d, real, z, losses.discriminator, losses.non_saturating)
    assert all(p.grad is kept for p, kept in zip(d.parameters(), held[0], strict=True))  # untouched since D's own turn


@pytest.mark.parametrize("model", mg.gan.models.MODELS)
def test_networks_take_latents_to_images_to_logits(model):
    g, d = mg.gan.models.build(model, rng=0)
    images = g(np.zeros((2, 100), "float32") + np.arange(2, dtype="float32")[:, None])
    assert images.shape == (2, 1, 28, 28)
    assert images.dtype == np.float32
    assert np.abs(images.numpy()).max() <= 1
    assert d(images).shape == (2, 1)
