"""Convolution, its transpose, and its weight gradient: one family, closed under differentiation.

`conv2d` is linear in x and in the weight. Its transpose in x is `conv_transpose2d`, its transpose in
the weight is `conv2d_weight_grad`; each rule below is another member, so any order of derivative is
right by construction.

Shapes: large image (N, C, H, W), small image (N, O, P, Q), weight (O, C/groups, kH, kW).
"""

from typing import Any

from minigan.autodiff import op
from minigan.errors import ShapeError


def pair(name: str, value: Any, least: int) -> tuple[int, int]:
    """An integer or a pair of them as a pair."""
    sides = (value, value) if isinstance(value, int) else value
    if not (
        isinstance(sides, (tuple, list)) and len(sides) == 2 and all(isinstance(v, int) and v >= least for v in sides)
    ):
        raise ShapeError(
            f"{name} must be an integer of at least {least}, or a pair (height, width) of them, got {value!r}"
        )
    return (sides[0], sides[1])


def _settings(stride, padding, dilation):
    return pair("stride", stride, 1), pair("padding", padding, 0), pair("dilation", dilation, 1)


def small_side(size, kernel, stride, padding, dilation):
    """(H, W) -> (P, Q): where a convolution's windows fit."""
    sides = []
    for axis, n, k, s, p, d in zip(("height", "width"), size, kernel, stride, padding, dilation, strict=True):
        out = (n + 2 * p - d * (k - 1) - 1) // s + 1
        if out < 1:
            raise ShapeError(
                f"the output would be empty: {axis} = floor((size + 2*padding - dilation*(kernel - 1) - 1)/stride) + 1"
                f" = floor(({n} + 2*{p} - {d}*({k} - 1) - 1)/{s}) + 1 = {out}; use a larger image, more padding or a smaller kernel"
            )
        sides.append(out)
    return tuple(sides)


def large_side(size, kernel, stride, padding, output_padding, dilation):
    """(P, Q) -> (H, W): what a transposed convolution makes."""
    sides = []
    for axis, n, k, s, p, o, d in zip(
        ("height", "width"), size, kernel, stride, padding, output_padding, dilation, strict=True
    ):
        if o >= max(s, d):
            raise ShapeError(f"output_padding ({o}) must be smaller than stride ({s}) or dilation ({d})")
        out = (n - 1) * s - 2 * p + d * (k - 1) + o + 1
        if n < 1 or out < 1:
            raise ShapeError(
                f"the output would be empty: {axis} = (size - 1)*stride - 2*padding + dilation*(kernel - 1) + output_padding + 1"
                f" = ({n} - 1)*{s} - 2*{p} + {d}*({k} - 1) + {o} + 1 = {out}; use less padding or a larger kernel"
            )
        sides.append(out)
    return tuple(sides)


def _rest(large, small, weight, stride, padding, dilation):
    """Rows and columns of the large side that follow the last window: a transposed convolution's output_padding."""
    return tuple(
        large[i] - ((small[i] - 1) * stride[i - 2] - 2 * padding[i - 2] + dilation[i - 2] * (weight[i] - 1) + 1)
        for i in (2, 3)
    )


def _cropped(F, y, shape):
    """A convolution's output without the windows that only output_padding made room for."""
    if y.shape == shape:
        return y
    return F.getitem(y, index=(slice(None), slice(None), slice(0, shape[2]), slice(0, shape[3])))


def _check(x, weight, bias, groups, x_axis):
    """Ranks and channels. `x_axis`: which axis of the weight faces x, 1 for a convolution and 0 for its transpose."""
    if x.ndim != 4 or weight.ndim != 4:
        raise ShapeError(f"x must be (N, C, H, W) and weight 4-D too, got {x.ndim}-D and {weight.ndim}-D")
    if not isinstance(groups, int) or groups < 1 or weight.shape[0] % groups:
        raise ShapeError(
            f"groups must be a positive integer that divides weight's first axis, {weight.shape[0]}, got {groups!r}"
        )
    wanted = weight.shape[1] * groups if x_axis == 1 else weight.shape[0]
    outputs = weight.shape[0] if x_axis == 1 else weight.shape[1] * groups
    if x.shape[1] != wanted:
        raise ShapeError(
            f"x has {x.shape[1]} channels, and a weight of shape {weight.shape} with groups={groups} takes {wanted}"
        )
    if bias is not None and bias.shape != (outputs,):
        raise ShapeError(f"bias must be of shape ({outputs},), one number an output channel, got {bias.shape}")


