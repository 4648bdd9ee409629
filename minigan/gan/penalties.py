"""What keeps a critic smooth: penalties on its gradient with respect to the image, differentiated once more to train it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigan import ops
from minigan.autodiff import Tensor, grad
from minigan.backends import random
from minigan.errors import ShapeError


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    rng: random.Generator | int | None = None,
    *,
    epsilon: Any = None,
) -> Tensor:
    r"""E[(||dD(x)/dx||_2 - 1)^2] at x = epsilon real + (1 - epsilon) fake.

    Gulrajani et al. (2017), equation 3, without its factor lambda: the critic's loss is
    ``D(fake).mean() - D(real).mean() + 10 * gradient_penalty(D, real, fake)``. The norm is taken over each sample, so
    that a critic should treat samples apart: without batch norm. Where a gradient is 0 its norm has none, and 0 is
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

    x = (share * real + (1 - share) * fake).detach()
    x.requires_grad = True
    dx = grad(critic(x).sum(), x, create_graph=True)
    squares = (dx * dx).sum(axis=tuple(range(1, x.ndim)))
    zero = ops.equal(squares, 0)
    norm = ops.sqrt(squares + zero) - zero  # sqrt(0 + 1) - 1: the value 0 without the root's slope at 0
    return ((norm - 1) ** 2).mean()
