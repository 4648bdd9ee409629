"""What keeps a critic smooth: penalties on its gradient with respect to the image, differentiated once more to train it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from minigan import ops
from minigan.autodiff import Tensor, grad
from minigan.backends import random
from minigan.errors import ShapeError
from minigan.nn import BatchNorm, Module

Critic: TypeAlias = Callable[[Tensor], Tensor]
Rng: TypeAlias = random.Generator | int | None


def gradient_penalty(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    rng: Rng = None,
    *,
    epsilon: Any = None,
) -> Tensor:
    r"""E[(||dD(x)/dx||_2 - 1)^2] at x = epsilon real + (1 - epsilon) fake.

    Gulrajani et al. (2017), equation 3, without its factor lambda: the critic's loss is
    ``D(fake).mean() - D(real).mean() + 10 * gradient_penalty(D, real, fake)``. The norm is taken over each sample, so
    that a critic must treat samples apart: without batch norm. Where a gradient is 0 its norm has none, and 0 is
    taken. The penalty teaches the critic alone; nothing flows to `real` or `fake`.

    Args:
        critic: maps x of the shape of `real` to one value a sample, (N,) or (N, 1).
        real, fake: N real and N generated samples, (N, ...).
        rng: what draws epsilon, one number a sample from U[0, 1).
        epsilon: N numbers to take instead.

    Returns:
        A scalar, which can be differentiated by the critic's parameters.

    Raises:
        ShapeError: `real` and `fake` of different shapes, or another number of epsilons than of samples.
        ValueError: a critic with batch norm in training mode.
        MissingGradient: a critic whose values don't depend on x.

    >>> critic = lambda x: x @ mg.tensor([3.0, 4.0])  # its gradient is (3, 4) everywhere, of norm 5
    >>> real, fake = mg.tensor([[1.0, 0.0], [0.0, 2.0]]), mg.tensor([[0.0, 0.0], [1.0, 1.0]])
    >>> mg.gan.gradient_penalty(critic, real, fake).item()
    16.0
    """
    if real.shape != fake.shape:
        raise ShapeError(
            f"gradient_penalty() mixes real and generated samples one by one, got {real.shape} and {fake.shape}"
        )
    n = len(real)
    drawn = random.uniform(0, 1, (n,), str(real.dtype), rng) if epsilon is None else epsilon
    share = Tensor(drawn, copy=False).astype(str(real.dtype)).to(real.backend)
    if share.size != n:
        raise ShapeError(f"gradient_penalty() takes one epsilon a sample, got {share.size} for {n} samples")
    share = share.reshape((n,) + (1,) * (real.ndim - 1))

    squares = _squared_norms(critic, share * real + (1 - share) * fake)
    zero = ops.equal(squares, 0)
    norm = ops.sqrt(squares + zero) - zero  # sqrt(0 + 1) - 1: the value 0 without the root's slope at 0
    return ((norm - 1) ** 2).mean()


def r1(critic: Critic, real: Tensor) -> Tensor:
    """E[||dD(x)/dx||_2^2] at real images x: where the data is, D is to be flat, so that training comes to rest there.

    Mescheder et al. (2018), equation 9, without its factor: D's loss is ``d_loss + gamma / 2 * r1(D, real)``. The norm is
    taken over each sample, so that D must treat samples apart: without batch norm. Nothing flows to `real`.

    Args:
        critic: maps x of the shape of `real` to one value a sample, (N,) or (N, 1).
        real: N real samples, (N, ...).

    Returns:
        A scalar, which can be differentiated by the critic's parameters.

    Raises:
        ValueError: a critic with batch norm in training mode.
        MissingGradient: a critic whose values don't depend on x.

    >>> critic = lambda x: x @ mg.tensor([3.0, 4.0])
    >>> mg.gan.penalties.r1(critic, mg.tensor([[1.0, 0.0], [0.0, 2.0]])).item()
    25.0
    """
    return _squared_norms(critic, real).mean()


def r2(critic: Critic, fake: Tensor) -> Tensor:
    """E[||dD(x)/dx||_2^2] at generated images x: `r1` where G is.

    Mescheder et al. (2018), equation 10, without its factor gamma / 2. Both together, with a relativistic loss, are the
    recipe of Huang et al. (2024). Nothing flows to `fake`.

    Args:
        critic: maps x of the shape of `fake` to one value a sample, (N,) or (N, 1).
        fake: N generated samples, (N, ...).

    Returns:
        A scalar, which can be differentiated by the critic's parameters.

    Raises:
        ValueError: a critic with batch norm in training mode.
        MissingGradient: a critic whose values don't depend on x.

    >>> critic = lambda x: (x * x).sum(axis=1) / 2  # its gradient is x
    >>> mg.gan.penalties.r2(critic, mg.tensor([[3.0, 4.0]])).item()
    25.0
    """
    return _squared_norms(critic, fake).mean()


def check_critic(critic: Critic) -> None:
    """Refuse a critic that no penalty on the gradient of each sample can take: one with batch norm in training mode.

    Raises:
        ValueError: a module with `BatchNorm` in it, itself in training mode.

    >>> mg.gan.penalties.check_critic(mg.gan.models.dcgan28_critic(rng=0, width=2))
    """
    layers = critic.modules() if isinstance(critic, Module) else ()
    found = next((layer for layer in layers if isinstance(layer, BatchNorm) and layer.training), None)
    if found is not None:
        raise ValueError(
            f"a gradient penalty takes the critic's gradient at each sample by itself, and {found} in training mode makes "
            "every value depend on the whole batch; take a critic without batch norm, such as gan.models.dcgan28_critic, "
            "with LayerNorm or SpectralNorm if with any"
        )


def _squared_norms(critic: Critic, samples: Tensor) -> Tensor:
    """||dD(x)/dx||_2^2 at each sample, (N, ...) -> (N,), recorded as a function of the critic's parameters."""
    check_critic(critic)
    x = samples.detach()
    x.requires_grad = True
    dx = grad(critic(x).sum(), x, create_graph=True)
    return (dx * dx).sum(axis=tuple(range(1, x.ndim)))


