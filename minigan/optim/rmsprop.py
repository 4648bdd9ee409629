"""RMSProp."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minigan.autodiff import Tensor
from minigan.backends import Backend
from minigan.optim.optimizer import Optimizer, at_least_zero


class RMSProp(Optimizer):
    """Steps along the gradient over the root of the mean of its square (Tieleman and Hinton 2012).

    v = alpha v + (1 - alpha) g^2;  value -= lr g / (sqrt(v) + eps)

    Args:
        params: the parameters.
        lr: the learning rate.
        alpha: decay of the mean, in [0, 1).
        eps: added to the root.
        weight_decay: this times the value is added to the gradient.

    Raises:
        ValueError: a setting out of its range.

    >>> w = mg.tensor([1.0, -1.0], requires_grad=True)
    >>> opt = mg.optim.RMSProp([w], lr=0.01)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> print(w.numpy().round(3))
    [ 0.9 -0.9]
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        at_least_zero(lr=lr, eps=eps, weight_decay=weight_decay)
        if not 0 <= alpha < 1:
            raise ValueError(f"alpha must be in [0, 1), got {alpha}")
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}, ("v",))

    def update(self, xp: Backend, value: Any, grad: Any, lr: Any, step: Any, **slots: Any) -> None:
        s, v = self.settings, slots["v"]
        v *= s["alpha"]
        v += (1 - s["alpha"]) * (grad * grad)
        value -= lr * grad / (xp.sqrt(v) + s["eps"])
