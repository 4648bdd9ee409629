"""Ops that move values without changing them, and the two that broadcasting is made of."""

from itertools import accumulate, pairwise

from minigan.autodiff import op
from minigan.errors import ShapeError


@op
def reshape(xp, x, *, shape):
    """The same values in another shape; one side may be -1.

    >>> mg.ops.reshape([1.0, 2.0, 3.0, 4.0], (2, -1))
    Tensor([[1. 2.]
            [3. 4.]], float32, shape (2, 2))
    """
    return xp.reshape(x, shape)


@reshape.gradient("x", formula=r"\partial L/\partial x = \operatorname{reshape}(\partial L/\partial y)")
def _(F, dy, x_shape):
    return F.reshape(dy, shape=x_shape)


@op
def transpose(xp, x, *, axes=None):
    """The axes in another order; all of them reversed when `axes` is None.

    >>> mg.ops.transpose([[1.0, 2.0], [3.0, 4.0]])
    Tensor([[1. 3.]
            [2. 4.]], float32, shape (2, 2))
    """
    return xp.transpose(x, axes)


@transpose.gradient("x", formula=r"\partial L/\partial x = \operatorname{transpose}(\partial L/\partial y)")
def _(F, dy, axes):
    if axes is None:
        return F.transpose(dy, axes=None)
    positive = [a % dy.ndim for a in axes]
    return F.transpose(dy, axes=tuple(positive.index(i) for i in range(dy.ndim)))


@op
def broadcast_to(xp, x, *, shape):
    """Repeat x along new axes and axes of length 1, to `shape`; the transpose of `sum_to`.

    >>> mg.ops.broadcast_to([1.0, 2.0], (2, 2))
    Tensor([[1. 2.]
            [1. 2.]], float32, shape (2, 2))
    """
    return xp.broadcast_to(x, shape)


@broadcast_to.gradient("x", formula=r"\partial L/\partial x = \operatorname{sum\_to}(\partial L/\partial y)")
def _(F, dy, x_shape):
    return F.sum_to(dy, shape=x_shape)


@op
def sum_to(xp, x, *, shape):
    """Sum the axes along which `shape` would be broadcast to x; the transpose of `broadcast_to`.

    Raises:
        ShapeError: `shape` does not broadcast to x's.

    >>> mg.ops.sum_to([[1.0, 2.0], [3.0, 4.0]], (2,))
    Tensor([4. 6.], float32, shape (2,))
    """
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
    """x[index] with slices, integers, None, Ellipsis and integer or boolean arrays; the transpose of `scatter_add`.

    >>> mg.ops.getitem([[1.0, 2.0], [3.0, 4.0]], (slice(None), 0))
    Tensor([1. 3.], float32, shape (2,))
    """
    return x[xp.indices(index)]


@getitem.gradient("x", formula=r"\partial L/\partial x = \operatorname{scatter\_add}(\partial L/\partial y)")
def _(F, dy, x_shape, index):
    return F.scatter_add(dy, index=index, shape=x_shape)


@op
def scatter_add(xp, x, *, index, shape):
    """Zeros of `shape`, with x added at `index`; places that are named twice receive both.

    >>> mg.ops.scatter_add([1.0, 2.0, 3.0], index=(np.array([0, 2, 0]),), shape=(3,))
    Tensor([4. 0. 2.], float32, shape (3,))
    """
    return xp.scatter_add(x, xp.indices(index), shape)


@scatter_add.gradient("x", formula=r"\partial L/\partial x = \operatorname{getitem}(\partial L/\partial y)")
def _(F, dy, index):
    return F.getitem(dy, index=index)


@op
def copy(xp, x):
    """The same values in memory of their own.

    >>> mg.ops.copy([1.0, 2.0])
    Tensor([1. 2.], float32, shape (2,))
    """
    return xp.array(x)


@copy.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y")
def _(F, dy):
    return dy


@op
def astype(xp, x, *, dtype):
    """x in another dtype. The engine casts the gradient back, as every gradient has its input's dtype.

    >>> mg.ops.astype([1.5, 2.0], "float64")
    Tensor([1.5 2. ], float64, shape (2,))
    """
    return x.astype(dtype)


@astype.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y")
def _(F, dy):
    return dy


@op
def concatenate(xp, arrays, *, axis=0):
    """The arrays one after the other along an axis that they have.

    >>> mg.ops.concatenate((mg.tensor([1.0, 2.0]), mg.tensor([3.0])))
    Tensor([1. 2. 3.], float32, shape (3,))
    """
    return xp.concatenate(arrays, axis=axis)


@concatenate.gradient(
    "arrays", formula=r"\partial L/\partial \mathit{arrays} = \operatorname{getitem}(\partial L/\partial y)"
)
def _(F, dy, arrays_shape, axis):
    before = (slice(None),) * (axis % dy.ndim)
    ends = list(accumulate((shape[axis] for shape in arrays_shape), initial=0))
    return tuple(F.getitem(dy, index=(*before, slice(a, b))) for a, b in pairwise(ends))


@op
def stack(xp, arrays, *, axis=0):
    """The arrays, all of one shape, side by side along a new axis.

    >>> mg.ops.stack((mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0])), axis=1)
    Tensor([[1. 3.]
            [2. 4.]], float32, shape (2, 2))
    """
    return xp.stack(arrays, axis=axis)


@stack.gradient(
    "arrays", formula=r"\partial L/\partial \mathit{arrays} = \operatorname{getitem}(\partial L/\partial y)"
)
def _(F, dy, arrays_shape, axis):
    before = (slice(None),) * (axis % dy.ndim)
    return tuple(F.getitem(dy, index=(*before, i)) for i in range(len(arrays_shape)))


@op
def pad(xp, x, *, pad_width, value=0.0):
    """x with `value` around it; `pad_width` is ((before, after), ...), a pair for each axis or one for all.

    Raises:
        ShapeError: pairs that are too few, too many or negative.

    >>> mg.ops.pad([1.0, 2.0], ((1, 2),))
    Tensor([0. 1. 2. 0. 0.], float32, shape (5,))
    """
    if len(pad_width) not in (1, x.ndim) or any(len(pair) != 2 or min(pair) < 0 for pair in pad_width):
        raise ShapeError(
            f"pad_width must be ((before, after), ...), one pair or {x.ndim}, of at least 0, got {pad_width}"
        )
    return xp.pad(x, pad_width, constant_values=value)


@pad.gradient("x", formula=r"\partial L/\partial x = \operatorname{getitem}(\partial L/\partial y)")
def _(F, dy, x_shape, pad_width):
    pairs = pad_width if len(pad_width) == len(x_shape) else pad_width * len(x_shape)
    return F.getitem(dy, index=tuple(slice(a, a + n) for (a, _), n in zip(pairs, x_shape, strict=True)))
