"""Initialisers: they overwrite a parameter's values from a host generator."""

from __future__ import annotations

import math

from minigan.backends import random
from minigan.nn.module import Module, Parameter

Rng = random.Generator | int | None


def normal(parameter: Parameter, std: float = 0.02, mean: float = 0.0, rng: Rng = None) -> None:
    """Draw from N(mean, std^2).

    >>> layer = mg.nn.Dense(2, 2)
    >>> mg.nn.init.normal(layer.weight, std=0.0, mean=1.0)
    >>> layer.weight.numpy().tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    drawn = random.normal(parameter.shape, str(parameter.dtype), rng) * std + mean
    parameter.overwrite(drawn, "init.normal()")


def uniform(parameter: Parameter, bound: float, rng: Rng = None) -> None:
    """Draw from U[-bound, bound).

    >>> layer = mg.nn.Dense(2, 2)
    >>> mg.nn.init.uniform(layer.weight, bound=0.1, rng=0)
    >>> bool((abs(layer.weight.numpy()) <= 0.1).all())
    True
    """
    parameter.overwrite(random.uniform(-bound, bound, parameter.shape, str(parameter.dtype), rng), "init.uniform()")


def fan_in(parameter: Parameter) -> int:
    """How many inputs feed one output: all axes but the first.

    >>> mg.nn.init.fan_in(mg.nn.Conv2d(3, 8, 4).weight)
    48
    """
    return math.prod(parameter.shape[1:])


def fan_out(parameter: Parameter) -> int:
    """How many outputs one input feeds: all axes but the second.

    >>> mg.nn.init.fan_out(mg.nn.Conv2d(3, 8, 4).weight)
    128
    """
    return parameter.shape[0] * math.prod(parameter.shape[2:])


def xavier(parameter: Parameter, rng: Rng = None) -> None:
    """Glorot and Bengio (2010): U[-b, b) with b = sqrt(6 / (fan in + fan out)), for tanh and linear layers.

    >>> layer = mg.nn.Dense(3, 3)
    >>> mg.nn.init.xavier(layer.weight, rng=0)
    >>> bool((abs(layer.weight.numpy()) <= 1).all())
    True
    """
    uniform(parameter, math.sqrt(6 / (fan_in(parameter) + fan_out(parameter))), rng)


def he(parameter: Parameter, negative_slope: float = 0.0, rng: Rng = None) -> None:
    """He et al. (2015): N(0, 2 / ((1 + slope^2) fan in)), for ReLU, and for LeakyReLU with its slope.

    >>> layer = mg.nn.Dense(1000, 100)
    >>> mg.nn.init.he(layer.weight, rng=0)
    >>> print(layer.weight.numpy().std().round(3))
    0.045
    """
    normal(parameter, math.sqrt(2 / ((1 + negative_slope**2) * fan_in(parameter))), rng=rng)


def dcgan(module: Module, std: float = 0.02, rng: Rng = None) -> Module:
    """Radford et al. (2016): weights of dense and convolution layers from N(0, 0.02^2), biases 0; norms stay 1 and 0.

    Returns:
        The module itself.

    >>> layer = mg.nn.init.dcgan(mg.nn.Dense(1000, 100), rng=0)
    >>> print(layer.weight.numpy().std().round(3), layer.bias.numpy().std())
    0.02 0.0
    """
    generator = random.generator(rng)
    for p in module.parameters():
        if p.ndim > 1:
            normal(p, std, rng=generator)
        elif p.name == "bias":
            p.overwrite(0.0, "init.dcgan()")
    return module
