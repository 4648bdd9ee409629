"""The adversarial step: what a GAN is, in ten lines."""

from __future__ import annotations

from collections.abc import Callable

from minigan.autodiff import Tensor, grad, no_grad
from minigan.gan.penalties import Critic
from minigan.nn import Module
from minigan.optim import Optimizer


def adversarial_step(
    generator: Module,
    discriminator: Critic,
    opt_g: Optimizer,
    opt_d: Optimizer,
    real: Tensor,
    z: Tensor,
    d_loss: Callable[[Tensor, Tensor], Tensor],
    g_loss: Callable[..., Tensor],
    *,
    paired: bool = False,
    penalty: Callable[[Critic, Tensor, Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """One turn of each player: D learns on a real and a generated batch, then G through the D that has just learned.

    The batches go through D separately, so that batch norm sees the statistics of each (Radford et al. 2016).

    Args:
        generator, discriminator: G maps latents to images, D images to logits.
        opt_g, opt_d: their optimisers.
        real: a batch of real images.
        z: a batch of latents.
        d_loss: of D's logits for real and for generated images.
        g_loss: of D's logits for generated images, and then, if `paired`, for real ones.
        paired: whether `g_loss` compares with the real images.
        penalty: added to D's loss; of D, the real and the generated images, such as those in `penalties.PENALTIES`.

    Returns:
        The losses of D, with its penalty, and of G, scalars, each from before its player moved.

    >>> G, D = mg.nn.Dense(2, 3), mg.nn.Dense(3, 1)
    >>> opt_g, opt_d = (mg.optim.Adam(net.parameters()) for net in (G, D))
    >>> real, z = mg.tensor([[1.0, 2.0, 3.0]]), mg.tensor([[0.5, -0.5]])
    >>> d_loss, g_loss = mg.gan.losses.discriminator, mg.gan.losses.non_saturating
    >>> loss_d, loss_g = mg.gan.adversarial_step(G, D, opt_g, opt_d, real, z, d_loss, g_loss)
    >>> loss_d.shape, loss_g.shape
    ((), ())
    """
    opt_g.zero_grad()  # so early, so that D's turn may use the memory
    fake = generator(z)
    loss_d = discriminator_step(discriminator, opt_d, real, fake, d_loss, penalty)
    loss_g = generator_step(discriminator, opt_g, fake, g_loss, real if paired else None)
    return loss_d, loss_g


def discriminator_step(
    discriminator: Critic,
    opt_d: Optimizer,
    real: Tensor,
    fake: Tensor,
    d_loss: Callable[[Tensor, Tensor], Tensor],
    penalty: Callable[[Critic, Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """D's turn; it may have several before G has one.

    Args:
        discriminator, opt_d: D, which maps images to logits, and its optimiser.
        real, fake: a batch of real and one of generated images; nothing flows back into the generated ones.
        d_loss: of D's logits for real and for generated images.
        penalty: added to it; of D, the real and the generated images.

    Returns:
        D's loss with its penalty, a scalar, from before it moved.

    >>> D = mg.nn.Dense(3, 1)
    >>> opt_d, penalty = mg.optim.Adam(D.parameters()), mg.gan.penalties.PENALTIES["r1"]
    >>> real, fake = mg.tensor([[1.0, 2.0, 3.0]]), mg.tensor([[0.0, 0.0, 0.0]])
    >>> mg.gan.discriminator_step(D, opt_d, real, fake, mg.gan.losses.hinge_discriminator, penalty).shape
    ()
    """
    opt_d.zero_grad()
    fake = fake.detach()
    loss_d = d_loss(discriminator(real), discriminator(fake))
    if penalty is not None:
        loss_d = loss_d + penalty(discriminator, real, fake)
    loss_d.backward()
    opt_d.step()
    return loss_d


def generator_step(
    discriminator: Critic,
    opt_g: Optimizer,
    fake: Tensor,
    g_loss: Callable[..., Tensor],
    real: Tensor | None = None,
) -> Tensor:
    """G's turn.

    Args:
        discriminator: D, which maps images to logits and stays as it is.
        opt_g: G's optimiser.
        fake: what G made, and remembers how.
        g_loss: of D's logits for generated images, and then, if `real` is given, for real ones.
        real: as many real images, for a loss that compares with them.

    Returns:
        G's loss, a scalar, from before it moved.

    >>> G, D = mg.nn.Dense(2, 3), mg.nn.Dense(3, 1)
    >>> opt_g, fake = mg.optim.Adam(G.parameters()), G(mg.tensor([[0.5, -0.5]]))
    >>> mg.gan.generator_step(D, opt_g, fake, mg.gan.losses.non_saturating).shape
    ()
    """
    opt_g.zero_grad()
    if real is None:
        loss_g = g_loss(discriminator(fake))
    else:
        with no_grad():
            beside = discriminator(real)
        loss_g = g_loss(discriminator(fake), beside)
    dL_dX = grad(loss_g, fake)  # the only message D ever sends to G; nothing of D's weights is computed
    fake.backward(dL_dX)  # carried on into G's weights
    opt_g.step()
    return loss_g
