"""The floor: the matrix products of a step, if convolutions are products of patches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from minigan import backends, nn
from minigan.autodiff import Tensor, no_grad
from minigan.bench.networks import Network, players
from minigan.gan.models import LATENT


class Product(NamedTuple):
    """(rows, inner) @ (inner, columns), and which operand lies transposed in memory: ``"a"``, ``"b"`` or none."""

    rows: int
    inner: int
    columns: int
    transposed: str


class Products(NamedTuple):
    """What a layer with a weight matrix computes: its output, and the gradients by its input and by its weight."""

    forward: Product
    input: Product
    weight: Product


def products(network: Network) -> list[Product]:
    """Every product of the network's step; nothing for gradients that the step does not need.

    Adversarial: G learns in one pass, D in two, and a third pass through D carries the gradient to the images. Critic: G
    runs forward, D learns in two passes; the penalty takes D's gradient by the image, and learns from it.
    """
    if network.step == "chain":
        return []
    g, d = (
        [layer.on(network.batch) for layer in matrices(player, shape)]
        for player, shape in zip(players(network), ((LATENT,), network.image), strict=True)
    )
    if network.step == "adversarial":
        return [*_learning(g), *_learning(d), *_learning(d), *_judging(d)]
    return [*(layer.forward for layer in g), *_learning(d), *_learning(d), *_judging(d), *_penalised(d)]


def _learning(layers: list[Products]) -> list[Product]:
    """Forward and back to the weights; by the input of the first layer, data, nothing is wanted."""
    first, *others = layers
    return [first.forward, first.weight, *chain.from_iterable(others)]


def _judging(layers: list[Products]) -> list[Product]:
    """Forward and back to the images."""
    return [product for layer in layers for product in (layer.forward, layer.input)]


def _penalised(layers: list[Products]) -> list[Product]:
    """Back through the gradient by the images, from those up.

    A layer's gradient by its input is linear in its weight and in what arrives from above; what arrives at the last
    layer is constant. The activations' second derivative is 0, so that nothing goes back through the forward pass.
    """
    return [*(layer.weight for layer in layers), *(layer.forward for layer in layers[:-1])]


class Matrix(NamedTuple):
    """A layer as a matrix: one sample is `rows` times `inputs` numbers in, `outputs` out.

    A convolution's rows are places of its output and its inputs a patch; a transposed convolution's rows are places of
    its input and its outputs a patch.
    """

    rows: int
    inputs: int
    outputs: int

    def on(self, batch: int) -> Products:
        """Its products on a batch."""
        rows = batch * self.rows
        return Products(
            Product(rows, self.inputs, self.outputs, ""),
            Product(rows, self.outputs, self.inputs, "b"),
            Product(self.inputs, rows, self.outputs, "a"),
        )


def matrices(player: nn.Sequential, shape: tuple[int, ...]) -> Iterator[Matrix]:
    """The layers that have a weight matrix, for samples of `shape`."""
    x = Tensor(backends.get("numpy").zeros((2, *shape), "float32"), copy=False)  # batch norm wants more than one
    for layer in player:
        with no_grad():
            y = layer(x)
        match layer:
            case nn.Dense():
                yield Matrix(1, layer.in_features, layer.out_features)
            case nn.Conv2d():
                yield Matrix(
                    math.prod(y.shape[2:]), layer.in_channels * math.prod(layer.kernel_size), layer.out_channels
                )
            case nn.ConvTranspose2d():
                yield Matrix(
                    math.prod(x.shape[2:]), layer.in_channels, layer.out_channels * math.prod(layer.kernel_size)
                )
        x = y
