"""The adversarial step against the game it stands for, with every loss and every penalty."""

from functools import partial
from itertools import product

import numpy as np
import pytest

import minigan as mg
from minigan.gan import InstanceNoise
from minigan.gan.losses import LOSSES
from minigan.gan.penalties import PENALTIES
from minigan.nn import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    SpectralNorm,
    Tanh,
)
from minigan.optim import Adam
from minigan.testing import STRICT

SETTINGS = list(product(LOSSES.values(), [None, *PENALTIES.values()]))
NAMES = [f"{loss.name}, {penalty.name if penalty else 'no penalty'}" for loss, penalty in SETTINGS]


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


def players(dtype="float64", norm=True):
    rng = np.random.default_rng(0)
    g = Sequential(Dense(3, 8, rng=rng), BatchNorm(8), Tanh(), Dense(8, 4, rng=rng))
    d = Sequential(Dense(4, 8, rng=rng), *[BatchNorm(8)] * norm, LeakyReLU(0.2), Dense(8, 1, rng=rng))
    for _, t in [*g.named_state(), *d.named_state()]:
        t.data = t.data.astype(dtype)
    return g, d


def batches():
    real, z = np.random.default_rng(1).normal(size=(2, 6, 4))
    return mg.tensor(real), mg.tensor(z[:, :3])


def options(loss, penalty):
    """The step's, with epsilon from a seed, so that each call draws the same."""
    return {"paired": loss.paired, "penalty": penalty and partial(penalty, rng=3)}


@pytest.mark.parametrize(("loss", "penalty"), SETTINGS, ids=NAMES)
def test_the_step_is_the_game_played_in_turn(loss, penalty):
    """D moves by its own loss's gradient; then G by its loss's gradient through the whole of the new D."""
    real, z = batches()
    g, d = players(norm=penalty is None)
    optimizers = SGD(g.parameters()), SGD(d.parameters())
    turns = mg.gan.adversarial_step(
        g, d, *optimizers, real, z, loss.discriminator, loss.generator, **options(loss, penalty)
    )

    g2, d2 = players(norm=penalty is None)
    params = d2.parameters()
    fake = g2(z)
    loss_d = loss.discriminator(d2(real), d2(fake))
    if penalty:
        loss_d = loss_d + penalty(d2, real, fake, rng=3)
    for p, dp in zip(params, mg.grad(loss_d, params), strict=True):
        p.assign_(p.numpy() - dp.numpy())
    params = g2.parameters()
    loss_g = loss.generator(d2(g2(z)), *([d2(real)] * loss.paired))
    for p, dp in zip(params, mg.grad(loss_g, params), strict=True):  # end to end, without stopping at the image
        p.assign_(p.numpy() - dp.numpy())
    for ours, theirs in zip(
        [*turns, *g.parameters(), *d.parameters()], [loss_d, loss_g, *g2.parameters(), *d2.parameters()], strict=True
    ):
        # the same float64 operations, but for the order of a few sums
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gs_turn_computes_nothing_for_ds_weights(loss, monkeypatch):
    g, d = players()
    real, z = batches()
    opt_g, opt_d = SGD(g.parameters()), SGD(d.parameters())
    held = []
    monkeypatch.setattr(opt_d, "step", lambda: held.append([p.grad for p in d.parameters()]))
    mg.gan.adversarial_step(g, d, opt_g, opt_d, real, z, loss.discriminator, loss.generator, paired=loss.paired)
    assert all(p.grad is kept for p, kept in zip(d.parameters(), held[0], strict=True))  # untouched since D's own turn


def test_ds_turn_leaves_g_alone_and_may_come_several_times():
    """Two turns of D and one of G, by hand and by the functions."""
    loss = LOSSES["hinge"]
    real, z = batches()
    g, d = players()
    opt_g, opt_d = SGD(g.parameters()), SGD(d.parameters())
    fake = g(z)
    for _ in range(2):
        mg.gan.discriminator_step(d, opt_d, real, fake, loss.discriminator)
        assert all(p.grad is None for p in g.parameters())
    before = d.state_dict()
    mg.gan.generator_step(d, opt_g, fake, loss.generator)

    g2, d2 = players()
    fake = g2(z)
    for _ in range(2):
        params = d2.parameters()
        grads = mg.grad(loss.discriminator(d2(real), d2(fake)), params, retain_graph=True)
        for p, dp in zip(params, grads, strict=True):
            p.assign_(p.numpy() - dp.numpy())
    for name, value in d2.state_dict().items():
        np.testing.assert_array_equal(before[name], value)
    for name, p in d.named_parameters():
        np.testing.assert_array_equal(p.numpy(), before[name])  # G's turn moved nothing of D
    assert all(p.grad is not None for p in g.parameters())


