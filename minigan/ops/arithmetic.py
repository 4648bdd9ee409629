"""Arithmetic, element by element. Inputs broadcast; the engine sums each gradient back to its input's shape."""

from minigan.autodiff import op


@op(broadcasts=True)
def add(xp, a, b):
    """a + b; the shapes broadcast.

    >>> mg.ops.add([1.0, 2.0], [[10.0], [20.0]])
    Tensor([[11. 12.]
            [21. 22.]], float32, shape (2, 2))
    """
    return xp.add(a, b)


@add.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y")
def _(F, dy):
    return dy


@add.gradient("b", formula=r"\partial L/\partial b = \partial L/\partial y")
def _(F, dy):
    return dy


@op(broadcasts=True)
def sub(xp, a, b):
    """a - b; the shapes broadcast.

    >>> mg.ops.sub([3.0, 2.0], 1.0)
    Tensor([2. 1.], float32, shape (2,))
    """
    return xp.subtract(a, b)


@sub.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y")
def _(F, dy):
    return dy


@sub.gradient("b", formula=r"\partial L/\partial b = -\partial L/\partial y")
def _(F, dy):
    return -dy


@op(broadcasts=True)
def mul(xp, a, b):
    """a * b; the shapes broadcast.

    >>> mg.ops.mul([1.0, 2.0], [3.0, 4.0])
    Tensor([3. 8.], float32, shape (2,))
    """
    return xp.multiply(a, b)


@mul.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y \, b")
def _(F, dy, b):
    return dy * b


@mul.gradient("b", formula=r"\partial L/\partial b = \partial L/\partial y \, a")
def _(F, dy, a):
    return dy * a


@op(broadcasts=True)
def div(xp, a, b):
    """a / b; the shapes broadcast.

    >>> mg.ops.div([1.0, 3.0], 2.0)
    Tensor([0.5 1.5], float32, shape (2,))
    """
    return xp.divide(a, b)


@div.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y / b")
def _(F, dy, b):
    return dy / b


@div.gradient("b", formula=r"\partial L/\partial b = -\partial L/\partial y \, y / b")
def _(F, dy, y, b):
    return -dy * y / b


@op
def neg(xp, x):
    """-x, element by element.

    >>> mg.ops.neg([1.0, -2.0])
    Tensor([-1.  2.], float32, shape (2,))
    """
    return xp.negative(x)


@neg.gradient("x", formula=r"\partial L/\partial x = -\partial L/\partial y")
def _(F, dy):
    return -dy


@op(broadcasts=True)
def pow(xp, a, b):
    """a to the power b; the shapes broadcast.

    >>> mg.ops.pow([1.0, 2.0, 3.0], 2)
    Tensor([1. 4. 9.], float32, shape (3,))
    """
    return xp.power(a, b)


@pow.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y \, b \, a^{b - 1}")
def _(F, dy, a, b):
    base = F.where((a == 0) * (b == 0), 1.0, a)  # 0^0 is a constant, 1
    return dy * b * F.pow(base, b - 1)


@pow.gradient("b", formula=r"\partial L/\partial b = \partial L/\partial y \, y \, \log a")
def _(F, dy, y, a):
    base = a + 0 * dy  # a number takes the dtype of dy
    return dy * y * F.log(F.where(a == 0, 1.0, base))  # 0^b is flat in b


@op(broadcasts=True)
def where(xp, condition, a, b):
    """a where `condition`, of booleans, holds, else b; the shapes broadcast.

    >>> mg.ops.where(np.array([True, False]), [1.0, 2.0], 0.0)
    Tensor([1. 0.], float32, shape (2,))
    """
    return xp.where(xp.asarray(condition), a, b)


@where.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y \, [\mathit{condition}]")
def _(F, dy, condition):
    return F.where(condition, dy, 0.0)


@where.gradient("b", formula=r"\partial L/\partial b = \partial L/\partial y \, [\lnot \mathit{condition}]")
def _(F, dy, condition):
    return F.where(condition, 0.0, dy)


def _first_where(F, first, dy, equal):
    """dy where the first is chosen, half of it where both are equal."""
    return F.where(equal, 0.5 * dy, F.where(first, dy, 0.0))


