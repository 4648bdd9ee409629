"""The networks: the fully connected GAN and DCGAN."""

from __future__ import annotations

from minigan.backends import random
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


def mlp_generator(rng: Rng = None) -> Sequential:
    """z (N, 100) -> images (N, 1, 28, 28): 100-256-512-784, LeakyReLU(0.2), tanh.

    >>> z = mg.tensor(np.zeros((2, 100), "float32"))
    >>> mg.gan.models.mlp_generator(rng=0)(z).shape
    (2, 1, 28, 28)
    """
    rng = random.generator(rng)
    return Sequential(
        Dense(LATENT, 256, rng=rng),
        LeakyReLU(0.2),
        Dense(256, 512, rng=rng),
        LeakyReLU(0.2),
        Dense(512, 784, rng=rng),
        Tanh(),
        Reshape(1, 28, 28),
    )


def mlp_discriminator(rng: Rng = None) -> Sequential:
    """Images (N, 1, 28, 28) -> logits (N, 1): 784-512-256-1, LeakyReLU(0.2).

    >>> x = mg.tensor(np.zeros((2, 1, 28, 28), "float32"))
    >>> mg.gan.models.mlp_discriminator(rng=0)(x).shape
    (2, 1)
    """
    rng = random.generator(rng)
    return Sequential(
        Flatten(),
        Dense(784, 512, rng=rng),
        LeakyReLU(0.2),
        Dense(512, 256, rng=rng),
        LeakyReLU(0.2),
        Dense(256, 1, rng=rng),
    )


def _larger(inputs: int, outputs: int, rng: random.Generator) -> tuple[Module, ...]:
    """One level of a DCGAN's generator: (N, inputs, H, W) -> (N, outputs, 2H, 2W)."""
    conv = ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False, rng=rng)
    return conv, BatchNorm(outputs), ReLU()


def _smaller(inputs: int, outputs: int, rng: random.Generator) -> tuple[Module, ...]:
    """One level of a DCGAN's discriminator: (N, inputs, 2H, 2W) -> (N, outputs, H, W)."""
    conv = Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False, rng=rng)
    return conv, BatchNorm(outputs), LeakyReLU(0.2)


def dcgan28_generator(rng: Rng = None, width: int = 64) -> Sequential:
    """z (N, 100) -> images (N, 1, 28, 28), through 7x7 and 14x14.

    Radford et al. (2016): strided transposed convolutions, batch norm but at the output, ReLU, tanh; N(0, 0.02).

    >>> z = mg.tensor(np.zeros((2, 100), "float32"))
    >>> mg.gan.models.dcgan28_generator(rng=0, width=8)(z).shape
    (2, 1, 28, 28)
    """
    rng = random.generator(rng)
    layers = Sequential(
        Dense(LATENT, 7 * 7 * 2 * width, bias=False, rng=rng),
        Reshape(2 * width, 7, 7),
        BatchNorm(2 * width),
        ReLU(),
        *_larger(2 * width, width, rng),
        ConvTranspose2d(width, 1, 4, stride=2, padding=1, rng=rng),
        Tanh(),
    )
    init.dcgan(layers, rng=rng)
    return layers


def dcgan28_discriminator(rng: Rng = None, width: int = 64) -> Sequential:
    """Images (N, 1, 28, 28) -> logits (N, 1), through 14x14 and 7x7.

    Radford et al. (2016): strided convolutions, batch norm but at the input, LeakyReLU(0.2); N(0, 0.02).

    >>> x = mg.tensor(np.zeros((2, 1, 28, 28), "float32"))
    >>> mg.gan.models.dcgan28_discriminator(rng=0, width=8)(x).shape
    (2, 1)
    """
    rng = random.generator(rng)
    layers = Sequential(
        Conv2d(1, width, 4, stride=2, padding=1, rng=rng),
        LeakyReLU(0.2),
        *_smaller(width, 2 * width, rng),
        Flatten(),
        Dense(7 * 7 * 2 * width, 1, rng=rng),
    )
    init.dcgan(layers, rng=rng)
    return layers


