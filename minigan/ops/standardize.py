"""Layer normalisation (Ba, Kiros and Hinton 2016): one op that standardizes, and the function that users call."""

from __future__ import annotations

import math
from typing import Any

from minigan.autodiff import Tensor, op
from minigan.errors import ShapeError


@op(outputs=("y", "inv_std"))
def standardize(xp, x, *, ndim, eps=1e-5):
    """(x - mean) * inv_std over the last `ndim` axes, inv_std = (biased variance + eps)^(-1/2) with those axes kept as 1.

    `inv_std` is an output because the rule reads it: a derivative of any order then finds its way through it.

    >>> y, inv_std = mg.ops.standardize([[1.0, 3.0], [0.0, 4.0]], ndim=1, eps=0.0)
    >>> y.numpy().tolist(), inv_std.numpy().tolist()
    ([[-1.0, 1.0], [-1.0, 1.0]], [[1.0], [0.5]])
    """
    axes = tuple(range(x.ndim - ndim, x.ndim))
    centred = x - xp.mean(x, axis=axes, keepdims=True)
    inv_std = 1.0 / xp.sqrt(xp.mean(centred * centred, axis=axes, keepdims=True) + eps)
    return centred * inv_std, inv_std


@standardize.gradient(
    "x",
    formula=r"\partial L/\partial x = \mathit{inv\_std} \, (c - \operatorname{mean} c),\;"
    r" c = \partial L/\partial y - y \, (\operatorname{mean}(\partial L/\partial y \, y)"
    r" + \tfrac{1}{n} \, \partial L/\partial \mathit{inv\_std} \, \mathit{inv\_std})",
)
def _(F, dy, dinv_std, y, inv_std, ndim):
    axes = tuple(range(y.ndim - ndim, y.ndim))
    c = y * 0 if dy is None else dy
    # y feeds on inv_std, which feeds on the mean of the squares
    slope = F.mean(c * y, axis=axes, keepdims=True)
    if dinv_std is not None:
        slope = slope + dinv_std * inv_std / math.prod(y.shape[y.ndim - ndim :])
    c = c - y * slope
    return inv_std * (c - F.mean(c, axis=axes, keepdims=True))


def layer_norm(x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Each sample standardized over its last axes, then scaled and shifted; no batch statistics, one meaning in both modes.

    Args:
        x: (..., *normalized_shape).
        normalized_shape: the last axes' shape, an integer for one axis.
        weight, bias: of `normalized_shape`, or None.
        eps: added to the variance.

    Raises:
        ShapeError: x does not end in `normalized_shape`, or weight or bias is not of it.

    >>> mg.ops.layer_norm([[0.0, 2.0], [5.0, 9.0]], 2, eps=0.0).numpy().tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    x = x if isinstance(x, Tensor) else Tensor(x, copy=False)
    if not shape or x.shape[-len(shape) :] != shape or math.prod(shape) == 0:
        raise ShapeError(f"layer_norm: x must end in normalized_shape {shape}, at least one value, got {x.shape}")
    y, _ = standardize(x, ndim=len(shape), eps=eps)
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.shape != shape:
            raise ShapeError(f"layer_norm: {name} must be of normalized_shape {shape}, got {value.shape}")
    y = y if weight is None else y * weight
    return y if bias is None else y + bias
