"""What the two players want, on logits.

D gives a logit: for the cross-entropy losses sigma(D(x)) is the probability that x is real, for the others it is a
score. Every loss is made of ops that are exact on large logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from minigan import ops
from minigan.autodiff import Tensor
from minigan.errors import ShapeError

# -- cross-entropy ----------------------------------------------------------------------------------


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


# -- least squares ----------------------------------------------------------------------------------


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """(E[(D(x) - 1)^2] + E[D(G(z))^2]) / 2: real images are to score 1, generated ones 0.

    Mao et al. (2017), equation 9.

    Args:
        real, fake: D's logits for real and for generated images.

    Returns:
        A scalar.

    >>> mg.gan.losses.least_squares_discriminator(mg.tensor([1.0]), mg.tensor([3.0])).item()
    4.5
    """
    return (ops.mse_loss(real, 1.0) + ops.mse_loss(fake, 0.0)) / 2


def least_squares_generator(fake: Tensor) -> Tensor:
    """E[(D(G(z)) - 1)^2] / 2: the gradient grows with the distance from the score of a real image.

    Mao et al. (2017), equation 9.

    Args:
        fake: D's logits for generated images, of any shape.

    Returns:
        A scalar.

    >>> mg.gan.losses.least_squares_generator(mg.tensor([4.0])).item()
    4.5
    """
    return ops.mse_loss(fake, 1.0) / 2


# -- hinge and Wasserstein: D learns differently, G alike ---------------------------------------------


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]: what D tells apart by a margin teaches it nothing more.

    Lim and Ye (2017); Miyato et al. (2018), equation 16. The generator's loss is `wasserstein_generator`.

    Args:
        real, fake: D's logits for real and for generated images.

    Returns:
        A scalar.

    >>> mg.gan.losses.hinge_discriminator(mg.tensor([0.5, 3.0]), mg.tensor([-2.0])).item()
    0.25
    """
    return ops.relu(1 - real).mean() + ops.relu(1 + fake).mean()


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[D(G(z))] - E[D(x)]: minus the Wasserstein distance, as far as D is the best 1-Lipschitz function.

    Arjovsky et al. (2017), equation 2. Nothing in it holds D back: it needs a penalty or spectral norm.

    Args:
        real, fake: the critic's values for real and for generated images.

    Returns:
        A scalar.

    >>> mg.gan.losses.wasserstein_discriminator(mg.tensor([5.0]), mg.tensor([2.0])).item()
    -3.0
    """
    return fake.mean() - real.mean()


def wasserstein_generator(fake: Tensor) -> Tensor:
    """-E[D(G(z))], wherever D stands: the gradient at each logit is the same. Also the generator's of the hinge loss.

    Arjovsky et al. (2017), algorithm 1; Lim and Ye (2017).

    Args:
        fake: the critic's values for generated images, of any shape.

    Returns:
        A scalar.

    >>> mg.gan.losses.wasserstein_generator(mg.tensor([2.0])).item()
    -2.0
    """
    return -fake.mean()


# -- relativistic pairing -----------------------------------------------------------------------------


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """E[log(1 + exp(-(D(x) - D(G(z)))))]: a real image is to score higher than the generated one beside it.

    RpGAN: Jolicoeur-Martineau (2019, 2020); Huang et al. (2024), "R3GAN", with R1 and R2. Only differences count: D has
    no zero of its own.

    Args:
        real, fake: D's logits for as many real as generated images, paired in their order.

    Returns:
        A scalar.

    Raises:
        ShapeError: logits of different shapes.

    >>> mg.gan.losses.relativistic_discriminator(mg.tensor([1.0]), mg.tensor([101.0])).item()
    100.0
    """
    _check_pairs(real, fake)
    return ops.softplus(fake - real).mean()


def relativistic_generator(fake: Tensor, real: Tensor) -> Tensor:
    """E[log(1 + exp(-(D(G(z)) - D(x))))]: a generated image is to score higher than the real one beside it.

    RpGAN, as `relativistic_discriminator`.

    Args:
        fake, real: D's logits for as many generated as real images, paired in their order.

    Returns:
        A scalar.

    Raises:
        ShapeError: logits of different shapes.

    >>> mg.gan.losses.relativistic_generator(mg.tensor([1.0]), mg.tensor([101.0])).item()
    100.0
    """
    _check_pairs(real, fake)
    return ops.softplus(real - fake).mean()


def _check_pairs(real: Tensor, fake: Tensor) -> None:
    if real.shape != fake.shape:  # broadcast, they would be paired each with all
        raise ShapeError(
            f"a relativistic loss pairs real and generated images one by one, got logits of shapes {real.shape} and "
            f"{fake.shape}; give equal batches"
        )


# -- by name ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """Both players' losses; those with a name for the command line stand in `LOSSES`.

    Attributes:
        name: for the command line and for messages.
        discriminator: of D's logits for real and for generated images.
        generator: of D's logits for generated images, and then, where `paired`, for real ones.
        paired: whether the generator's loss compares with real images too.
        smoothable: whether `discriminator` has targets that can be smoothed, and takes ``smoothing``.

    >>> hinge = mg.gan.losses.LOSSES["hinge"]
    >>> hinge.discriminator(mg.tensor([0.0]), mg.tensor([0.0])).item(), hinge.generator(mg.tensor([3.0])).item()
    (2.0, -3.0)
    """

    name: str
    discriminator: Callable[..., Tensor]
    generator: Callable[..., Tensor]
    paired: bool = False
    smoothable: bool = False

    def smoothed(self, target: float) -> Loss:
        """This loss with another target for real images than the default of 0.9; 1 for no smoothing.

        Raises:
            ValueError: a loss without targets that are probabilities, unless the target is 1; a target out of range.

        >>> plain = mg.gan.losses.LOSSES["minimax"].smoothed(1.0)
        >>> plain.discriminator(mg.tensor([200.0]), mg.tensor([-200.0])).item()
        0.0
        """
        if not 0 < target <= 1:
            raise ValueError(f"smoothing must be above 0 and at most 1, got {target}")
        if self.smoothable:
            return replace(self, discriminator=partial(self.discriminator, smoothing=target))
        if target != 1:
            takers = " and ".join(loss.name for loss in LOSSES.values() if loss.smoothable)
            raise ValueError(
                f"smoothing is for losses whose targets are probabilities ({takers}), the {self.name} loss has none, "
                f"got {target}; leave smoothing out, or choose one of those"
            )
        return self


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("minimax", discriminator, minimax, smoothable=True),
        Loss("non-saturating", discriminator, non_saturating, smoothable=True),
        Loss("least-squares", least_squares_discriminator, least_squares_generator),
        Loss("hinge", hinge_discriminator, wasserstein_generator),
        Loss("wasserstein", wasserstein_discriminator, wasserstein_generator),
        Loss("relativistic", relativistic_discriminator, relativistic_generator, paired=True),
    )
}
