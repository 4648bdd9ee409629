"""The losses against their definitions, written once more in NumPy, and against what the theory says of them."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.errors import ShapeError
from minigan.gan import losses
from minigan.gan.losses import LOSSES
from minigan.testing import check_grads

logits = st.lists(st.floats(-15, 15), min_size=1, max_size=6).map(lambda v: np.array(v)[:, None])
pairs = st.lists(st.tuples(st.floats(-15, 15), st.floats(-15, 15)), min_size=1, max_size=6).map(
    lambda v: tuple(np.array(v).T[:, :, None])
)
seeds = st.integers(0, 2**32 - 1)
named = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
unwarned = pytest.mark.filterwarnings("ignore:bce_with_logits takes logits")  # where drawn ones lie in [0, 1]


def sigma(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(real, fake, t=0.9):
    return -np.mean(t * np.log(sigma(real)) + (1 - t) * np.log(1 - sigma(real))) - np.mean(np.log(1 - sigma(fake)))


# What each loss is, of the discriminator and of the generator, and the slopes at every logit: of the discriminator by the
# real and the generated ones, of the generator by the generated ones. With cross-entropy's target at its default, 0.9.
DEFINITIONS = {
    "minimax": (cross_entropy, lambda f, r: np.mean(np.log(1 - sigma(f)))),
    "non-saturating": (cross_entropy, lambda f, r: -np.mean(np.log(sigma(f)))),
    "least-squares": (
        lambda r, f: np.mean((r - 1) ** 2) / 2 + np.mean(f**2) / 2,
        lambda f, r: np.mean((f - 1) ** 2) / 2,
    ),
    "hinge": (
        lambda r, f: np.mean(np.maximum(0, 1 - r)) + np.mean(np.maximum(0, 1 + f)),
        lambda f, r: -np.mean(f),
    ),
    "wasserstein": (lambda r, f: np.mean(f) - np.mean(r), lambda f, r: -np.mean(f)),
    "relativistic": (
        lambda r, f: np.mean(np.log(1 + np.exp(-(r - f)))),
        lambda f, r: np.mean(np.log(1 + np.exp(-(f - r)))),
    ),
}
SLOPES = {
    "minimax": (lambda r, f: (sigma(r) - 0.9, sigma(f)), lambda f, r: -sigma(f)),
    "non-saturating": (lambda r, f: (sigma(r) - 0.9, sigma(f)), lambda f, r: sigma(f) - 1),
    "least-squares": (lambda r, f: (r - 1, f), lambda f, r: f - 1),
    "hinge": (lambda r, f: (-1.0 * (r < 1), 1.0 * (f > -1)), lambda f, r: -np.ones_like(f)),
    "wasserstein": (lambda r, f: (-np.ones_like(r), np.ones_like(f)), lambda f, r: -np.ones_like(f)),
    "relativistic": (lambda r, f: (-sigma(f - r), sigma(f - r)), lambda f, r: -sigma(r - f)),
}


def generators(loss, fake, real):
    return loss.generator(fake, real) if loss.paired else loss.generator(fake)


def test_the_names_are_the_command_lines():
    assert list(LOSSES) == list(DEFINITIONS) == list(SLOPES)
    assert [name for name, loss in LOSSES.items() if loss.paired] == ["relativistic"]


@unwarned
@named
@given(pairs)
def test_losses_are_their_definitions(loss, pair):
    real, fake = pair
    # the definitions on probabilities lose digits near 0 and 1: at |logit| 15, 1 - sigma is 3e-7 with error 1e-16; those
    # on differences see up to 30, where log(1 + exp(-30)) rounds to an error of 1e-16 as well
    close = partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-8)
    of_d, of_g = DEFINITIONS[loss.name]
    close(loss.discriminator(mg.tensor(real), mg.tensor(fake)).item(), of_d(real, fake))
    close(generators(loss, mg.tensor(fake), mg.tensor(real)).item(), of_g(fake, real))


@unwarned
@named
@given(pairs)
def test_slopes_are_their_definitions(loss, pair):
    real, fake = (mg.tensor(a, requires_grad=True) for a in pair)
    n = len(pair[0])
    of_d, of_g = SLOPES[loss.name]
    # float64: a sigmoid or a difference of numbers up to 15, divided by n
    close = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-14)
    slopes = mg.grad(loss.discriminator(real, fake), [real, fake])
    for slope, expected in zip(slopes, of_d(*pair), strict=True):
        close(slope.numpy(), expected / n)
    close(mg.grad(generators(loss, fake, real), fake).numpy(), of_g(pair[1], pair[0]) / n)


@unwarned
@named
@given(seeds)
def test_derivatives_of_the_second_order(loss, seed):
    rng = np.random.default_rng(seed)
    middles = rng.choice([-2.0, 0.0, 2.0], (2, 4, 1))
    real, fake = middles + rng.uniform(-0.9, 0.9, (2, 4, 1))  # the hinge bends at 1 and -1
    check_grads(loss.discriminator, real, fake, order=2, rng=seed)
    check_grads(loss.generator, *((fake, real) if loss.paired else (fake,)), order=2, rng=seed)


@unwarned
@given(logits, logits, st.sampled_from([0.7, 0.9, 1.0]))
def test_smoothing_is_the_target_of_real_images(real, fake, t):
    # as above
    close = partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-8)
    close(losses.discriminator(mg.tensor(real), mg.tensor(fake), smoothing=t).item(), cross_entropy(real, fake, t))
    for name in ("minimax", "non-saturating"):
        smoothed = LOSSES[name].smoothed(t)
        assert smoothed.generator is LOSSES[name].generator
        close(smoothed.discriminator(mg.tensor(real), mg.tensor(fake)).item(), cross_entropy(real, fake, t))


def test_smoothing_is_one_sided():
    real, fake = mg.tensor([[0.3]], requires_grad=True), mg.tensor([[-0.4]], requires_grad=True)
    smooth = mg.grad(losses.discriminator(real, fake, smoothing=0.8), [real, fake])
    plain = mg.grad(losses.discriminator(real, fake, smoothing=1.0), [real, fake])
    assert smooth[0].item() != plain[0].item()
    assert smooth[1].item() == plain[1].item()


@named
def test_smoothing_is_refused_where_it_means_nothing(loss):
    if loss.name not in ("minimax", "non-saturating"):
        assert loss.smoothed(1.0) is loss  # no smoothing
        with pytest.raises(
            ValueError, match=rf"\(minimax and non-saturating\), the {loss.name} loss has none, got 0.9"
        ):
            loss.smoothed(0.9)
    for target in (0.0, -0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="smoothing must be above 0 and at most 1"):
            loss.smoothed(target)


def test_a_relativistic_loss_pairs_equal_batches_only():
    a, b = mg.tensor(np.ones((3, 1))), mg.tensor(np.ones((1, 1)))
    for loss in (losses.relativistic_discriminator, losses.relativistic_generator):
        with pytest.raises(ShapeError, match="give equal batches"):
            loss(a, b)
        with pytest.raises(ShapeError, match=r"\(3, 1\)"):
            loss(b, a)


# -- theory: over images of a finite world, where real and generated ones have the densities p and q ------------------


@given(seeds)
def test_the_best_discriminator_has_the_logit_log_p_over_q(seed):
    """Goodfellow et al. (2014), proposition 1: there the gradient is 0, and the loss log 4 - 2 JS(p, q)."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 9, (2, 5))  # images of each kind
    p, q = (n / n.sum() for n in counts)
    best = mg.tensor(np.log(p / q), requires_grad=True)
    real, fake = (best[np.repeat(np.arange(5), n)] for n in counts)
    loss = losses.discriminator(real, fake, smoothing=1.0)
    mixed = (p + q) / 2
    divergence = (np.sum(p * np.log(p / mixed)) + np.sum(q * np.log(q / mixed))) / 2
    # float64: sums of at most 40 numbers below 3
    np.testing.assert_allclose(loss.item(), np.log(4) - 2 * divergence, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mg.grad(loss, best).numpy(), 0, atol=1e-14)


