"""Losses on logits, averaged."""

from minigan.autodiff import op
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
    """
    _check_target(x, target)
    return xp.mean((xp.maximum(x, 0) - target * x) + xp.log1p(xp.exp(-xp.abs(x))))


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


@op
def mse_loss(xp, x, target):
    """Mean of (x - target)^2; `target` is a number or of x's shape."""
    _check_target(x, target)
    difference = x - target
    return xp.mean(difference * difference)


@mse_loss.gradient(
    "x", formula=r"\partial L/\partial x = \tfrac{2}{n} \, \partial L/\partial y \, (x - \mathit{target})"
)
def _(F, dy, x, target):
    return (x - target) * (dy * (2 / x.size))


@mse_loss.gradient(
    "target",
    formula=r"\partial L/\partial \mathit{target} ="
    r" -\tfrac{2}{n} \operatorname{sum\_to}(\partial L/\partial y \, (x - \mathit{target}))",
)
def _(F, dy, x, target, target_shape):
    return F.sum_to((x - target) * (dy * (-2 / x.size)), shape=target_shape)


@op
def l1_loss(xp, x, target):
    """Mean of |x - target|; `target` is a number or of x's shape. Where they are equal the derivative is 0."""
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
