"""Probabilities over classes, and their logarithms."""

from minigan.autodiff import op


@op
def softmax(xp, x, *, axis=-1):
    """exp(x) / sum exp(x) over `axis`, of x's shape, without overflow.

    >>> mg.ops.softmax([0.0, 0.0, 1000.0])
    Tensor([0. 0. 1.], float32, shape (3,))
    """
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return e / xp.sum(e, axis=axis, keepdims=True)


@softmax.gradient(
    "x",
    formula=r"\partial L/\partial x = y \, (\partial L/\partial y - \operatorname{sum}(\partial L/\partial y \, y))",
)
def _(F, dy, y, axis):
    return y * (dy - F.sum(dy * y, axis=axis, keepdims=True))


@op
def log_softmax(xp, x, *, axis=-1):
    """log softmax(x) over `axis`, of x's shape, without overflow and exact where a probability rounds to 0 or 1.

    >>> mg.ops.log_softmax([0.0, 1000.0])
    Tensor([-1000.     0.], float32, shape (2,))
    """
    centred = x - xp.max(x, axis=axis, keepdims=True)
    return centred - xp.log(xp.sum(xp.exp(centred), axis=axis, keepdims=True))


@log_softmax.gradient(
    "x",
    formula=r"\partial L/\partial x = \partial L/\partial y - \exp(y) \operatorname{sum} \partial L/\partial y",
)
def _(F, dy, y, axis):
    return dy - F.exp(y) * F.sum(dy, axis=axis, keepdims=True)
