"""Matrix products."""

from minigan.autodiff import op
from minigan.errors import ShapeError


@op(broadcasts=True)
def matmul(xp, a, b):
    """The matrix product over the last two axes, batched over the others, which broadcast; vectors as in NumPy."""
    return xp.matmul(a, b)


def _swapped(F, m):
    return F.transpose(m, axes=(*range(m.ndim - 2), m.ndim - 1, m.ndim - 2))


def _matrices(F, dy, a, b):
    """Vectors as matrices: a as a row, b as a column, dy to match."""
    if a.ndim == 1:
        dy = F.reshape(dy, shape=(*dy.shape[:-1], 1, *dy.shape[-1:]) if b.ndim > 1 else (1,))
        a = F.reshape(a, shape=(1, *a.shape))
    if b.ndim == 1:
        dy = F.reshape(dy, shape=(*dy.shape, 1))
        b = F.reshape(b, shape=(*b.shape, 1))
    return dy, a, b


@matmul.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y \; b^\top")
def _(F, dy, a, b):
    gy, _, right = _matrices(F, dy, a, b)
    da = F.matmul(gy, _swapped(F, right))
    return F.reshape(da, shape=(*da.shape[:-2], da.shape[-1])) if a.ndim == 1 else da


@matmul.gradient("b", formula=r"\partial L/\partial b = a^\top \; \partial L/\partial y")
def _(F, dy, a, b):
    gy, left, _ = _matrices(F, dy, a, b)
    db = F.matmul(_swapped(F, left), gy)
    return F.reshape(db, shape=db.shape[:-1]) if b.ndim == 1 else db


@op
def linear(xp, x, weight, bias=None):
    """x W^T + b: x (..., in), weight (out, in), bias (out,) -> (..., out)."""
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(f"x's last axis ({x.shape[-1:]}) must be weight's second ({weight.shape[1:]})")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"bias must be of shape {weight.shape[:1]}, one number an output")
    y = xp.matmul(x, weight.T)
    return y if bias is None else y + bias


@linear.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \; \mathit{weight}")
def _(F, dy, weight):
    return F.matmul(dy, weight)


@linear.gradient("weight", formula=r"\partial L/\partial \mathit{weight} = (\partial L/\partial y)^\top \, x")
def _(F, dy, x):
    rows = F.reshape(x, shape=(-1, x.shape[-1]))
    return F.matmul(F.transpose(F.reshape(dy, shape=(rows.shape[0], dy.shape[-1]))), rows)


@linear.gradient("bias", formula=r"\partial L/\partial \mathit{bias} = \operatorname{sum}(\partial L/\partial y)")
def _(F, dy, bias_shape):
    return F.sum_to(dy, shape=bias_shape)
