"""Losses on logits, averaged."""

import warnings
from functools import cache, wraps
from typing import Any

from minigan import backends
from minigan.autodiff import Tensor, op
from minigan.errors import ShapeError


def _check_target(x, target):
    shape = getattr(target, "shape", ())
    if shape not in ((), x.shape):
        raise ShapeError(f"target must be a number or of x's shape {x.shape}, got {shape}")


@op
def bce_with_logits(xp, x, target):
    """Mean binary cross-entropy of the logits x with `target` in [0, 1], a number or of x's shape.

    As max(x, 0) - target * x + log(1 + exp(-|x|)), in this order: nothing overflows, and the small loss of a confident
    logit is not rounded away.

    Raises:
        ShapeError: a target of another shape.

    Warns:
        UserWarning: once, where x looks like probabilities.

    >>> mg.ops.bce_with_logits([100.0, -100.0], [1.0, 1.0])
    Tensor(50.0, float32)
    """
    _check_target(x, target)
    return xp.bce_with_logits(x, target)


@bce_with_logits.gradient(
    "x", formula=r"\partial L/\partial x = \tfrac{1}{n} \, \partial L/\partial y \, (\sigma(x) - \mathit{target})"
)
def _(F, dy, x, target):
    return (F.sigmoid(x) - target) * (dy / x.size)


@bce_with_logits.gradient(
    "target",
    formula=r"\partial L/\partial \mathit{target} = -\tfrac{1}{n} \operatorname{sum\_to}(\partial L/\partial y \, x)",
)
def _(F, dy, x, target_shape):
    return F.sum_to(x * (-dy / x.size), shape=target_shape)


_bce_with_logits = bce_with_logits


@wraps(_bce_with_logits)
def bce_with_logits(x: Any, target: Any) -> Tensor:
    y = _bce_with_logits(x, target)
    warn_of_probabilities("bce_with_logits", x)
    return y


def warn_of_probabilities(loss: str, x: Any) -> None:
    """Warn, once a loss, where x looks like probabilities: a sigmoid's or softmax's result, or several data all in [0, 1].

    Other results of ops are not looked at, as logits may happen to lie there; nor is a device's memory, which would have
    to be waited for.
    """
    made_by = x._edge[0].plan.op.name if isinstance(x, Tensor) and x._edge is not None else None
    values, host = x.data if isinstance(x, Tensor) else x, backends.get("numpy")
    if made_by is None and backends.of(values) in (None, host):
        values = host.asarray(values)
        suspicious = values.size > 1 and ((values >= 0) & (values <= 1)).all() and values.any()
    else:
        suspicious = made_by in ("sigmoid", "softmax")
    if suspicious:
        _warn_once(loss)


@cache
def _warn_once(loss: str) -> None:
    warnings.warn(
        f"{loss} takes logits, of any size and sign, and was given values all in [0, 1], which look like probabilities; "
        "leave the sigmoid or softmax out, the loss has it inside",
        stacklevel=4,
    )


@op
def mse_loss(xp, x, target):
    """Mean of (x - target)^2; `target` is a number or of x's shape.

    Raises:
        ShapeError: a target of another shape.

    >>> mg.ops.mse_loss([1.0, 3.0], 2.0)
    Tensor(1.0, float32)
    """
    _check_target(x, target)
    difference = x - target
    return xp.mean(difference * difference)


@mse_loss.gradient(
    "x", formula=r"\partial L/\partial x = \tfrac{2}{n} \, \partial L/\partial y \, (x - \mathit{target})"
)
def _(F, dy, x, target):
    return (x - target) * (2 * dy / x.size)


@mse_loss.gradient(
    "target",
    formula=r"\partial L/\partial \mathit{target} ="
    r" -\tfrac{2}{n} \operatorname{sum\_to}(\partial L/\partial y \, (x - \mathit{target}))",
)
def _(F, dy, x, target, target_shape):
    return F.sum_to((x - target) * (-2 * dy / x.size), shape=target_shape)


@op
def l1_loss(xp, x, target):
    """Mean of |x - target|; `target` is a number or of x's shape. Where they are equal the derivative is 0.

    Raises:
        ShapeError: a target of another shape.

    >>> mg.ops.l1_loss([1.0, 4.0], 2.0)
    Tensor(1.5, float32)
    """
    _check_target(x, target)
    return xp.mean(xp.abs(x - target))


@l1_loss.gradient(
    "x",
    formula=r"\partial L/\partial x = \tfrac{1}{n} \, \partial L/\partial y \operatorname{sign}(x - \mathit{target})",
)
def _(F, dy, x, target):
    return F.sign(x - target) * (dy / x.size)


@l1_loss.gradient(
    "target",
    formula=r"\partial L/\partial \mathit{target} ="
    r" -\tfrac{1}{n} \operatorname{sum\_to}(\partial L/\partial y \operatorname{sign}(x - \mathit{target}))",
)
def _(F, dy, x, target, target_shape):
    return F.sum_to(F.sign(x - target) * (-dy / x.size), shape=target_shape)
