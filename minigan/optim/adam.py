"""Adam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minigan.autodiff import Tensor
from minigan.backends import Backend
from minigan.optim.optimizer import Optimizer, at_least_zero


class Adam(Optimizer):
    """Algorithm 1 of Kingma and Ba (2015): steps along the mean of the gradient over the root of the mean of its square.

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  value -= lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    Args:
        params: the parameters.
        lr: the learning rate.
        betas: decay of the two means.
        eps: added to the root.
        weight_decay: this times the value is added to the gradient.

    Raises:
        ValueError: a setting out of its range.

    >>> w = mg.tensor([1.0, -1.0], requires_grad=True)
    >>> opt = mg.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> print(w.numpy().round(3))
    [ 0.9 -0.9]
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        if not all(0 <= b < 1 for b in betas):
            raise ValueError(f"betas must be in [0, 1), got {betas}")
        settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, settings, ("m", "v"))

    def update(self, xp: Backend, value: Any, grad: Any, lr: Any, step: Any, **slots: Any) -> None:
        xp.adam(value, grad, slots["m"], slots["v"], lr, self.settings["betas"], self.settings["eps"], step)
