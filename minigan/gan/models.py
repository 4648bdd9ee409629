"""The networks: the fully connected GAN, and DCGAN for any size that halves evenly.

Each is a recipe first, its layers not yet made, so that `minigan.gan.planner` can tell their shapes without any weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from minigan.backends import random
from minigan.errors import RunError, ShapeError
from minigan.gan.conditional import CODE, CONDITIONS, Concatenation, ConditionalGenerator, Projection
from minigan.nn import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LeakyReLU,
    Module,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
    init,
)

LATENT = 100
Rng = random.Generator | int | None
Layer = partial[Any]  # a call that makes a module
Recipe = Iterable[Layer]


def _made(recipe: Recipe, rng: Rng) -> Sequential:
    """The recipe's layers, drawn from one generator in their order."""
    rng = random.generator(rng)
    drawn = (Dense, Conv2d, ConvTranspose2d)
    return Sequential(*(layer(rng=rng) if layer.func in drawn else layer() for layer in recipe))


def _dcgan(recipe: Recipe, rng: Rng) -> Sequential:
    """The recipe's layers with Radford's weights."""
    rng = random.generator(rng)
    layers = _made(recipe, rng)
    init.dcgan(layers, rng=rng)
    return layers


def _mlp_generator(size: int, channels: int, width: int, latent: int = LATENT) -> Recipe:
    _check(size=size, channels=channels, width=width, latent=latent)
    yield partial(Dense, latent, 4 * width)
    yield partial(LeakyReLU, 0.2)
    yield partial(Dense, 4 * width, 8 * width)
    yield partial(LeakyReLU, 0.2)
    yield partial(Dense, 8 * width, channels * size * size)
    yield partial(Tanh)
    yield partial(Reshape, channels, size, size)


def _mlp_discriminator(size: int, channels: int, width: int) -> Recipe:
    _check(size=size, channels=channels, width=width)
    yield partial(Flatten)
    yield partial(Dense, channels * size * size, 8 * width)
    yield partial(LeakyReLU, 0.2)
    yield partial(Dense, 8 * width, 4 * width)
    yield partial(LeakyReLU, 0.2)
    yield partial(Dense, 4 * width, 1)