@op(broadcasts=True)
def maximum(xp, a, b):
    """The larger of a and b; the shapes broadcast. Where they are equal, each gets half of the gradient.

    >>> mg.ops.maximum([1.0, 5.0], [3.0, 4.0])
    Tensor([3. 5.], float32, shape (2,))
    """
    return xp.maximum(a, b)


@maximum.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y \, ([a > b] + \tfrac{1}{2} [a = b])")
def _(F, dy, a, b):
    return _first_where(F, a > b, dy, F.equal(a, b))


@maximum.gradient("b", formula=r"\partial L/\partial b = \partial L/\partial y \, ([b > a] + \tfrac{1}{2} [a = b])")
def _(F, dy, a, b):
    return _first_where(F, b > a, dy, F.equal(a, b))


@op(broadcasts=True)
def minimum(xp, a, b):
    """The smaller of a and b; the shapes broadcast. Where they are equal, each gets half of the gradient.

    >>> mg.ops.minimum([1.0, 5.0], [3.0, 4.0])
    Tensor([1. 4.], float32, shape (2,))
    """
    return xp.minimum(a, b)


@minimum.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y \, ([a < b] + \tfrac{1}{2} [a = b])")
def _(F, dy, a, b):
    return _first_where(F, a < b, dy, F.equal(a, b))


@minimum.gradient("b", formula=r"\partial L/\partial b = \partial L/\partial y \, ([b < a] + \tfrac{1}{2} [a = b])")
def _(F, dy, a, b):
    return _first_where(F, b < a, dy, F.equal(a, b))


@op
def clip(xp, x, *, min=None, max=None):
    """x, of its shape, but no less than `min` and no more than `max`; the gradient passes at the bounds and stops beyond.

    >>> mg.ops.clip([-2.0, 0.5, 2.0], min=-1, max=1)
    Tensor([-1.   0.5  1. ], float32, shape (3,))
    """
    return xp.clip(x, min, max)


@clip.gradient(
    "x",
    formula=r"\partial L/\partial x = \partial L/\partial y \, [\mathit{min} \le x] \, [x \le \mathit{max}]",
)
def _(F, dy, x, min, max):
    dx = dy if min is None else F.where(x >= min, dy, 0.0)
    return dx if max is None else F.where(x <= max, dx, 0.0)


@op(broadcasts=True)
def greater(xp, a, b):
    """a > b, as booleans; the shapes broadcast.

    >>> mg.ops.greater([1.0, 2.0, 3.0], 2.0)
    Tensor([False False  True], bool, shape (3,))
    """
    return xp.greater(a, b)


@op(broadcasts=True)
def greater_equal(xp, a, b):
    """a >= b, as booleans; the shapes broadcast.

    >>> mg.ops.greater_equal([1.0, 2.0, 3.0], 2.0)
    Tensor([False  True  True], bool, shape (3,))
    """
    return xp.greater_equal(a, b)


@op(broadcasts=True)
def less(xp, a, b):
    """a < b, as booleans; the shapes broadcast.

    >>> mg.ops.less([1.0, 2.0, 3.0], 2.0)
    Tensor([ True False False], bool, shape (3,))
    """
    return xp.less(a, b)


@op(broadcasts=True)
def less_equal(xp, a, b):
    """a <= b, as booleans; the shapes broadcast.

    >>> mg.ops.less_equal([1.0, 2.0, 3.0], 2.0)
    Tensor([ True  True False], bool, shape (3,))
    """
    return xp.less_equal(a, b)


@op(broadcasts=True)
def equal(xp, a, b):
    """a == b, as booleans; the shapes broadcast.

    >>> mg.ops.equal([1.0, 2.0, 3.0], 2.0)
    Tensor([False  True False], bool, shape (3,))
    """
    return xp.equal(a, b)


@op(broadcasts=True)
def not_equal(xp, a, b):
    """a != b, as booleans; the shapes broadcast.

    >>> mg.ops.not_equal([1.0, 2.0, 3.0], 2.0)
    Tensor([ True False  True], bool, shape (3,))
    """
    return xp.not_equal(a, b)
