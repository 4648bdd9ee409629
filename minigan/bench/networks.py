"""What is measured: networks, the step that each takes, and their layers as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from minigan import nn
from minigan.errors import RunError
from minigan.gan import models

CHAIN = 100  # ops in the chain of small ops
LAMBDA = 10.0  # Gulrajani et al. (2017)


@dataclass(frozen=True)
class Network:
    """A network and its step.

    Attributes:
        name: as on the command line.
        step: adversarial, both players in turn; critic, one step of a critic with the gradient penalty; chain, 100 tanh
            forward and backward.
        model: the pair of players, a key of `MAKERS`; empty for the chain.
        batch: samples a step.
        width: channels at the largest inner level, of the convolutional ones.
        lr, betas: Adam's.
    """

    name: str
    step: Literal["adversarial", "critic", "chain"] = "adversarial"
    model: str = ""
    batch: int = 64
    width: int = 64
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)

    @property
    def image(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return {"64": (3, 64, 64), "128": (3, 128, 128)}.get(self.model.removeprefix("dcgan"), (1, 28, 28))


NETWORKS = {
    n.name: n
    for n in (
        Network("dcgan28", model="dcgan28"),
        Network("mlp", model="mlp"),
        Network("wgan-gp28", "critic", "wgan28", lr=1e-4, betas=(0.0, 0.9)),
        Network("dcgan64", model="dcgan64", batch=32),
        Network("tanh", "chain"),
    )
}


def named(name: str) -> Network:
    """The network called `name`; `RunError` if there is none."""
    if name not in NETWORKS:
        raise RunError(f"there is no network {name!r} in the bench; there is: {', '.join(NETWORKS)}")
    return NETWORKS[name]


# -- players -----------------------------------------------------------------------------------------------------------


def dcgan128_generator(rng: models.Rng = None, width: int = 64) -> nn.Sequential:
    """`models.dcgan64_generator` one level deeper: z (N, 100) -> images (N, 3, 128, 128)."""
    inner = list(models.dcgan64_generator(rng, 2 * width, 2 * width))[:-2]
    last = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False, rng=rng)
    image = nn.ConvTranspose2d(width, 3, 4, stride=2, padding=1, rng=rng)
    layers = nn.Sequential(*inner, last, nn.BatchNorm(width), nn.ReLU(), image, nn.Tanh())
    nn.init.dcgan(layers, rng=rng)
    return layers


def dcgan128_discriminator(rng: models.Rng = None, width: int = 64) -> nn.Sequential:
    """`models.dcgan64_discriminator` one level deeper: images (N, 3, 128, 128) -> logits (N, 1)."""
    first = nn.Conv2d(3, width, 4, stride=2, padding=1, rng=rng)
    second = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False, rng=rng)
    inner = list(models.dcgan64_discriminator(rng, 2 * width, width))[1:]
    layers = nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.BatchNorm(2 * width), *inner)
    nn.init.dcgan(layers, rng=rng)
    return layers


MAKERS: dict[str, tuple[Callable[..., nn.Sequential], Callable[..., nn.Sequential]]] = {
    "mlp": (models.mlp_generator, models.mlp_discriminator),
    "dcgan28": (models.dcgan28_generator, models.dcgan28_discriminator),
    "wgan28": (models.dcgan28_generator, models.dcgan28_critic),
    "dcgan64": (models.dcgan64_generator, models.dcgan64_discriminator),
    "dcgan128": (dcgan128_generator, dcgan128_discriminator),
}


def players(network: Network) -> tuple[nn.Sequential, nn.Sequential]:
    """Generator and discriminator, the same numbers every time."""
    settings = {} if network.model == "mlp" else {"width": network.width}
    make_g, make_d = MAKERS[network.model]
    return make_g(0, **settings), make_d(1, **settings)


# -- layers as plain data, with PyTorch's names and arguments --------------------------------------------------------------


def described(network: nn.Sequential) -> list[tuple[str, dict[str, Any]]]:
    """The layers as names in ``torch.nn`` with their arguments, under which PyTorch builds the same network."""
    return [_layer(module) for module in network]


def _layer(module: nn.Module) -> tuple[str, dict[str, Any]]:
    match module:
        case nn.Dense():
            sizes = {"in_features": module.in_features, "out_features": module.out_features}
            return "Linear", {**sizes, "bias": module.bias is not None}
        case nn.Conv2d() | nn.ConvTranspose2d():
            sizes = {"in_channels": module.in_channels, "out_channels": module.out_channels}
            settings = {"kernel_size": module.kernel_size, **module.options, "bias": module.bias is not None}
            return type(module).__name__, {**sizes, **settings}
        case nn.BatchNorm():
            return "BatchNorm2d", {"num_features": module.channels, "eps": module.eps, "momentum": module.momentum}
        case nn.LeakyReLU():
            return "LeakyReLU", {"negative_slope": module.negative_slope}
        case nn.Flatten():
            return "Flatten", {}
        case nn.Reshape():
            return "Unflatten", {"dim": 1, "unflattened_size": module.shape}
        case nn.ReLU() | nn.Tanh():
            return type(module).__name__, {}
    raise RunError(f"the bench does not know how PyTorch calls {module!r}")