def _dcgan_generator(size: int, channels: int, width: int, latent: int = LATENT) -> Recipe:
    """(latent,) -> (2^(n - 1) width, base, base), then n levels that double the side and halve the channels."""
    _check(channels=channels, width=width, latent=latent)
    base, n = levels(size)
    wide = width << (n - 1)
    yield partial(Dense, latent, base * base * wide, bias=False)
    yield partial(Reshape, wide, base, base)
    yield partial(BatchNorm, wide)
    yield partial(ReLU)
    while wide > width:
        yield partial(ConvTranspose2d, wide, wide // 2, 4, stride=2, padding=1, bias=False)
        yield partial(BatchNorm, wide // 2)
        yield partial(ReLU)
        wide //= 2
    yield partial(ConvTranspose2d, width, channels, 4, stride=2, padding=1)
    yield partial(Tanh)


def _dcgan_discriminator(size: int, channels: int, width: int, norm: bool = True) -> Recipe:
    """The generator's levels backwards: n that halve the side and double the channels, then one number."""
    _check(channels=channels, width=width)
    base, n = levels(size)
    yield partial(Conv2d, channels, width, 4, stride=2, padding=1)
    yield partial(LeakyReLU, 0.2)
    for wide in (width << level for level in range(n - 1)):
        yield partial(Conv2d, wide, 2 * wide, 4, stride=2, padding=1, bias=not norm)
        if norm:
            yield partial(BatchNorm, 2 * wide)
        yield partial(LeakyReLU, 0.2)
    yield partial(Flatten)
    yield partial(Dense, base * base * (width << (n - 1)), 1)


Recipes = Callable[..., Recipe]
RECIPES: dict[
    str, tuple[Callable[[Recipe, Rng], Sequential], Recipes, Recipes, Recipes]
] = {  # how it is made; generator, discriminator, and the critic, which treats samples apart
    "gan": (_made, _mlp_generator, _mlp_discriminator, _mlp_discriminator),
    "dcgan": (_dcgan, _dcgan_generator, _dcgan_discriminator, partial(_dcgan_discriminator, norm=False)),
}
MODELS = tuple(RECIPES)


def levels(size: int) -> tuple[int, int]:
    """A DCGAN's smallest side and how often it doubles: ``size = base * 2**n``, with n at least 1 and base at most 7.

    Each level is a convolution with kernel 4, stride 2 and padding 1, which halves an even side, and the transposed
    one doubles it again. So n is the first number of halvings, from 1, after which the side is at most 7, and each of
    them must start from an even side.

    Raises:
        ShapeError: a size that is halved unevenly; the message has the layer, both formulas with their numbers, and the
            nearest sizes that work.

    >>> mg.gan.models.levels(28), mg.gan.models.levels(64)
    ((7, 2), (4, 4))
    >>> mg.gan.models.levels(30)
    Traceback (most recent call last):
        ...
    minigan.errors.ShapeError: no DCGAN has 30 x 30 images: ... the nearest sizes that work are 28 and 32
    """
    _check(size=size)
    n = max(1, size.bit_length() - 3)
    base = size >> n
    if base << n == size:
        return base, n
    odd = (size & -size).bit_length()  # the convolution, counted from 1, that meets the first odd side
    side = size >> (odd - 1)
    small = side // 2
    made = f"makes P = floor(({side} + 2*1 - 1*(4 - 1) - 1)/2) + 1 = {small} of a side of {side}"
    back = (
        f"from which ConvTranspose2d {n - odd + 1} of {n} in G makes "
        f"H = ({small} - 1)*2 - 2*1 + 1*(4 - 1) + 0 + 1 = {2 * small}"
    )
    nearest = [near << n for near in (base, base + 1) if near]
    raise ShapeError(
        f"no DCGAN has {size} x {size} images: Conv2d {odd} of {n} in D {made}, {back if small else 'and nothing is left'}; "
        f"the nearest {'sizes that work are' if base else 'size that works is'} {' and '.join(map(str, nearest))}"
    )


def _check(**counts: int) -> None:
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ShapeError(f"{name} must be an integer of at least 1, got {value!r}")


def mlp_generator(
    rng: Rng = None, size: int = 28, channels: int = 1, width: int = 64, latent: int = LATENT
) -> Sequential:
    """z (N, latent) -> images (N, channels, size, size): 100-256-512-784 for digits, LeakyReLU(0.2), tanh.

    The inner layers have 4 and 8 times `width` numbers.

    >>> z = mg.tensor(np.zeros((2, 100), "float32"))
    >>> mg.gan.models.mlp_generator(rng=0)(z).shape
    (2, 1, 28, 28)
    """
    return _made(_mlp_generator(size, channels, width, latent), rng)


def mlp_discriminator(rng: Rng = None, size: int = 28, channels: int = 1, width: int = 64) -> Sequential:
    """Images (N, channels, size, size) -> logits (N, 1): 784-512-256-1 for digits, LeakyReLU(0.2).

    >>> x = mg.tensor(np.zeros((2, 1, 28, 28), "float32"))
    >>> mg.gan.models.mlp_discriminator(rng=0)(x).shape
    (2, 1)
    """
    return _made(_mlp_discriminator(size, channels, width), rng)


def dcgan_generator(size: int, channels: int = 1, width: int = 64, rng: Rng = None, latent: int = LATENT) -> Sequential:
    """z (N, latent) -> images (N, channels, size, size), through the `levels` of the size.

    Radford et al. (2016): strided transposed convolutions, batch norm but at the output, ReLU, tanh; N(0, 0.02).

    Raises:
        ShapeError: a size that is not ``base * 2**n``, as `levels` says, or a number below 1.

    >>> z = mg.tensor(np.zeros((2, 100), "float32"))
    >>> mg.gan.models.dcgan_generator(48, channels=3, width=4, rng=0)(z).shape
    (2, 3, 48, 48)
    """
    return _dcgan(_dcgan_generator(size, channels, width, latent), rng)


def dcgan_discriminator(size: int, channels: int = 1, width: int = 64, rng: Rng = None) -> Sequential:
    """Images (N, channels, size, size) -> logits (N, 1), through the `levels` of the size.

    Radford et al. (2016): strided convolutions, batch norm but at the input, LeakyReLU(0.2); N(0, 0.02).
    Errors are those of `dcgan_generator`.

    >>> x = mg.tensor(np.zeros((2, 3, 48, 48), "float32"))
    >>> mg.gan.models.dcgan_discriminator(48, channels=3, width=4, rng=0)(x).shape
    (2, 1)
    """
    return _dcgan(_dcgan_discriminator(size, channels, width), rng)


def dcgan_critic(size: int, channels: int = 1, width: int = 64, rng: Rng = None) -> Sequential:
    """Images (N, channels, size, size) -> values (N, 1): `dcgan_discriminator` without batch norm, so with biases.

    Gulrajani et al. (2017), section 4: a penalty on the gradient at each sample needs a critic that treats samples apart.
    Errors are those of `dcgan_generator`.

    >>> x = mg.tensor(np.zeros((2, 3, 48, 48), "float32"))
    >>> mg.gan.models.dcgan_critic(48, channels=3, width=4, rng=0)(x).shape
    (2, 1)
    """
    return _dcgan(_dcgan_discriminator(size, channels, width, norm=False), rng)


def dcgan28_generator(rng: Rng = None, width: int = 64) -> Sequential:
    """z (N, 100) -> images (N, 1, 28, 28), through 7x7 and 14x14: `dcgan_generator` of that size.

    >>> z = mg.tensor(np.zeros((2, 100), "float32"))
    >>> mg.gan.models.dcgan28_generator(rng=0, width=8)(z).shape
    (2, 1, 28, 28)
    """
    return dcgan_generator(28, 1, width, rng)


def dcgan28_discriminator(rng: Rng = None, width: int = 64) -> Sequential:
    """Images (N, 1, 28, 28) -> logits (N, 1), through 14x14 and 7x7: `dcgan_discriminator` of that size.

    >>> x = mg.tensor(np.zeros((2, 1, 28, 28), "float32"))
    >>> mg.gan.models.dcgan28_discriminator(rng=0, width=8)(x).shape
    (2, 1)
    """
    return dcgan_discriminator(28, 1, width, rng)


def dcgan28_critic(rng: Rng = None, width: int = 64) -> Sequential:
    """Images (N, 1, 28, 28) -> values (N, 1), through 14x14 and 7x7: `dcgan_critic` of that size.

    >>> x = mg.tensor(np.zeros((2, 1, 28, 28), "float32"))
    >>> mg.gan.models.dcgan28_critic(rng=0, width=8)(x).shape
    (2, 1)
    """
    return dcgan_critic(28, 1, width, rng)


def dcgan64_generator(rng: Rng = None, width: int = 64, channels: int = 3) -> Sequential:
    """z (N, 100) -> images (N, channels, 64, 64), through 4x4, 8x8, 16x16 and 32x32: `dcgan_generator` of that size.

    >>> z = mg.tensor(np.zeros((2, 100), "float32"))
    >>> mg.gan.models.dcgan64_generator(rng=0, width=4)(z).shape
    (2, 3, 64, 64)
    """
    return dcgan_generator(64, channels, width, rng)


def dcgan64_discriminator(rng: Rng = None, width: int = 64, channels: int = 3) -> Sequential:
    """Images (N, channels, 64, 64) -> logits (N, 1), through 32x32, 16x16, 8x8 and 4x4: `dcgan_discriminator` of that size.

    >>> x = mg.tensor(np.zeros((2, 3, 64, 64), "float32"))
    >>> mg.gan.models.dcgan64_discriminator(rng=0, width=4)(x).shape
    (2, 1)
    """
    return dcgan_discriminator(64, channels, width, rng)


def recipe(
    model: str, size: int = 28, channels: int = 1, width: int = 64, critic: bool = False, latent: int = LATENT
) -> tuple[list[Layer], list[Layer]]:
    """The layers of `build`'s generator and discriminator, each a call that has not been made.

    Raises:
        RunError: a model that there is not.
        ShapeError: a size that the model cannot have, or a number below 1.

    >>> G, D = mg.gan.models.recipe("gan")
    >>> G[0].func.__name__, G[0].args
    ('Dense', (100, 256))
    """
    if model not in MODELS:
        raise RunError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
    _, generator, *players = RECIPES[model]
    return list(generator(size, channels, width, latent)), list(players[critic](size, channels, width))


def build(
    model: str,
    rng: Rng = None,
    size: int = 28,
    channels: int = 1,
    width: int = 64,
    critic: bool = False,
    latent: int = LATENT,
    classes: int | None = None,
    condition: str = "projection",
) -> tuple[Module, Module]:
    """Generator and discriminator of the model called ``gan`` or ``dcgan``.

    Args:
        model: ``gan``, fully connected, for any size; ``dcgan``, for the sizes that have `levels`.
        rng: a generator or a seed; minigan's own generator without one.
        size: the images' side.
        channels: 1 for grey images, 3 for RGB.
        width: the outermost convolution's channels, which double at every level inwards; ``gan``'s inner layers have
            4 and 8 times as many numbers.
        critic: a discriminator without batch norm, as a penalty on the gradient at each sample needs it.
        latent: how many numbers an image is made from.
        classes: for players that are told each image's class: how many there are.
        condition: how D is told, ``projection`` or ``concatenation``, as `conditional` has them.

    Raises:
        RunError: a model or a condition that there is not.
        ShapeError: a size that the model cannot have, or a number below 1.

    >>> G, D = mg.gan.models.build("gan", rng=0)
    >>> len(G.parameters()), len(D.parameters())
    (6, 6)
    >>> G, D = mg.gan.models.build("gan", rng=0, classes=10)
    >>> G(mg.tensor(np.zeros((2, 100), "float32")), np.array([3, 7])).shape
    (2, 1, 28, 28)
    """
    rng = random.generator(rng)
    if condition not in CONDITIONS:
        raise RunError(f"condition must be one of {', '.join(CONDITIONS)}, got {condition!r}")
    told, beside = (CODE, condition == "concatenation") if classes else (0, False)
    generator, _ = recipe(model, size, channels, width, critic, latent + told)
    _, discriminator = recipe(model, size, channels + beside, width, critic)
    make, *_ = RECIPES[model]
    players = make(generator, rng), make(discriminator, rng)
    if not classes:
        return players
    told_d = Concatenation(players[1], classes, size, rng) if beside else Projection(players[1], classes, rng)
    return ConditionalGenerator(players[0], classes, rng=rng), told_d
