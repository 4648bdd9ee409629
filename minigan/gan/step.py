"""The adversarial step: what a GAN is, in ten lines."""

from __future__ import annotations

from collections.abc import Callable

from minigan.autodiff import Tensor, grad
from minigan.nn import Module
from minigan.optim import Optimizer


def adversarial_step(
    generator: Module,
    discriminator: Module,
    opt_g: Optimizer,
    opt_d: Optimizer,
    real: Tensor,
    z: Tensor,
    d_loss: Callable[[Tensor, Tensor], Tensor],
    g_loss: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """One turn of each player: D learns on a real and a generated batch, then G through the D that has just learned.

    The batches go through D separately, so that batch norm sees the statistics of each (Radford et al. 2016).

    Args:
        generator, discriminator: G maps latents to images, D images to logits.
        opt_g, opt_d: their optimisers.
        real: a batch of real images.
        z: a batch of latents.
        d_loss: of D's logits for real and for generated images.
        g_loss: of D's logits for generated images.

    Returns:
        The losses of D and of G, scalars, each from before its player moved.

    >>> G, D = mg.nn.Dense(2, 3), mg.nn.Dense(3, 1)
    >>> opt_g, opt_d = (mg.optim.Adam(net.parameters()) for net in (G, D))
    >>> real, z = mg.tensor([[1.0, 2.0, 3.0]]), mg.tensor([[0.5, -0.5]])
    >>> d_loss, g_loss = mg.gan.losses.discriminator, mg.gan.losses.non_saturating
    >>> loss_d, loss_g = mg.gan.adversarial_step(G, D, opt_g, opt_d, real, z, d_loss, g_loss)
    >>> loss_d.shape, loss_g.shape
    ((), ())
    """
    opt_g.zero_grad()
    opt_d.zero_grad()
    fake = generator(z)

    loss_d = d_loss(discriminator(real), discriminator(fake.detach()))
    loss_d.backward()
    opt_d.step()

    loss_g = g_loss(discriminator(fake))
    dL_dX = grad(loss_g, fake)  # the only message D ever sends to G; nothing of D's weights is computed
    fake.backward(dL_dX)  # carried on into G's weights
    opt_g.step()
    return loss_d, loss_g
