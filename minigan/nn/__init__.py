"""Layers and what they are made of."""

from minigan.nn import init
from minigan.nn.layers import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Sigmoid,
    Softplus,
    Tanh,
    Upsample,
)
from minigan.nn.module import Buffer, Module, ModuleList, Parameter, Sequential, frozen

__all__ = [
    "AvgPool2d", "BatchNorm", "Buffer", "Conv2d", "ConvTranspose2d", "Dense", "Dropout", "Embedding", "Flatten", "LeakyReLU",
    "Module", "ModuleList", "Parameter", "ReLU", "Reshape", "Sequential", "Sigmoid", "Softplus", "Tanh", "Upsample",
    "frozen", "init",
]  # fmt: skip
