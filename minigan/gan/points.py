"""The toy GAN, whose samples are points in a plane or on a line instead of images, and its layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from minigan import backends, ops
from minigan.autodiff import Tensor
from minigan.backends import random
from minigan.nn import Dense, LeakyReLU, Module, Sequential, Tanh
from minigan.nn.module import Buffer

Rng = random.Generator | int | None
LATENT, WIDTH, WAVES = 2, 128, 32


def build(dims: int, rng: Rng = None, width: int = WIDTH) -> tuple[Sequential, Sequential]:
    """Generator, latents (N, 2) -> points (N, dims), and discriminator, points -> logits (N, 1); three layers each.

    Args:
        dims: coordinates of a point.
        rng: a generator or a seed; minigan's own generator without one.
        width: numbers of each inner layer of G; D's have half as many again.

    >>> G, D = mg.gan.points.build(2, rng=0)
    >>> D(G(mg.tensor(np.zeros((5, 2), "float32")))).shape
    (5, 1)
    """
    rng = random.generator(rng)
    made = _dense(LATENT, width, dims, Tanh, rng)  # whose flat steps become modes, with narrow ways between them
    waves, seen = Fourier(dims, WAVES, rng=rng), dims + 2 * WAVES
    judged = _dense(seen, width * 3 // 2, 1, partial(LeakyReLU, 0.2), rng)
    return Sequential(Scale(2.0), *made, Standardise(dims, back=True)), Sequential(Standardise(dims), waves, *judged)


def _dense(inputs: int, width: int, outputs: int, activation: Callable[[], Module], rng: Rng) -> list[Module]:
    layers: list[Module] = []
    for count in (inputs, width, width):
        layers += [Dense(count, width, rng=rng), activation()]
    return [*layers, Dense(width, outputs, rng=rng)]


class Scale(Module):
    """x -> factor x, with a fixed factor: every step of the layer after it goes that much farther.

    >>> mg.gan.points.Scale(4.0)(mg.tensor([0.5])).item()
    2.0
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def settings(self) -> str:
        return f"{self.factor}"


class Standardise(Module):
    """Points (N, d) -> (x - mean) / std, or back, so that the networks need not know the data's place and size.

    Args:
        dims: d.
        back: from standard coordinates to the data's, as a generator's last layer.

    >>> layer = mg.gan.points.Standardise(1)
    >>> layer.fit(np.array([[1.0], [3.0]]))
    >>> layer(mg.tensor([[3.0]])).item()
    1.0
    """

    def __init__(self, dims: int, back: bool = False) -> None:
        xp = backends.get("numpy")
        self.dims, self.back = dims, back
        self.mean, self.std = Buffer(xp.zeros(dims, "float32")), Buffer(xp.ones((), "float32"))

    def fit(self, points: Any) -> None:
        """Take the mean, and one standard deviation for all coordinates, from the data (n, d)."""
        mean = points.mean(axis=0, dtype="float64")
        self.mean.assign_(mean)
        self.std.assign_(((points - mean) ** 2).mean() ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        mean, std = self.mean.detach(), self.std.detach()
        return x * std + mean if self.back else (x - mean) / std

    def settings(self) -> str:
        return f"{self.dims}, back={self.back}"


class Fourier(Module):
    """x (N, d) -> (x, sin(x w) / |w|, cos(x w) / |w|), so that a network can tell apart what lies close together.

    Tancik et al. (2020): a network of dense layers learns coarse structure long before fine structure; among sines and
    cosines of many lengths it need not wait. The lengths |w| are spread evenly over octaves, from 1 to `finest`, the
    directions are drawn; divided by |w| all of them are equally steep.

    Args:
        dims: d.
        count: how many w there are.
        finest: the largest |w|.
        rng: a generator or a seed; minigan's own generator without one.

    >>> mg.gan.points.Fourier(2, 32, rng=0)(mg.tensor([[0.0, 0.0]])).shape
    (1, 66)
    """

    def __init__(self, dims: int, count: int, finest: float = 64.0, *, rng: Rng = None) -> None:
        xp = backends.get("numpy")
        lengths = finest ** (xp.arange(count) / max(count - 1, 1))
        towards = random.normal((dims, count), rng=rng)
        towards /= xp.sqrt((towards * towards).sum(axis=0))
        self.weight = Buffer((towards * lengths).astype("float32"))
        self.amplitude = Buffer((1 / lengths).astype("float32"))

    def forward(self, x: Tensor) -> Tensor:
        turned, amplitude = x @ self.weight.detach(), self.amplitude.detach()
        return ops.concatenate([x, ops.sin(turned) * amplitude, ops.cos(turned) * amplitude], axis=1)

    def settings(self) -> str:
        return ", ".join(map(str, self.weight.shape))
