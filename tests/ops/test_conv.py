"""The convolution family against seven plain loops, and its members as one another's transposes, by name."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import anywhere, arriving_at, assert_close, rngs, run

import minigan as mg
from minigan.backends.numpy import NUMPY
from minigan.backends.plain import PlainKernels
from minigan.errors import ShapeError

from .cases import CASES, pair, terms, windows

data = st.data()
FAMILY = ["conv2d", "conv_transpose2d", "conv2d_weight_grad"]
BOUND = 1e-13  # against sums of up to 2*2*9 products of size 4 in another order: 144 * 36 * 1e-16, seldom near it


# -- the reference ----------------------------------------------------------------------------------------------------


def products(small, large, weight, stride, padding, dilation, groups):
    """The index triples (small image, large image, weight) that a convolution multiplies: seven loops."""
    (n, outputs, p, q), (_, _, height, width), (_, channels, kh, kw) = small, large, weight
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    for b, o, u, v, c, i, j in product(*map(range, (n, outputs, p, q, channels, kh, kw))):
        row, column = u * sh - ph + i * dh, v * sw - pw + j * dw
        if 0 <= row < height and 0 <= column < width:
            group = o // (outputs // groups)
            yield (b, o, u, v), (b, group * channels + c, row, column), (o, c, i, j)


def reference(name, inputs, attributes):
    """What each member of the family sums, term by term."""
    attributes = dict(attributes)
    extra, kernel = attributes.pop("output_padding", 0), attributes.pop("kernel", None)
    x, weight, bias = inputs["x"], inputs.get("weight"), inputs.get("bias")
    if name == "conv2d":
        y = np.zeros((len(x), len(weight), *windows(x.shape, weight.shape, **attributes)))
        for at_y, at_x, at_w in products(y.shape, x.shape, weight.shape, **attributes):
            y[at_y] += x[at_x] * weight[at_w]
    elif name == "conv_transpose2d":
        y = np.zeros((len(x), weight.shape[1] * attributes["groups"], *spread(x, weight, extra, **attributes)))
        for at_x, at_y, at_w in products(x.shape, y.shape, weight.shape, **attributes):
            y[at_y] += x[at_x] * weight[at_w]
    else:
        g = inputs["g"]
        y = np.zeros((g.shape[1], x.shape[1] // attributes["groups"], *kernel))
        for at_g, at_x, at_y in products(g.shape, x.shape, y.shape, **attributes):
            y[at_y] += x[at_x] * g[at_g]
    return y if bias is None else y + bias[:, None, None]


def spread(x, weight, extra, stride, padding, dilation, groups):
    """The size of a transposed convolution's output."""
    sides = zip(x.shape[2:], weight.shape[2:], *map(pair, (stride, padding, dilation, extra)), strict=True)
    return tuple((n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, s, p, d, e in sides)


@pytest.mark.parametrize("name", FAMILY)
@given(data)
def test_values(name, data):
    call = data.draw(CASES[name])
    (y,) = call(*call.variables.values())
    assert_close(y.numpy(), reference(name, call.inputs, call.attributes), BOUND)


# -- the family -------------------------------------------------------------------------------------------------------


@given(data, rngs)
def test_transposes_of_a_convolution(data, rng):
    """<conv2d(x, w), y> = <x, conv_transpose2d(y, w)> = <w, conv2d_weight_grad(x, y)>."""
    call = data.draw(CASES["conv2d_weight_grad"])
    x, y, attributes = call.inputs["x"], call.inputs["g"], dict(call.attributes)
    kernel = attributes.pop("kernel")
    weight = anywhere(rng, (y.shape[1], x.shape[1] // attributes["groups"], *kernel))
    rest = tuple(n - m for n, m in zip(x.shape[2:], spread(y, weight, 0, **attributes), strict=True))
    forward = np.sum(mg.ops.conv2d(x, weight, **attributes).numpy() * y)
    by_x = np.sum(x * mg.ops.conv_transpose2d(y, weight, output_padding=rest, **attributes).numpy())
    by_weight = np.sum(weight * mg.ops.conv2d_weight_grad(x, y, kernel=kernel, **attributes).numpy())
    size = np.sum(terms(call)(np.abs(x), np.abs(y))[0].numpy() * np.abs(weight))
    # sums of at most some thousand terms, relative to the sum of |terms|: they may cancel
    assert abs(forward - by_x) <= 1e-12 * size
    assert abs(forward - by_weight) <= 1e-12 * size


@given(data, rngs)
def test_gradients_of_a_transposed_convolution(data, rng):
    """A convolution and its weight gradient; output_padding of a stride or more fits windows that are not x's."""
    call = data.draw(CASES["conv_transpose2d"])
    (dy,) = arriving_at(call, rng)
    x, weight = call.inputs["x"], call.inputs["weight"]
    settings = {key: value for key, value in call.attributes.items() if key != "output_padding"}
    dx, dweight = run(call, [dy])[1][:2]
    reached = reference("conv2d", {"x": dy, "weight": weight}, settings)[:, :, : x.shape[2], : x.shape[3]]
    assert_close(dx, reached, BOUND)
    kernel = {"kernel": weight.shape[2:]}
    assert_close(dweight, reference("conv2d_weight_grad", {"x": dy, "g": x}, settings | kernel), BOUND)


# -- settings ---------------------------------------------------------------------------------------------------------


@given(data)
def test_output_padding_only_adds_rows(data):
    """A transposed convolution with output_padding begins with the one without."""
    call = data.draw(CASES["conv_transpose2d"])
    x, weight, attributes = call.inputs["x"], call.inputs["weight"], dict(call.attributes)
    size = spread(x, weight, 0, **{key: value for key, value in attributes.items() if key != "output_padding"})
    if min(size) > 0:
        less = mg.ops.conv_transpose2d(x, weight, **attributes | {"output_padding": 0}).numpy()
        more = mg.ops.conv_transpose2d(x, weight, **attributes).numpy()
        assert_close(more[:, :, : size[0], : size[1]], less, 1e-15)  # the same sums


@pytest.mark.parametrize(
    ("name", "shapes", "attributes", "message"),
    [
        (
            "conv2d",
            [(1, 1, 2, 9), (1, 1, 4, 4)],
            {},
            r"height = .*\(2 \+ 2\*0 - 1\*\(4 - 1\) - 1\)/1\) \+ 1 = -1",
        ),
        ("conv2d", [(1, 3, 5, 5), (4, 3, 2, 2)], {"groups": 2}, r"groups=2 takes 6"),
        ("conv2d", [(1, 3, 5, 5), (3, 1, 2, 2)], {"groups": 2}, r"groups must be a positive integer"),
        ("conv2d", [(1, 3, 5, 5), (3, 3, 2, 2)], {"stride": 0}, r"stride must be an integer of at least 1"),
        ("conv2d", [(3, 5, 5), (3, 3, 2, 2)], {}, r"x must be \(N, C, H, W\)"),
        ("conv2d", [(1, 3, 5, 5), (4, 3, 2, 2), (3,)], {}, r"bias must be of shape \(4,\)"),
        (
            "conv_transpose2d",
            [(1, 1, 1, 1), (1, 1, 2, 2)],
            {"padding": 1},
            r"1\)\*1 - 2\*1 \+ 1\*\(2 - 1\) \+ 0 \+ 1 = 0",
        ),
        (
            "conv_transpose2d",
            [(1, 1, 3, 3), (1, 1, 2, 2)],
            {"output_padding": 1},
            r"output_padding \(1\) must be smaller",
        ),
    ],
)
def test_errors_name_the_geometry(name, shapes, attributes, message):
    with pytest.raises(ShapeError, match=message) as caught:
        getattr(mg.ops, name)(*map(np.zeros, shapes), **attributes)
    assert f"{name}(x {shapes[0]} float64, weight {shapes[1]} float64" in str(caught.value)


@pytest.mark.parametrize("xp", [NUMPY, PlainKernels], ids=["fast", "plain"])
@pytest.mark.parametrize(("n", "channels"), [(0, 3), (2, 0), (0, 0)])
def test_empty_batches_and_images_without_channels(xp, n, channels):
    """Sums of nothing are 0, in the plain kernels too."""
    x, w, dy = np.ones((n, channels, 4, 4)), np.ones((5, channels, 3, 3)), np.ones((n, 5, 2, 2))
    geometry = (1, 1), (0, 0), (1, 1), 1
    me = () if xp is NUMPY else (NUMPY,)
    for y, shape in (
        (xp.conv2d(*me, x, w, None, (2, 2), *geometry), (n, 5, 2, 2)),
        (xp.conv2d_input_grad(*me, dy, w, (4, 4), *geometry), x.shape),
        (xp.conv2d_weight_grad(*me, x, dy, (3, 3), *geometry), w.shape),
    ):
        assert y.shape == shape
        assert not y.any()
