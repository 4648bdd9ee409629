"""Conditional GANs (Mirza and Osindero 2014): both players are told the class y, so that G learns p(x | y).

Each player here is an unconditional one with a table of one vector a class, and is called with samples and their labels;
`Given` binds the labels, so that the adversarial step and the penalties stay as they are.
"""

from __future__ import annotations

from typing import Any

from minigan import ops
from minigan.autodiff import Tensor
from minigan.backends import random
from minigan.errors import ShapeError
from minigan.nn import Dense, Embedding, Module, Sequential

CODE = 50  # numbers that G is told a class with
CONDITIONS = ("projection", "concatenation")
Rng = random.Generator | int | None


class Given(Module):
    """A conditional player with its labels: ``Given(D, labels)(x)`` is ``D(x, labels)``.

    Args:
        player: takes samples and labels; modules below it stay its own.
        labels: integers (n,), of the n samples that it will be called with.

    >>> D = mg.gan.conditional.Projection(mg.nn.Sequential(mg.nn.Dense(2, 3), mg.nn.Dense(3, 1)), classes=10, rng=0)
    >>> mg.gan.Given(D, np.array([7, 1]))(mg.tensor([[1.0, 2.0], [3.0, 4.0]])).shape
    (2, 1)
    """

    def __init__(self, player: Module, labels: Any) -> None:
        self.player, self.labels = player, labels

    def forward(self, x: Any) -> Tensor:
        out: Tensor = self.player(x, self.labels)
        return out


class ConditionalGenerator(Module):
    """G(z, y): the class's vector beside the latent, (N, latent) and labels (N,) -> samples. Mirza and Osindero (2014).

    Args:
        generator: takes (N, latent + code).
        classes: how many there are.
        code: numbers that a class is told with, drawn from N(0, 1) at first and learned.
        rng: a generator or a seed; minigan's own generator without one.

    >>> G = mg.gan.conditional.ConditionalGenerator(mg.nn.Dense(2 + 3, 4), classes=10, code=3, rng=0)
    >>> G(mg.tensor([[0.5, -0.5]]), np.array([7])).shape
    (1, 4)
    """

    def __init__(self, generator: Module, classes: int, code: int = CODE, rng: Rng = None) -> None:
        self.embedding = Embedding(classes, code, rng=rng)
        self.generator = generator

    def forward(self, z: Tensor, labels: Any) -> Tensor:
        out: Tensor = self.generator(ops.concatenate([z, self.embedding(labels)], axis=1))
        return out


class Projection(Module):
    """D(x, y) = w.phi(x) + b + v_y.phi(x): the class moves the last layer's weights. Samples and labels (N,) -> (N, 1).

    Miyato and Koyama (2018), equation 5: what log p(x | y) / q(x | y) looks like where classes are log-linear in phi.

    Args:
        discriminator: its last layer, `Dense(F, 1)`, makes the logit from the features phi (N, F).
        classes: how many there are; v is a table (classes, F) from N(0, 1/F).
        rng: a generator or a seed; minigan's own generator without one.

    Raises:
        ShapeError: another last layer.

    >>> D = mg.gan.conditional.Projection(mg.nn.Sequential(mg.nn.Dense(2, 3), mg.nn.Dense(3, 1)), classes=10, rng=0)
    >>> D(mg.tensor([[1.0, 2.0]]), np.array([7])).shape
    (1, 1)
    """

    def __init__(self, discriminator: Sequential, classes: int, rng: Rng = None) -> None:
        *body, head = discriminator
        if not isinstance(head, Dense) or head.weight.shape[0] != 1:
            raise ShapeError(f"Projection takes a discriminator whose last layer is Dense(F, 1), got {head!r}")
        features = head.weight.shape[1]
        self.body, self.head = Sequential(*body), head
        self.embedding = Embedding(classes, features, rng=rng)
        self.embedding.weight.assign_(self.embedding.weight.detach() / features**0.5)

    def forward(self, x: Tensor, labels: Any) -> Tensor:
        features = self.body(x)
        out: Tensor = self.head(features) + (features * self.embedding(labels)).sum(axis=1, keepdims=True)
        return out


class Concatenation(Module):
    """D(x, y): the class as one more channel of the image. Images (N, C, H, W) and labels (N,) -> (N, 1).

    Mirza and Osindero (2014) tell D the class at its input; a plane for each class is what convolutions can take in.

    Args:
        discriminator: takes images with C + 1 channels.
        classes: how many there are.
        side: H and W.
        rng: a generator or a seed; minigan's own generator without one.

    >>> D = mg.gan.models.dcgan_discriminator(28, channels=2, width=2, rng=0)
    >>> D = mg.gan.conditional.Concatenation(D, classes=10, side=28, rng=0)
    >>> D(mg.tensor(np.zeros((1, 1, 28, 28), "float32")), np.array([7])).shape
    (1, 1)
    """

    def __init__(self, discriminator: Module, classes: int, side: int, rng: Rng = None) -> None:
        self.embedding = Embedding(classes, side * side, rng=rng)
        self.discriminator, self.side = discriminator, side

    def forward(self, x: Tensor, labels: Any) -> Tensor:
        plane = self.embedding(labels).reshape(len(x), 1, self.side, self.side)
        out: Tensor = self.discriminator(ops.concatenate([x, plane], axis=1))
        return out
