"""Ops that move values without changing them, and the two that broadcasting is made of."""

from minigan.autodiff import op
from minigan.errors import ShapeError


@op
def reshape(xp, x, *, shape):
    """The same values in another shape; one side may be -1."""
    return xp.reshape(x, shape)


@reshape.gradient("x", formula=r"\partial L/\partial x = \operatorname{reshape}(\partial L/\partial y)")
def _(F, dy, x_shape):
    return F.reshape(dy, shape=x_shape)


@op
def transpose(xp, x, *, axes=None):
    """The axes in another order; all of them reversed when `axes` is None."""
    return xp.transpose(x, axes)


@transpose.gradient("x", formula=r"\partial L/\partial x = \operatorname{transpose}(\partial L/\partial y)")
def _(F, dy, axes):
    if axes is None:
        return F.transpose(dy, axes=None)
    positive = [a % dy.ndim for a in axes]
    return F.transpose(dy, axes=tuple(positive.index(i) for i in range(dy.ndim)))


@op
def broadcast_to(xp, x, *, shape):
    """Repeat x along new axes and axes of length 1, to `shape`; the transpose of `sum_to`."""
    return xp.broadcast_to(x, shape)


@broadcast_to.gradient("x", formula=r"\partial L/\partial x = \operatorname{sum\_to}(\partial L/\partial y)")
def _(F, dy, x_shape):
    return F.sum_to(dy, shape=x_shape)


@op
def sum_to(xp, x, *, shape):
    """Sum the axes along which `shape` would be broadcast to x; the transpose of `broadcast_to`."""
    extra = x.ndim - len(shape)
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, x.shape[extra:], strict=True)):
        raise ShapeError(f"shape {tuple(shape)} does not broadcast to {x.shape}, so x cannot be summed to it")
    ones = tuple(extra + i for i, n in enumerate(shape) if n == 1 and x.shape[extra + i] != 1)
    axes = (*range(extra), *ones)
    return xp.reshape(xp.sum(x, axis=axes), shape) if axes else xp.array(x)


@sum_to.gradient("x", formula=r"\partial L/\partial x = \operatorname{broadcast\_to}(\partial L/\partial y)")
def _(F, dy, x_shape):
    return F.broadcast_to(dy, shape=x_shape)


@op
def getitem(xp, x, *, index):
    """x[index] with slices, integers, None, Ellipsis and integer or boolean arrays; the transpose of `scatter_add`."""
    return x[index]


@getitem.gradient("x", formula=r"\partial L/\partial x = \operatorname{scatter\_add}(\partial L/\partial y)")
def _(F, dy, x_shape, index):
    return F.scatter_add(dy, index=index, shape=x_shape)


@op
def scatter_add(xp, x, *, index, shape):
    """Zeros of `shape`, with x added at `index`; places that are named twice receive both."""
    return xp.scatter_add(x, index, shape)


@scatter_add.gradient("x", formula=r"\partial L/\partial x = \operatorname{getitem}(\partial L/\partial y)")
def _(F, dy, index):
    return F.getitem(dy, index=index)


@op
def copy(xp, x):
    """The same values in memory of their own."""
    return xp.array(x)


@copy.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y")
def _(F, dy):
    return dy


@op
def astype(xp, x, *, dtype):
    """x in another dtype. The engine casts the gradient back, as every gradient has its input's dtype."""
    return x.astype(dtype)


@astype.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y")
def _(F, dy):
    return dy
