"""Functions and activations of one input, element by element."""

from minigan.autodiff import op


@op
def exp(xp, x):
    """The exponential function, element by element.

    >>> mg.ops.exp(1.0)
    Tensor(2.718..., float32)
    """
    return xp.exp(x)


@exp.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, y")
def _(F, dy, y):
    return dy * y


@op
def log(xp, x):
    """The natural logarithm, element by element.

    >>> mg.ops.log(10.0)
    Tensor(2.302..., float32)
    """
    return xp.log(x)


@log.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y / x")
def _(F, dy, x):
    return dy / x


@op
def sqrt(xp, x):
    """The square root, element by element.

    >>> mg.ops.sqrt([4.0, 9.0])
    Tensor([2. 3.], float32, shape (2,))
    """
    return xp.sqrt(x)


@sqrt.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y / (2 y)")
def _(F, dy, y):
    return dy / (2 * y)


@op
def abs(xp, x):
    """The absolute value, element by element; its derivative at 0 is 0.

    >>> mg.ops.abs([-3.0, 2.0])
    Tensor([3. 2.], float32, shape (2,))
    """
    return xp.abs(x)


@abs.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \operatorname{sign} x")
def _(F, dy, x):
    return dy * F.sign(x)


@op
def sign(xp, x):
    """-1, 0 or 1, element by element; a constant as far as gradients go.

    >>> mg.ops.sign([-3.0, 0.0, 2.0])
    Tensor([-1.  0.  1.], float32, shape (3,))
    """
    return xp.sign(x)


@op
def sin(xp, x):
    """The sine, of radians, element by element.

    >>> mg.ops.sin(np.pi / 2)
    Tensor(1.0, float32)
    """
    return xp.sin(x)


@sin.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \cos x")
def _(F, dy, x):
    return dy * F.cos(x)


@op
def cos(xp, x):
    """The cosine, of radians, element by element.

    >>> mg.ops.cos(np.pi)
    Tensor(-1.0, float32)
    """
    return xp.cos(x)


@cos.gradient("x", formula=r"\partial L/\partial x = -\partial L/\partial y \sin x")
def _(F, dy, x):
    return -dy * F.sin(x)


@op
def tanh(xp, x):
    """The hyperbolic tangent, element by element.

    >>> mg.ops.tanh([-20.0, 0.0, 20.0])
    Tensor([-1.  0.  1.], float32, shape (3,))
    """
    return xp.tanh(x)


@tanh.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, (1 - y^2)")
def _(F, dy, y):
    return dy * (1 - y * y)


@op
def sigmoid(xp, x):
    """1 / (1 + exp(-x)), element by element, without overflow and exact in both tails.

    >>> mg.ops.sigmoid([-200.0, 0.0, 200.0])
    Tensor([0.  0.5 1. ], float32, shape (3,))
    """
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, e) / (1 + e)


@sigmoid.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, y (1 - y)")
def _(F, dy, y):
    return dy * (y * (1 - y))


@op
def softplus(xp, x):
    """log(1 + exp(x)), element by element, without overflow.

    >>> mg.ops.softplus([-200.0, 200.0])
    Tensor([  0. 200.], float32, shape (2,))
    """
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


@softplus.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, \sigma(x)")
def _(F, dy, x):
    return dy * F.sigmoid(x)


@op
def relu(xp, x):
    """max(x, 0), element by element; its derivative at 0 is 0.

    >>> mg.ops.relu([-1.0, 2.0])
    Tensor([0. 2.], float32, shape (2,))
    """
    return xp.relu(x)


@relu.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, [y > 0]")
def _(F, dy, y):
    return dy * (y > 0)


@op
def leaky_relu(xp, x, *, negative_slope=0.01):
    """x where it is positive, else negative_slope * x, element by element; its derivative at 0 is the slope.

    Its gradient is told from y, so that x need not be kept.

    Raises:
        ValueError: a slope below 0, with which y would not tell on which side x was.

    >>> mg.ops.leaky_relu([-1.0, 2.0], 0.2)
    Tensor([-0.2  2. ], float32, shape (2,))
    """
    if negative_slope < 0:
        raise ValueError(f"leaky_relu's negative_slope must be at least 0, got {negative_slope}")
    return xp.leaky_relu(x, negative_slope)


@leaky_relu.gradient(
    "x", formula=r"\partial L/\partial x = \partial L/\partial y \, ([y > 0] + \mathit{negative\_slope} \, [y \le 0])"
)
def _(F, dy, y, negative_slope):
    return F.where(y > 0, dy, negative_slope * dy)
