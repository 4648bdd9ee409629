"""Layers and what they are made of."""

from minigan.nn import init
from minigan.nn.layers import (
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LeakyReLU,
    MaxPool2d,
    ReLU,
    Reshape,
    Sigmoid,
    Softplus,
    Tanh,
    Upsample,
)
from minigan.nn.module import Buffer, Module, ModuleList, Parameter, Sequential, frozen
from minigan.nn.norms import BatchNorm, LayerNorm, SpectralNorm
from minigan.nn.summary import Summary, summary

__all__ = [
    "AvgPool2d", "BatchNorm", "Buffer", "Conv2d", "ConvTranspose2d", "Dense", "Dropout", "Embedding", "Flatten", "LayerNorm",
    "LeakyReLU", "MaxPool2d", "Module", "ModuleList", "Parameter", "ReLU", "Reshape", "Sequential", "Sigmoid", "Softplus",
    "SpectralNorm", "Summary", "Tanh", "Upsample", "frozen", "init", "summary",
]  # fmt: skip
