"""Instance noise: D sees every image through snow, so that real and generated images overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigan import backends
from minigan.autodiff import Tensor
from minigan.backends import random
from minigan.nn import Module


class InstanceNoise(Module):
    """A discriminator that sees its images, real and generated alike, with noise N(0, sigma^2) added to each value.

    Sonderby et al. (2017); Arjovsky and Bottou (2017), section 3: with noise, even a D that tells all images apart tells
    G where to go. New noise is drawn in each call while training, and none in evaluation; gradients flow through to the
    image. The noise is on the host's generator, so that a seed means the same noise on every backend.

    Args:
        discriminator: maps images to logits; what else the call is given is passed on.
        sigma: the noise's standard deviation, in the images' units; may be set at any time, 0 for none.
        rng: what draws the noise.

    Raises:
        ValueError: sigma below 0 or not finite.

    >>> D = mg.gan.InstanceNoise(mg.nn.Dense(3, 1, rng=0), sigma=0.1, rng=0)
    >>> images = mg.tensor([[1.0, 2.0, 3.0]])
    >>> D(images).item() != D(images).item()
    True
    >>> D.sigma = 0.0
    >>> D(images).item() == D.discriminator(images).item()
    True
    """

    def __init__(
        self, discriminator: Callable[..., Tensor], sigma: float, rng: random.Generator | int | None = None
    ) -> None:
        self.discriminator, self.sigma = discriminator, sigma
        self.rng = rng if rng is None else random.generator(rng)

    @property
    def sigma(self) -> float:
        """The noise's standard deviation."""
        return self._sigma

    @sigma.setter
    def sigma(self, value: float) -> None:
        if not 0 <= value < float("inf"):
            raise ValueError(f"the sigma of instance noise must be at least 0 and finite, got {value}")
        self._sigma = float(value)

    def forward(self, x: Any, *rest: Any) -> Tensor:
        x = x if isinstance(x, Tensor) else Tensor(x, copy=False)
        if self.training and self.sigma:
            noise = self.sigma * random.normal(x.shape, str(x.dtype), self.rng)
            x = x + backends.get(x.backend).from_host(noise)
        return self.discriminator(x, *rest)
