"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minigan.autodiff import Tensor
from minigan.backends import Backend
from minigan.optim.optimizer import Optimizer, at_least_zero


class SGD(Optimizer):
    """Steps against the gradient, or with momentum (Polyak 1964) against its decaying sum.

    b = momentum b + g;  value -= lr b

    Args:
        params: the parameters.
        lr: the learning rate.
        momentum: decay of the sum, in [0, 1).
        weight_decay: this times the value is added to the gradient.

    Raises:
        ValueError: a setting out of its range.

    >>> w = mg.tensor([1.0, -1.0], requires_grad=True)
    >>> opt = mg.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> print(w.numpy().round(3))
    [ 0.8 -0.8]
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-3, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        at_least_zero(lr=lr, weight_decay=weight_decay)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}, ("b",))

    def update(self, xp: Backend, value: Any, grad: Any, lr: Any, step: Any, **slots: Any) -> None:
        b = slots["b"]
        b *= self.settings["momentum"]
        b += grad
        value -= lr * b
