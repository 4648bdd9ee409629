"""Matrix products."""

from minigan.autodiff import op
from minigan.errors import ShapeError


@op(broadcasts=True)
def matmul(xp, a, b):
    """The matrix product over the last two axes, batched over the others, which broadcast; vectors as in NumPy.

    >>> mg.ops.matmul([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    Tensor([3. 7.], float32, shape (2,))
    """
    return xp.matmul(a, b)


def _swapped(F, m):
    return F.transpose(m, axes=(*range(m.ndim - 2), m.ndim - 1, m.ndim - 2))


def _as_matrix(F, dy, a_shape, b_shape):
    """dy as it would be if a vector a were a row, and a vector b a column."""
    if len(a_shape) == 1:
        dy = F.reshape(dy, shape=(*dy.shape[:-1], 1, *dy.shape[-1:]) if len(b_shape) > 1 else (1,))
    return F.reshape(dy, shape=(*dy.shape, 1)) if len(b_shape) == 1 else dy


@matmul.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y \; b^\top")
def _(F, dy, b, a_shape):
    right = F.reshape(b, shape=(1, *b.shape)) if b.ndim == 1 else _swapped(F, b)
    da = F.matmul(_as_matrix(F, dy, a_shape, b.shape), right)
    return F.reshape(da, shape=(*da.shape[:-2], da.shape[-1])) if len(a_shape) == 1 else da


@matmul.gradient("b", formula=r"\partial L/\partial b = a^\top \; \partial L/\partial y")
def _(F, dy, a, b_shape):
    left = F.reshape(a, shape=(*a.shape, 1)) if a.ndim == 1 else _swapped(F, a)
    db = F.matmul(left, _as_matrix(F, dy, a.shape, b_shape))
    return F.reshape(db, shape=db.shape[:-1]) if len(b_shape) == 1 else db


@op
def linear(xp, x, weight, bias=None):
    """x W^T + b: x (..., in), weight (out, in), bias (out,) -> (..., out).

    Raises:
        ShapeError: other shapes.

    >>> mg.ops.linear([[1.0, 2.0]], weight=[[1.0, 0.0], [1.0, 1.0]], bias=[0.0, 10.0])
    Tensor([[ 1. 13.]], float32, shape (1, 2))
    """
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ShapeError("x must be (..., in) and weight (out, in), with the same number of inputs in both")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"bias must be of shape {weight.shape[:1]}, one number an output")
    return xp.linear(x, weight, bias)


@linear.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \; \mathit{weight}")
def _(F, dy, weight):
    return F.matmul(dy, weight)


@linear.gradient("weight", formula=r"\partial L/\partial \mathit{weight} = (\partial L/\partial y)^\top \; x")
def _(F, dy, x):
    rows = F.reshape(x, shape=(-1, x.shape[-1]))
    return F.matmul(F.transpose(F.reshape(dy, shape=(rows.shape[0], dy.shape[-1]))), rows)


@linear.gradient("bias", formula=r"\partial L/\partial \mathit{bias} = \operatorname{sum}(\partial L/\partial y)")
def _(F, dy, bias_shape):
    return F.sum_to(dy, shape=bias_shape)
