"""The networks of `minigan.gan.models`, written in PyTorch from Radford et al. (2016)."""

import torch
from torch.nn import BatchNorm2d, Conv2d, ConvTranspose2d, Flatten, LeakyReLU, Linear, ReLU, Sequential, Tanh, Unflatten


def dcgan28_generator(width):
    return Sequential(
        Linear(100, 7 * 7 * 2 * width, bias=False), Unflatten(1, (2 * width, 7, 7)), BatchNorm2d(2 * width), ReLU(),
        ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), BatchNorm2d(width), ReLU(),
        ConvTranspose2d(width, 1, 4, 2, 1), Tanh(),
    )  # fmt: skip


def dcgan28_discriminator(width):
    return Sequential(
        Conv2d(1, width, 4, 2, 1), LeakyReLU(0.2),
        Conv2d(width, 2 * width, 4, 2, 1, bias=False), BatchNorm2d(2 * width), LeakyReLU(0.2),
        Flatten(), Linear(7 * 7 * 2 * width, 1),
    )  # fmt: skip


def dcgan64_generator(width):
    return Sequential(
        Linear(100, 4 * 4 * 8 * width, bias=False), Unflatten(1, (8 * width, 4, 4)), BatchNorm2d(8 * width), ReLU(),
        ConvTranspose2d(8 * width, 4 * width, 4, 2, 1, bias=False), BatchNorm2d(4 * width), ReLU(),
        ConvTranspose2d(4 * width, 2 * width, 4, 2, 1, bias=False), BatchNorm2d(2 * width), ReLU(),
        ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), BatchNorm2d(width), ReLU(),
        ConvTranspose2d(width, 3, 4, 2, 1), Tanh(),
    )  # fmt: skip


def dcgan64_discriminator(width):
    return Sequential(
        Conv2d(3, width, 4, 2, 1), LeakyReLU(0.2),
        Conv2d(width, 2 * width, 4, 2, 1, bias=False), BatchNorm2d(2 * width), LeakyReLU(0.2),
        Conv2d(2 * width, 4 * width, 4, 2, 1, bias=False), BatchNorm2d(4 * width), LeakyReLU(0.2),
        Conv2d(4 * width, 8 * width, 4, 2, 1, bias=False), BatchNorm2d(8 * width), LeakyReLU(0.2),
        Flatten(), Linear(4 * 4 * 8 * width, 1),
    )  # fmt: skip


NETWORKS = {
    "dcgan28_generator": (dcgan28_generator, (100,)),
    "dcgan28_discriminator": (dcgan28_discriminator, (1, 28, 28)),
    "dcgan64_generator": (dcgan64_generator, (100,)),
    "dcgan64_discriminator": (dcgan64_discriminator, (3, 64, 64)),
}
"""By name: how to make it of a width, and the shape of one sample of its input."""


def randomise(module, rng, dtype="float64"):
    """Every parameter and statistic at random, as a value that `dtype` has exactly; a large count of batches."""
    with torch.no_grad():
        for name, t in module.state_dict().items():  # whose tensors share the module's memory
            low, high = (0.5, 2) if name.endswith("running_var") else (-0.6, 0.6)
            values = rng.uniform(low, high, t.shape).astype(dtype) if t.is_floating_point() else 2**40 + 1
            t.copy_(torch.as_tensor(values))
    return module