@dataclass(frozen=True)
class Penalty:
    """A penalty with its weight, to be added to D's loss; those with a name for the command line stand in `PENALTIES`.

    Called with ``(critic, real, fake, weight=None, rng=None)`` it gives the weighted scalar.

    Attributes:
        name: for the command line.
        weight: the one that is taken when none is given: lambda of WGAN-GP, gamma of R1 and R2.
        term: what the weight is multiplied by; of the critic, real and generated samples, and a generator.

    >>> critic = lambda x: x @ mg.tensor([3.0, 4.0])  # its gradient is (3, 4) everywhere, of norm 5
    >>> x = mg.tensor([[1.0, 0.0]])
    >>> penalties = mg.gan.penalties.PENALTIES
    >>> penalties["wgan-gp"](critic, x, x).item(), penalties["r1+r2"](critic, x, x, weight=0.1).item()
    (160.0, 2.5)
    """

    name: str
    weight: float
    term: Callable[[Critic, Tensor, Tensor, Rng], Tensor]

    def __call__(
        self, critic: Critic, real: Tensor, fake: Tensor, weight: float | None = None, rng: Rng = None
    ) -> Tensor:
        return (self.weight if weight is None else weight) * self.term(critic, real, fake, rng)


PENALTIES: dict[str, Penalty] = {
    penalty.name: penalty
    for penalty in (
        Penalty("wgan-gp", 10.0, gradient_penalty),
        Penalty("r1", 1.0, lambda critic, real, fake, rng: r1(critic, real) / 2),
        Penalty("r2", 1.0, lambda critic, real, fake, rng: r2(critic, fake) / 2),
        Penalty("r1+r2", 1.0, lambda critic, real, fake, rng: (r1(critic, real) + r2(critic, fake)) / 2),
    )
}