def dcgan28_critic(rng: Rng = None, width: int = 64) -> Sequential:
    """Images (N, 1, 28, 28) -> values (N, 1): `dcgan28_discriminator` without batch norm, so with a bias at every layer.

    Gulrajani et al. (2017), section 4: a penalty on the gradient at each sample needs a critic that treats samples apart.

    >>> x = mg.tensor(np.zeros((2, 1, 28, 28), "float32"))
    >>> mg.gan.models.dcgan28_critic(rng=0, width=8)(x).shape
    (2, 1)
    """
    rng = random.generator(rng)
    layers = Sequential(
        Conv2d(1, width, 4, stride=2, padding=1, rng=rng),
        LeakyReLU(0.2),
        Conv2d(width, 2 * width, 4, stride=2, padding=1, rng=rng),
        LeakyReLU(0.2),
        Flatten(),
        Dense(7 * 7 * 2 * width, 1, rng=rng),
    )
    init.dcgan(layers, rng=rng)
    return layers


def dcgan64_generator(rng: Rng = None, width: int = 64, channels: int = 3) -> Sequential:
    """z (N, 100) -> images (N, channels, 64, 64), through 4x4, 8x8, 16x16 and 32x32.

    Radford et al. (2016), figure 1 at half the width: as `dcgan28_generator`, two levels deeper.

    >>> z = mg.tensor(np.zeros((2, 100), "float32"))
    >>> mg.gan.models.dcgan64_generator(rng=0, width=4)(z).shape
    (2, 3, 64, 64)
    """
    rng = random.generator(rng)
    layers = Sequential(
        Dense(LATENT, 4 * 4 * 8 * width, bias=False, rng=rng),
        Reshape(8 * width, 4, 4),
        BatchNorm(8 * width),
        ReLU(),
        *_larger(8 * width, 4 * width, rng),
        *_larger(4 * width, 2 * width, rng),
        *_larger(2 * width, width, rng),
        ConvTranspose2d(width, channels, 4, stride=2, padding=1, rng=rng),
        Tanh(),
    )
    init.dcgan(layers, rng=rng)
    return layers


def dcgan64_discriminator(rng: Rng = None, width: int = 64, channels: int = 3) -> Sequential:
    """Images (N, channels, 64, 64) -> logits (N, 1), through 32x32, 16x16, 8x8 and 4x4.

    Radford et al. (2016): as `dcgan28_discriminator`, two levels deeper.

    >>> x = mg.tensor(np.zeros((2, 3, 64, 64), "float32"))
    >>> mg.gan.models.dcgan64_discriminator(rng=0, width=4)(x).shape
    (2, 1)
    """
    rng = random.generator(rng)
    layers = Sequential(
        Conv2d(channels, width, 4, stride=2, padding=1, rng=rng),
        LeakyReLU(0.2),
        *_smaller(width, 2 * width, rng),
        *_smaller(2 * width, 4 * width, rng),
        *_smaller(4 * width, 8 * width, rng),
        Flatten(),
        Dense(4 * 4 * 8 * width, 1, rng=rng),
    )
    init.dcgan(layers, rng=rng)
    return layers


MODELS = {
    "gan": (mlp_generator, mlp_discriminator),
    "dcgan": (dcgan28_generator, dcgan28_discriminator),
}


def build(model: str, rng: Rng = None) -> tuple[Module, Module]:
    """Generator and discriminator of the model called ``gan`` or ``dcgan``.

    >>> G, D = mg.gan.models.build("gan", rng=0)
    >>> len(G.parameters()), len(D.parameters())
    (6, 6)
    """
    rng = random.generator(rng)
    generator, discriminator = MODELS[model]
    return generator(rng), discriminator(rng)
