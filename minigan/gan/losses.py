"""What the two players want, on logits.

D gives a logit: sigma(D(x)) is the probability that x is real. Every loss is built on binary cross-entropy on
logits, which is exact where sigma rounds to 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable

from minigan import ops
from minigan.autodiff import Tensor


def discriminator(real: Tensor, fake: Tensor, smoothing: float = 0.9) -> Tensor:
    """-E[t log sigma(D(x)) + (1 - t) log(1 - sigma(D(x)))] - E[log(1 - sigma(D(G(z))))].

    Goodfellow et al. (2014), with the one-sided smoothing of Salimans et al. (2016): the target t of real images is
    `smoothing`, that of generated ones stays 0, so that D is not taught to like what G makes now.

    Args:
        real, fake: D's logits for real and for generated images.
        smoothing: t, from above 0 to 1; 1 does not smooth.

    Returns:
        A scalar.

    >>> mg.gan.losses.discriminator(mg.tensor([0.0]), mg.tensor([0.0]))
    Tensor(1.386..., float32)
    """
    return ops.bce_with_logits(real, smoothing) + ops.bce_with_logits(fake, 0.0)


def non_saturating(fake: Tensor) -> Tensor:
    """-E[log sigma(D(G(z)))]: flipped labels. Where D is sure that an image is generated, the gradient is strongest.

    Goodfellow et al. (2014), section 3.

    Args:
        fake: D's logits for generated images, of any shape.

    Returns:
        A scalar.

    >>> mg.gan.losses.non_saturating(mg.tensor([-100.0])).item()
    100.0
    """
    return ops.bce_with_logits(fake, 1.0)


def minimax(fake: Tensor) -> Tensor:
    """E[log(1 - sigma(D(G(z))))]: the game's own value. Where D is sure, the gradient vanishes.

    Goodfellow et al. (2014), equation 1.

    Args:
        fake: D's logits for generated images, of any shape.

    Returns:
        A scalar.

    >>> mg.gan.losses.minimax(mg.tensor([100.0])).item()
    -100.0
    """
    return -ops.bce_with_logits(fake, 0.0)


GENERATOR_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {"non-saturating": non_saturating, "minimax": minimax}
