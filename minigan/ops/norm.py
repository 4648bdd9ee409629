"""Batch normalisation (Ioffe and Szegedy 2015): one op for training, one for evaluation, and the function users call."""

from typing import Any

from minigan.autodiff import op
from minigan.autodiff.tensor import Tensor
from minigan.backends.plain import channel_axes
from minigan.errors import DTypeError, ShapeError


def _check(x, *vectors):
    if x.ndim not in (2, 4):
        raise ShapeError(f"x must be (N, C) or (N, C, H, W), got {x.ndim}-D")
    for v in vectors:
        if v is not None and v.shape != x.shape[1:2]:
            raise ShapeError(
                f"weight, bias, mean and var must be of shape ({x.shape[1]},), one number a channel, got {v.shape}"
            )


@op(outputs=("y", "mean", "inv_std"))
def batch_norm_train(xp, x, weight=None, bias=None, *, eps=1e-5):
    """(x - mean) * inv_std * weight + bias by the batch's own statistics; x is (N, C) or (N, C, H, W).

    `mean` and `inv_std` = (biased variance + eps)^(-1/2), each (C,), are outputs because the rule reads them:
    a derivative of any order then finds its way through them.

    Raises:
        ShapeError: x of another rank, a vector of another length, or one value a channel only.

    >>> y, mean, inv_std = mg.ops.batch_norm_train([[1.0], [3.0]], eps=0.0)
    >>> y.numpy().tolist(), mean.item(), inv_std.item()
    ([[-1.0], [1.0]], 2.0, 1.0)
    """
    _check(x, weight, bias)
    if x.size <= x.shape[1]:
        raise ShapeError("batch statistics need more than one value a channel; use a larger batch, or eval()")
    return xp.batch_norm(x, weight, bias, eps)


@batch_norm_train.gradient(
    "x",
    "weight",
    "bias",
    formula=r"\partial L/\partial x = c + \tfrac{1}{n} (\partial L/\partial \mathit{mean} - \operatorname{sum} c),\;"
    r" c = \partial L/\partial y \, \mathit{weight} \, \mathit{inv\_std}"
    r" - \tfrac{1}{n} \mathit{inv\_std}^3 (x - \mathit{mean})"
    r" (\partial L/\partial \mathit{inv\_std}"
    r" + \operatorname{sum}(\partial L/\partial y \, \mathit{weight} (x - \mathit{mean})));\;"
    r" \partial L/\partial \mathit{weight} ="
    r" \operatorname{sum}(\partial L/\partial y \, (x - \mathit{mean}) \, \mathit{inv\_std});\;"
    r" \partial L/\partial \mathit{bias} = \operatorname{sum} \partial L/\partial y",
)
def _(F, dy, dmean, dinv_std, x, weight, mean, inv_std):
    axes, shape = channel_axes(x.ndim)
    n = x.size // x.shape[1]
    dy = x * 0 if dy is None else dy
    centred = x - F.reshape(mean, shape=shape)
    dbias, dweight = F.sum(dy, axis=axes), F.sum(dy * centred, axis=axes) * inv_std
    dxhat = dy if weight is None else dy * F.reshape(weight, shape=shape)
    # centred feeds y directly, and inv_std through the variance mean(centred^2)
    dinv = F.sum(dxhat * centred, axis=axes)
    dinv = dinv if dinv_std is None else dinv + dinv_std
    dcentred = dxhat * F.reshape(inv_std, shape=shape) - centred * F.reshape(inv_std**3 * dinv / n, shape=shape)
    # x feeds centred directly, and through the mean
    dshift = -F.sum(dcentred, axis=axes)
    dshift = dshift if dmean is None else dshift + dmean
    return dcentred + F.reshape(dshift / n, shape=shape), dweight, dbias


