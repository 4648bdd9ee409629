"""Losses on logits, averaged."""

from minigan.autodiff import op
from minigan.errors import ShapeError


@op
def bce_with_logits(xp, x, target):
    """Mean binary cross-entropy of the logits x with `target` in [0, 1], a number or of x's shape.

    As max(x, 0) - target * x + log(1 + exp(-|x|)), in this order: nothing overflows, and the small loss of a confident
    logit is not rounded away.
    """
    shape = getattr(target, "shape", ())
    if shape not in ((), x.shape):
        raise ShapeError(f"target must be a number or of the logits' shape {x.shape}, got {shape}")
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
