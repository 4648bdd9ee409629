"""Layers and what they are made of."""

from minigan.nn import init
from minigan.nn.layers import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Sigmoid,
    Softplus,
    Tanh,
)
from minigan.nn.module import Buffer, Module, Parameter, Sequential, frozen

__all__ = [
    "BatchNorm", "Buffer", "Conv2d", "ConvTranspose2d", "Dense", "Flatten", "LeakyReLU", "Module", "Parameter", "ReLU",
    "Reshape", "Sequential", "Sigmoid", "Softplus", "Tanh", "frozen", "init",
]  # fmt: skip
