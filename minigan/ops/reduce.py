"""Reductions; `axis` and `keepdims` as in NumPy."""

import math

from minigan.autodiff import op


def _kept(shape, axis):
    """The shape that a reduction over `axis` has with keepdims."""
    axes = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = {a % len(shape) for a in axes} if shape else set()
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


@op
def sum(xp, x, *, axis=None, keepdims=False):
    """The sum over `axis`, an integer or a tuple, or over everything; `keepdims` leaves axes of length 1.

    >>> mg.ops.sum([[1.0, 2.0], [3.0, 6.0]], axis=1)
    Tensor([3. 9.], float32, shape (2,))
    """
    return xp.sum(x, axis=axis, keepdims=keepdims)


@sum.gradient("x", formula=r"\partial L/\partial x = \operatorname{broadcast}(\partial L/\partial y)")
def _(F, dy, x_shape, axis):
    return F.broadcast_to(F.reshape(dy, shape=_kept(x_shape, axis)), shape=x_shape)


@op
def mean(xp, x, *, axis=None, keepdims=False):
    """The mean over `axis`, an integer or a tuple, or over everything; `keepdims` leaves axes of length 1.

    >>> mg.ops.mean([[1.0, 2.0], [3.0, 6.0]], axis=0, keepdims=True)
    Tensor([[2. 4.]], float32, shape (1, 2))
    """
    return xp.mean(x, axis=axis, keepdims=keepdims)


@mean.gradient("x", formula=r"\partial L/\partial x = \tfrac{1}{n} \operatorname{broadcast}(\partial L/\partial y)")
def _(F, dy, x_shape, axis):
    kept = _kept(x_shape, axis)
    n = math.prod(x_shape) // (math.prod(kept) or 1)
    return F.broadcast_to(F.reshape(dy, shape=kept) / n, shape=x_shape)


@op
def var(xp, x, *, axis=None, keepdims=False, ddof=0):
    """The variance over `axis`: squared deviations from the mean, summed and divided by n - ddof.

    >>> mg.ops.var([[1.0, 2.0], [3.0, 6.0]], axis=1)
    Tensor([0.25 2.25], float32, shape (2,))
    """
    return xp.var(x, axis=axis, keepdims=keepdims, ddof=ddof)


@var.gradient(
    "x",
    formula=r"\partial L/\partial x = \tfrac{2}{n - \mathit{ddof}} \, \partial L/\partial y \,"
    r" (x - \operatorname{mean} x)",
)
def _(F, dy, x, axis, ddof):
    kept = _kept(x.shape, axis)
    n = math.prod(x.shape) // (math.prod(kept) or 1)
    scale = 2 / (n - ddof) if n != ddof else math.nan  # as the variance itself
    return F.reshape(dy, shape=kept) * scale * (x - F.mean(x, axis=axis, keepdims=True))


def _extreme(F, dy, x, y, axis):
    """dy at the places that hold the extreme value, in equal parts where there are several."""
    kept = _kept(x.shape, axis)
    chosen = F.equal(x, F.reshape(y, shape=kept))
    return F.reshape(dy, shape=kept) * chosen / F.sum(chosen, axis=axis, keepdims=True)


@op
def max(xp, x, *, axis=None, keepdims=False):
    """The largest value over `axis`; where several are, the gradient is split equally.

    >>> mg.ops.max([[1.0, 2.0], [3.0, 6.0]], axis=0)
    Tensor([3. 6.], float32, shape (2,))
    """
    return xp.max(x, axis=axis, keepdims=keepdims)


@max.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, [x = y] / \operatorname{sum} [x = y]")
def _(F, dy, x, y, axis):
    return _extreme(F, dy, x, y, axis)


@op
def min(xp, x, *, axis=None, keepdims=False):
    """The smallest value over `axis`; where several are, the gradient is split equally.

    >>> mg.ops.min([[1.0, 2.0], [3.0, 6.0]])
    Tensor(1.0, float32)
    """
    return xp.min(x, axis=axis, keepdims=keepdims)


@min.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, [x = y] / \operatorname{sum} [x = y]")
def _(F, dy, x, y, axis):
    return _extreme(F, dy, x, y, axis)
