"""Shapes, parameters and memory of a GAN before there is one: from the layers' formulas, without any weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

from minigan import nn
from minigan.gan import models
from minigan.nn.summary import Row, Summary
from minigan.ops.conv import large_side, pair, small_side

Shape = tuple[int, ...]
Settings = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What `plan` found; ``print`` shows it as two tables.

    Attributes:
        title: what was asked for, in words.
        generator: G's layers, their output shapes and parameters, as `nn.summary` tells them of a real one.
        discriminator: D's.
        values: numbers that a step keeps for each sample of a batch: every layer's output, once in G, and in D once for
            real images and once for generated ones.

    >>> from minigan.gan.planner import plan
    >>> plan("dcgan", size=64, channels=3).generator.trainable
    3576707
    """

    title: str
    generator: Summary
    discriminator: Summary
    values: int

    def memory(self, batch_size: int) -> tuple[int, int]:
        """Bytes of an adversarial step in float32, roughly: of the outputs that it keeps, and of the parameters.

        Adam holds two numbers for each parameter beside its value and its gradient. Work space of the convolutions comes
        on top.

        >>> from minigan.gan.planner import plan
        >>> plan("gan").memory(batch_size=64)
        (1581568, 17490192)
        """
        parameters = self.generator.trainable + self.discriminator.trainable
        return 4 * self.values * batch_size, 4 * 4 * parameters

    def __str__(self) -> str:
        return f"{self.title}\n\nG\n{self.generator}\n\nD\n{self.discriminator}"


def plan(
    model: str,
    size: int = 28,
    channels: int = 1,
    width: int = 64,
    critic: bool = False,
    latent: int = models.LATENT,
) -> Plan:
    """Every layer's output shape and number of parameters, of what `models.build` makes with the same arguments.

    Nothing is computed, so that any size can be planned.

    Raises:
        RunError: a model that there is not.
        ShapeError: a size that the model cannot have; the message has the layer that fails, its formula with the numbers,
            and the nearest sizes that work.

    >>> from minigan.gan.planner import plan
    >>> print(plan("gan", size=8, width=4).discriminator)
    path  layer           output   parameters
    -----------------------------------------
    0     Flatten()       (N, 64)           0
    1     Dense(64, 32)   (N, 32)       2,080
    2     LeakyReLU(0.2)  (N, 32)           0
    3     Dense(32, 16)   (N, 16)         528
    4     LeakyReLU(0.2)  (N, 16)           0
    5     Dense(16, 1)    (N, 1)           17
    -----------------------------------------
    2,625 parameters: 2,625 trainable, 0 fixed
    """
    generator, discriminator = models.recipe(model, size, channels, width, critic, latent)
    of_g, g_values = _walk(generator, (latent,))
    of_d, d_values = _walk(discriminator, (channels, size, size))
    title = f"{model} for {size} x {size} images with {channels} channel{'s' * (channels != 1)}, width {width}"
    return Plan(title, of_g, of_d, g_values + 2 * d_values)


def _walk(layers: list[models.Layer], shape: Shape) -> tuple[Summary, int]:
    """The table of the layers for a sample of the shape, and how many numbers they give."""
    rows, values = [], 0
    for i, layer in enumerate(layers):
        bound = signature(layer.func).bind(*layer.args, **layer.keywords)
        bound.apply_defaults()
        shape, parameters = RULES[layer.func](shape, bound.arguments)
        values += 0 if layer.func in (nn.Reshape, nn.Flatten) else math.prod(shape)  # those give views
        rows.append(Row(str(i), _text(layer), f"(N, {', '.join(map(str, shape))})", parameters, shared=False))
    return Summary(tuple(rows), sum(row.parameters for row in rows), fixed=0), values


def _text(layer: models.Layer) -> str:
    """The call that makes the layer."""
    settings = [*map(str, layer.args), *(f"{name}={value}" for name, value in layer.keywords.items())]
    return f"{layer.func.__name__}({', '.join(settings)})"


def _same(shape: Shape, _: Settings) -> tuple[Shape, int]:
    return shape, 0


def _dense(_: Shape, settings: Settings) -> tuple[Shape, int]:
    outputs = settings["out_features"]
    return (outputs,), (settings["in_features"] + settings["bias"]) * outputs


def _conv(side: Callable[..., Shape], shape: Shape, settings: Settings) -> tuple[Shape, int]:
    """A convolution's: `side` is the formula of its height and width."""
    kernel, *others = (
        pair(name, settings[name], 0)
        for name in ("kernel_size", "stride", "padding", "output_padding", "dilation")
        if name in settings
    )
    outputs, inputs = settings["out_channels"], settings["in_channels"] // settings["groups"]
    return (outputs, *side(shape[1:], kernel, *others)), (inputs * math.prod(kernel) + settings["bias"]) * outputs


RULES: dict[Any, Callable[[Shape, Settings], tuple[Shape, int]]] = {  # of one sample: shape -> shape, parameters
    nn.Dense: _dense,
    nn.Reshape: lambda _, settings: (settings["shape"], 0),
    nn.Flatten: lambda shape, _: ((math.prod(shape),), 0),
    nn.Conv2d: partial(_conv, small_side),
    nn.ConvTranspose2d: partial(_conv, large_side),
    nn.BatchNorm: lambda shape, settings: (shape, 2 * settings["channels"]),
    nn.ReLU: _same,
    nn.LeakyReLU: _same,
    nn.Tanh: _same,
}
