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
    """z (N, 100) -> images (N, 1, 28, 28): 100-256-512-784, LeakyReLU(0.2), tanh."""
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
    """Images (N, 1, 28, 28) -> logits (N, 1): 784-512-256-1, LeakyReLU(0.2)."""
    rng = random.generator(rng)
    return Sequential(
        Flatten(),
        Dense(784, 512, rng=rng),
        LeakyReLU(0.2),
        Dense(512, 256, rng=rng),
        LeakyReLU(0.2),
        Dense(256, 1, rng=rng),
    )


def dcgan28_generator(rng: Rng = None, width: int = 64) -> Sequential:
    """z (N, 100) -> images (N, 1, 28, 28), through 7x7 and 14x14.

    Radford et al. (2016): strided transposed convolutions, batch norm but at the output, ReLU, tanh; N(0, 0.02).
    """
    rng = random.generator(rng)
    layers = Sequential(
        Dense(LATENT, 7 * 7 * 2 * width, bias=False, rng=rng),
        Reshape(2 * width, 7, 7),
        BatchNorm(2 * width),
        ReLU(),
        ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False, rng=rng),
        BatchNorm(width),
        ReLU(),
        ConvTranspose2d(width, 1, 4, stride=2, padding=1, rng=rng),
        Tanh(),
    )
    init.dcgan(layers, rng=rng)
    return layers


def dcgan28_discriminator(rng: Rng = None, width: int = 64) -> Sequential:
    """Images (N, 1, 28, 28) -> logits (N, 1), through 14x14 and 7x7.

    Radford et al. (2016): strided convolutions, batch norm but at the input, LeakyReLU(0.2); N(0, 0.02).
    """
    rng = random.generator(rng)
    layers = Sequential(
        Conv2d(1, width, 4, stride=2, padding=1, rng=rng),
        LeakyReLU(0.2),
        Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False, rng=rng),
        BatchNorm(2 * width),
        LeakyReLU(0.2),
        Flatten(),
        Dense(7 * 7 * 2 * width, 1, rng=rng),
    )
    init.dcgan(layers, rng=rng)
    return layers


MODELS = {
    "gan": (mlp_generator, mlp_discriminator),
    "dcgan": (dcgan28_generator, dcgan28_discriminator),
}


def build(model: str, rng: Rng = None) -> tuple[Module, Module]:
    """Generator and discriminator of the model called ``gan`` or ``dcgan``."""
    rng = random.generator(rng)
    generator, discriminator = MODELS[model]
    return generator(rng), discriminator(rng)
