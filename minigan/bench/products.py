"""The floors: the matrix products of a step, if convolutions are products of patches, and what they must move."""

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
    """(rows, inner) @ (inner, columns), as part of a layer.

    Attributes:
        transposed: the operand that lies transposed in memory, ``"a"``, ``"b"`` or none.
        numbers: how many the layer's operands and result hold, its image and not the patches.
    """

    rows: int
    inner: int
    columns: int
    transposed: str
    numbers: int


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


def least(network: Network) -> dict[str, int]:
    """What a step has to do at least, one layer's product after the other.

    Returns:
        `operations`: multiplications and additions of all products.
        `bytes`: each product's operands read once and its result written once, and Adam's seven numbers a parameter: it
        reads the gradient, and reads and writes the parameter and both moments. Activations, batch norm and losses count
        nothing, as they can be done on the way.
    """
    needed, (g, d) = products(network), players(network)
    learning = [*d.parameters(), *(g.parameters() if network.step == "adversarial" else ())]
    numbers = sum(p.numbers for p in needed) + 7 * sum(p.size for p in learning)
    return {"bytes": 4 * numbers, "operations": 2 * sum(p.rows * p.inner * p.columns for p in needed)}


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
    its input and its outputs a patch. Of a sample's numbers `x` come in and `y` go out.
    """

    rows: int
    inputs: int
    outputs: int
    x: int
    y: int

    def on(self, batch: int) -> Products:
        """Its products on a batch."""
        rows, numbers = batch * self.rows, batch * (self.x + self.y) + self.inputs * self.outputs
        return Products(
            Product(rows, self.inputs, self.outputs, "", numbers),
            Product(rows, self.outputs, self.inputs, "b", numbers),
            Product(self.inputs, rows, self.outputs, "a", numbers),
        )


def matrices(player: nn.Sequential, shape: tuple[int, ...]) -> Iterator[Matrix]:
    """The layers that have a weight matrix, for samples of `shape`."""
    x = Tensor(backends.get("numpy").zeros((2, *shape), "float32"), copy=False)  # batch norm wants more than one
    for layer in player:
        with no_grad():
            y = layer(x)
        sizes = math.prod(x.shape[1:]), math.prod(y.shape[1:])
        match layer:
            case nn.Dense():
                yield Matrix(1, layer.in_features, layer.out_features, *sizes)
            case nn.Conv2d():
                patch = layer.in_channels * math.prod(layer.kernel_size)
                yield Matrix(math.prod(y.shape[2:]), patch, layer.out_channels, *sizes)
            case nn.ConvTranspose2d():
                patch = layer.out_channels * math.prod(layer.kernel_size)
                yield Matrix(math.prod(x.shape[2:]), layer.in_channels, patch, *sizes)
        x = y