@op
def conv2d(xp, x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlation of x (N, C, H, W) with weight (O, C/groups, kH, kW), plus bias (O,): (N, O, P, Q).

    P = floor((H + 2 padding - dilation (kH - 1) - 1) / stride) + 1, and Q likewise.

    Args:
        stride, padding, dilation: an integer, or a pair for height and width.
        groups: channels fall into this many groups, and each output sees one of them.

    Raises:
        ShapeError: channels that do not fit, or an output that would be empty; the message has the formula with its numbers.

    >>> x, weight = np.ones((2, 3, 28, 28), "float32"), np.ones((8, 3, 4, 4), "float32")
    >>> mg.ops.conv2d(x, weight, stride=2, padding=1).shape
    (2, 8, 14, 14)
    """
    _check(x, weight, bias, groups, x_axis=1)
    stride, padding, dilation = _settings(stride, padding, dilation)
    size = small_side(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return xp.conv2d(x, weight, bias, size, stride, padding, dilation, groups)


@conv2d.gradient(
    "x", formula=r"\partial L/\partial x = \operatorname{conv\_transpose2d}(\partial L/\partial y, \mathit{weight})"
)
def _(F, dy, weight, x_shape, stride, padding, dilation, groups):
    rest = _rest(x_shape, dy.shape, weight.shape, *_settings(stride, padding, dilation))
    return F.conv_transpose2d(
        dy, weight, stride=stride, padding=padding, output_padding=rest, groups=groups, dilation=dilation
    )


@conv2d.gradient(
    "weight",
    formula=r"\partial L/\partial \mathit{weight} = \operatorname{conv2d\_weight\_grad}(x, \partial L/\partial y)",
)
def _(F, dy, x, weight_shape, stride, padding, dilation, groups):
    return F.conv2d_weight_grad(
        x, dy, kernel=weight_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    )


@conv2d.gradient("bias", formula=r"\partial L/\partial \mathit{bias} = \operatorname{sum}_{nhw} \partial L/\partial y")
def _(F, dy):
    return F.sum(dy, axis=(0, 2, 3))


@op
def conv_transpose2d(xp, x, weight, bias=None, *, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The transpose of `conv2d` in its input: x (N, O, P, Q), weight (O, C/groups, kH, kW) -> (N, C, H, W).

    This *is* the input-gradient of a convolution: the kernel is the same. `output_padding` adds rows that
    no window reaches, to tell apart the sizes that a strided convolution maps to one.

    H = (P - 1) stride - 2 padding + dilation (kH - 1) + output_padding + 1, and W likewise.

    Raises:
        ShapeError: channels that do not fit, an output that would be empty, or `output_padding` not below stride or dilation.

    >>> x, weight = np.ones((2, 8, 14, 14), "float32"), np.ones((8, 3, 4, 4), "float32")
    >>> mg.ops.conv_transpose2d(x, weight, stride=2, padding=1).shape
    (2, 3, 28, 28)
    """
    _check(x, weight, bias, groups, x_axis=0)
    stride, padding, dilation = _settings(stride, padding, dilation)
    extra = pair("output_padding", output_padding, 0)
    size = large_side(x.shape[2:], weight.shape[2:], stride, padding, extra, dilation)
    y = xp.conv2d_input_grad(x, weight, size, stride, padding, dilation, groups)
    return y if bias is None else y + bias[:, None, None]


@conv_transpose2d.gradient(
    "x", formula=r"\partial L/\partial x = \operatorname{conv2d}(\partial L/\partial y, \mathit{weight})"
)
def _(F, dy, weight, x_shape, stride, padding, dilation, groups):
    return _cropped(F, F.conv2d(dy, weight, stride=stride, padding=padding, dilation=dilation, groups=groups), x_shape)


@conv_transpose2d.gradient(
    "weight",
    formula=r"\partial L/\partial \mathit{weight} = \operatorname{conv2d\_weight\_grad}(\partial L/\partial y, x)",
)
def _(F, dy, x, weight_shape, stride, padding, dilation, groups):
    return F.conv2d_weight_grad(
        dy, x, kernel=weight_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    )


@conv_transpose2d.gradient(
    "bias", formula=r"\partial L/\partial \mathit{bias} = \operatorname{sum}_{nhw} \partial L/\partial y"
)
def _(F, dy):
    return F.sum(dy, axis=(0, 2, 3))


@op(outputs=("dw",))
def conv2d_weight_grad(xp, x, g, *, kernel, stride=1, padding=0, dilation=1, groups=1):
    """The transpose of `conv2d` in its weight: x (N, C, H, W), g (N, O, P, Q) -> (O, C/groups, kH, kW).

    >>> x, g = np.ones((2, 3, 28, 28), "float32"), np.ones((2, 8, 14, 14), "float32")
    >>> mg.ops.conv2d_weight_grad(x, g, kernel=(4, 4), stride=2, padding=1).shape
    (8, 3, 4, 4)
    """
    stride, padding, dilation = _settings(stride, padding, dilation)
    return xp.conv2d_weight_grad(x, g, tuple(kernel), stride, padding, dilation, groups)


@conv2d_weight_grad.gradient(
    "x", formula=r"\partial L/\partial x = \operatorname{conv\_transpose2d}(g, \partial L/\partial \mathit{dw})"
)
def _(F, ddw, g, x_shape, stride, padding, dilation, groups):
    rest = _rest(x_shape, g.shape, ddw.shape, *_settings(stride, padding, dilation))
    return F.conv_transpose2d(
        g, ddw, stride=stride, padding=padding, output_padding=rest, groups=groups, dilation=dilation
    )


@conv2d_weight_grad.gradient(
    "g", formula=r"\partial L/\partial g = \operatorname{conv2d}(x, \partial L/\partial \mathit{dw})"
)
def _(F, ddw, x, g_shape, stride, padding, dilation, groups):
    return _cropped(F, F.conv2d(x, ddw, stride=stride, padding=padding, dilation=dilation, groups=groups), g_shape)