@given(seeds)
def test_the_best_discriminator_of_least_squares_is_p_over_p_plus_q(seed):
    """Mao et al. (2017), equation 5 with a = 0 and b = 1."""
    counts = np.random.default_rng(seed).integers(1, 9, (2, 5))
    p, q = (n / n.sum() for n in counts)
    best = mg.tensor(p / (p + q), requires_grad=True)
    real, fake = (best[np.repeat(np.arange(5), n)] for n in counts)
    slope = mg.grad(losses.least_squares_discriminator(real, fake), best)
    np.testing.assert_allclose(slope.numpy(), 0, atol=1e-14)  # float64: sums of at most 8 numbers below 1


@given(pairs, st.floats(-10, 10))
def test_a_relativistic_loss_sees_differences_alone(pair, shift):
    real, fake = pair
    d, g = losses.relativistic_discriminator, losses.relativistic_generator
    moved = mg.tensor(real + shift), mg.tensor(fake + shift)
    # float64: logits up to 25, whose sums with the shift round to 4e-15 each
    close = partial(np.testing.assert_allclose, rtol=0, atol=1e-13)
    close(d(*moved).item(), d(mg.tensor(real), mg.tensor(fake)).item())
    close(g(*moved[::-1]).item(), g(mg.tensor(fake), mg.tensor(real)).item())
    assert d(*moved).item() == g(*moved).item()  # the players want the same with the roles exchanged


# -- size ---------------------------------------------------------------------------------------------------------


@named
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("high", "low"), [(1e4, -1e4), (-1e4, 1e4)])
def test_extreme_logits_stay_finite(loss, high, low, dtype):
    real, fake = (mg.tensor(np.full((2, 1), v, dtype), requires_grad=True) for v in (high, low))
    for value, inputs in (
        (loss.discriminator(real, fake), [real, fake]),
        (generators(loss, fake, real.detach()), [fake]),
    ):
        assert value.dtype == dtype
        assert np.isfinite(value.item())
        for slope in mg.grad(value, inputs):
            assert slope.dtype == dtype
            assert np.isfinite(slope.numpy()).all()


@pytest.mark.parametrize(
    ("loss", "fake", "expected"),
    [
        (losses.non_saturating, 80.0, np.exp(-80.0)),
        (losses.minimax, -80.0, -np.exp(-80.0)),
        (lambda fake: losses.relativistic_generator(fake, mg.tensor([0.0])), 80.0, np.exp(-80.0)),
    ],
)
def test_the_small_loss_of_a_confident_logit_is_not_rounded_away(loss, fake, expected):
    # log1p(exp(-80)) in float32: one rounding of exp, and one of log1p
    np.testing.assert_allclose(loss(mg.tensor([fake])).item(), expected, rtol=1e-6)
