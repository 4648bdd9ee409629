"""Initialisers: they overwrite a parameter's values from a host generator."""

from __future__ import annotations

import math

from minigan.backends import random
from minigan.nn.module import Module, Parameter

Rng = random.Generator | int | None


def normal(parameter: Parameter, std: float = 0.02, mean: float = 0.0, rng: Rng = None) -> None:
    """Draw from N(mean, std^2)."""
    drawn = random.normal(parameter.shape, str(parameter.dtype), rng) * std + mean
    parameter.overwrite(drawn, "init.normal()")


def uniform(parameter: Parameter, bound: float, rng: Rng = None) -> None:
    """Draw from U[-bound, bound)."""
    parameter.overwrite(random.uniform(-bound, bound, parameter.shape, str(parameter.dtype), rng), "init.uniform()")


def fan_in(parameter: Parameter) -> int:
    """How many inputs feed one output: all axes but the first."""
    return math.prod(parameter.shape[1:])


def dcgan(module: Module, std: float = 0.02, rng: Rng = None) -> Module:
    """Radford et al. (2016): weights of dense and convolution layers from N(0, 0.02^2), biases 0; norms stay 1 and 0."""
    generator = random.generator(rng)
    for p in module.parameters():
        if p.ndim > 1:
            normal(p, std, rng=generator)
        elif p.name == "bias":
            p.overwrite(0.0, "init.dcgan()")
    return module
