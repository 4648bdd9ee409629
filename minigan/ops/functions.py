"""Functions and activations of one input, element by element."""

from minigan.autodiff import op


@op
def exp(xp, x):
    """The exponential function."""
    return xp.exp(x)


@exp.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, y")
def _(F, dy, y):
    return dy * y


@op
def log(xp, x):
    """The natural logarithm."""
    return xp.log(x)


@log.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y / x")
def _(F, dy, x):
    return dy / x


@op
def sqrt(xp, x):
    """The square root."""
    return xp.sqrt(x)


@sqrt.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y / (2 y)")
def _(F, dy, y):
    return dy / (2 * y)


@op
def abs(xp, x):
    """The absolute value; its derivative at 0 is 0."""
    return xp.abs(x)


@abs.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \operatorname{sign} x")
def _(F, dy, x):
    return dy * F.sign(x)


@op
def sign(xp, x):
    """-1, 0 or 1; a constant as far as gradients go."""
    return xp.sign(x)


@op
def sin(xp, x):
    """The sine, of radians."""
    return xp.sin(x)


@sin.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \cos x")
def _(F, dy, x):
    return dy * F.cos(x)


@op
def cos(xp, x):
    """The cosine, of radians."""
    return xp.cos(x)


@cos.gradient("x", formula=r"\partial L/\partial x = -\partial L/\partial y \sin x")
def _(F, dy, x):
    return -dy * F.sin(x)


@op
def tanh(xp, x):
    """The hyperbolic tangent."""
    return xp.tanh(x)


@tanh.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, (1 - y^2)")
def _(F, dy, y):
    return dy * (1 - y * y)


@op
def sigmoid(xp, x):
    """1 / (1 + exp(-x)), without overflow and exact in both tails."""
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, e) / (1 + e)


@sigmoid.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, y (1 - y)")
def _(F, dy, y):
    return dy * (y * (1 - y))


@op
def softplus(xp, x):
    """log(1 + exp(x)), without overflow."""
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


@softplus.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, \sigma(x)")
def _(F, dy, x):
    return dy * F.sigmoid(x)


@op
def relu(xp, x):
    """max(x, 0); its derivative at 0 is 0."""
    return xp.maximum(x, 0)


@relu.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, [y > 0]")
def _(F, dy, y):
    return dy * (y > 0)


@op
def leaky_relu(xp, x, *, negative_slope=0.01):
    """x where it is positive, else negative_slope * x; its derivative at 0 is the slope."""
    scaled = negative_slope * x
    return xp.maximum(x, scaled) if negative_slope <= 1 else xp.minimum(x, scaled)


@leaky_relu.gradient(
    "x", formula=r"\partial L/\partial x = \partial L/\partial y \, ([x > 0] + \mathit{negative\_slope} \, [x \le 0])"
)
def _(F, dy, x, negative_slope):
    return F.where(x > 0, dy, negative_slope * dy)