@op
def batch_norm_eval(xp, x, mean, var, weight=None, bias=None, *, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias with given statistics, each (C,).

    Raises:
        ShapeError: x of another rank, or a vector of another length.

    >>> mg.ops.batch_norm_eval([[1.0], [3.0]], mean=[1.0], var=[4.0], eps=0.0)
    Tensor([[0.]
            [1.]], float32, shape (2, 1))
    """
    _check(x, mean, var, weight, bias)
    shape = channel_axes(x.ndim)[1]
    scale = 1 / xp.sqrt(var + eps) if weight is None else weight / xp.sqrt(var + eps)
    shift = -mean * scale if bias is None else bias - mean * scale
    return x * scale.reshape(shape) + shift.reshape(shape)


@batch_norm_eval.gradient(
    "x",
    formula=r"\partial L/\partial x = \partial L/\partial y \, \mathit{weight} / \sqrt{\mathit{var} + \mathit{eps}}",
)
def _(F, dy, var, weight, eps):
    scale = (var + eps) ** -0.5
    return dy * F.reshape(scale if weight is None else scale * weight, shape=channel_axes(dy.ndim)[1])


@batch_norm_eval.gradient(
    "mean",
    formula=r"\partial L/\partial \mathit{mean} ="
    r" -\operatorname{sum}(\partial L/\partial y) \, \mathit{weight} / \sqrt{\mathit{var} + \mathit{eps}}",
)
def _(F, dy, var, weight, eps):
    scale = (var + eps) ** -0.5
    return -F.sum(dy, axis=channel_axes(dy.ndim)[0]) * (scale if weight is None else scale * weight)


@batch_norm_eval.gradient(
    "var",
    formula=r"\partial L/\partial \mathit{var} = -\tfrac{1}{2} \operatorname{sum}(\partial L/\partial y \,"
    r" (x - \mathit{mean})) \, \mathit{weight} \, (\mathit{var} + \mathit{eps})^{-3/2}",
)
def _(F, dy, x, mean, var, weight, eps):
    axes, shape = channel_axes(x.ndim)
    total = F.sum(dy * (x - F.reshape(mean, shape=shape)), axis=axes) * (-0.5 * (var + eps) ** -1.5)
    return total if weight is None else total * weight


@batch_norm_eval.gradient(
    "weight",
    formula=r"\partial L/\partial \mathit{weight} = \operatorname{sum}(\partial L/\partial y \, (x - \mathit{mean}))"
    r" / \sqrt{\mathit{var} + \mathit{eps}}",
)
def _(F, dy, x, mean, var, eps):
    axes, shape = channel_axes(x.ndim)
    return F.sum(dy * (x - F.reshape(mean, shape=shape)), axis=axes) * (var + eps) ** -0.5


@batch_norm_eval.gradient(
    "bias", formula=r"\partial L/\partial \mathit{bias} = \operatorname{sum} \partial L/\partial y"
)
def _(F, dy):
    return F.sum(dy, axis=channel_axes(dy.ndim)[0])


def batch_norm(
    x: Any,
    weight: Any = None,
    bias: Any = None,
    running_mean: Any = None,
    running_var: Any = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalisation of x (N, C) or (N, C, H, W), over every axis but the channels'.

    Args:
        x: the input.
        weight, bias: (C,) scale and shift, or None.
        running_mean, running_var: Tensors (C,) or None. In training they move by `momentum` towards the batch's mean
            and unbiased variance, in place and outside the graph; in evaluation they are what x is normalised by.
        training: use the batch's own statistics.
        momentum: the share of the new statistics.
        eps: added to the variance.

    Raises:
        ShapeError: x has another rank, a vector another length, or a channel one value only.
        ValueError: evaluation without running statistics.

    >>> mg.ops.batch_norm([[1.0], [3.0]], eps=0.0)
    Tensor([[-1.]
            [ 1.]], float32, shape (2, 1))
    """
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm in evaluation needs running_mean and running_var; give them, or training=True")
        return batch_norm_eval(x, running_mean, running_var, weight, bias, eps=eps)
    y, mean, inv_std = batch_norm_train(x, weight, bias, eps=eps)
    for running in (running_mean, running_var):
        if not isinstance(running, Tensor | None):
            raise DTypeError(f"running statistics change in place and must be Tensors, got {type(running).__name__}")
    means, variances = (None if running is None else running.data for running in (running_mean, running_var))
    batch = mean.data, inv_std.data, y.size // y.shape[1]
    after = y._home.running_statistics(means, variances, *batch, momentum, eps)
    for running, new in zip((running_mean, running_var), after, strict=True):
        if running is not None:
            running.assign_(new)
    return y