def test_in_gs_turn_the_real_logits_are_constants():
    """So that nothing is kept of how D came to them."""
    (g, d), (real, z), seen = players(), batches(), []
    loss = lambda fake, real: seen.append((fake, real)) or LOSSES["relativistic"].generator(fake, real)
    mg.gan.generator_step(d, SGD(g.parameters()), g(z), loss, real)
    (fake_logits, real_logits), expected = seen[0], d(real).numpy()
    assert fake_logits.requires_grad
    assert not real_logits.requires_grad
    np.testing.assert_array_equal(real_logits.numpy(), expected)


def test_a_turn_forgets_what_was_learned_before():
    loss, (g, d), (real, z) = LOSSES["wasserstein"], players(), batches()
    grads = []
    for _ in range(2):
        opt_g, opt_d = SGD(g.parameters()), SGD(d.parameters())
        opt_g.step = opt_d.step = lambda: None
        mg.gan.discriminator_step(d, opt_d, real, g(z), loss.discriminator)
        mg.gan.generator_step(d, opt_g, g(z), loss.generator)
        grads.append([p.grad.numpy() for p in (*g.parameters(), *d.parameters())])
    for first, second in zip(*grads, strict=True):
        np.testing.assert_array_equal(first, second)


# -- on images, as they are trained ---------------------------------------------------------------------------------


def conv_players(spectral):
    rng = np.random.default_rng(0)
    wrapped = partial(SpectralNorm, rng=rng) if spectral else lambda layer: layer
    g = Sequential(
        Dense(5, 2 * 3 * 3, rng=rng), Reshape(2, 3, 3), BatchNorm(2), ReLU(),
        ConvTranspose2d(2, 1, 4, stride=2, padding=1, rng=rng), Tanh(),
    )  # fmt: skip
    d = Sequential(
        wrapped(Conv2d(1, 3, 4, stride=2, padding=1, rng=rng)), LeakyReLU(0.2), Flatten(),
        wrapped(Dense(3 * 3 * 3, 1, rng=rng)),
    )  # fmt: skip
    return g, d


def played(loss, penalty, spectral):
    """The losses of two steps on images with all that D can be given."""
    g, d = conv_players(spectral)
    noisy = InstanceNoise(d, sigma=0.1, rng=0)
    optimizers = [Adam(player.parameters(), 1e-3, (0.5, 0.999)) for player in (g, d)]
    before = [p.numpy().copy() for p in (*g.parameters(), *d.parameters())]
    rng = np.random.default_rng(1)
    real, z = (mg.tensor(rng.normal(size=s).astype("float32")) for s in ((4, 1, 6, 6), (4, 5)))
    reads = STRICT.host_reads
    turns = [
        mg.gan.adversarial_step(
            g, noisy, *optimizers, real, z, loss.discriminator, loss.generator, **options(loss, penalty)
        )
        for _ in range(2)
    ]
    assert STRICT.host_reads == reads
    weights = [(p, old) for p, old in zip((*g.parameters(), *d.parameters()), before, strict=True) if p.ndim > 1]
    assert not [p for p, old in weights if np.array_equal(p.numpy(), old)]  # D's last bias may cancel
    return np.array([[t.item() for t in turn] for turn in turns])


@pytest.mark.parametrize(("loss", "penalty"), SETTINGS, ids=NAMES)
@pytest.mark.parametrize("spectral", [False, True], ids=["plain", "spectral norm"])
def test_every_loss_with_every_penalty_trains_and_the_host_reads_nothing(loss, penalty, spectral):
    turns = played(loss, penalty, spectral)
    assert np.isfinite(turns).all()
    with mg.backend("strict"):
        # float32 kernels that sum in another order, through two steps of Adam, which divides by small gradients' size
        np.testing.assert_allclose(played(loss, penalty, spectral), turns, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model", mg.gan.models.MODELS)
def test_networks_take_latents_to_images_to_logits(model):
    g, d = mg.gan.models.build(model, rng=0)
    images = g(np.zeros((2, 100), "float32") + np.arange(2, dtype="float32")[:, None])
    assert images.shape == (2, 1, 28, 28)
    assert images.dtype == np.float32
    assert np.abs(images.numpy()).max() <= 1
    assert d(images).shape == (2, 1)
