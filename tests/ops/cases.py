"""The table: for every op with gradient rules, a strategy of valid calls, valid by construction and tiny.

An op that is missing here, or an input that no drawn call has, fails `test_every_op.test_every_rule_has_a_case`.
"""

from dataclasses import replace
from math import prod

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import Array, Call, anywhere, away, between, positive, rngs, spread

from minigan import backends

HOME = backends.current().name
shapes = hnp.array_shapes(min_dims=0, max_dims=3, max_side=3)
solid = hnp.array_shapes(min_dims=1, max_dims=3, max_side=3)

# -- element by element ----------------------------------------------------------------------------------------------


@st.composite
def unary(draw, name, values=anywhere, **attributes):
    """An op of one array; attributes are strategies."""
    x = values(draw(rngs), draw(shapes))
    return Call(name, {"x": x}, {key: draw(strategy) for key, strategy in attributes.items()})


@st.composite
def binary(draw, name, a_values=anywhere, b_values=anywhere):
    """An op of two arrays that broadcast, axes of size 0 and 0-d included; or of an array and a number."""
    rng, kind = draw(rngs), draw(st.sampled_from(["arrays", "arrays", "arrays", "number first", "number second"]))
    drawn = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3)).input_shapes
    a, b = a_values(rng, drawn[0]), b_values(rng, drawn[1])
    if kind == "number first":
        a = float(a_values(rng, ()))
    elif kind == "number second":
        b = float(b_values(rng, ()))
    return Call(name, {"a": a, "b": b})


@st.composite
def where(draw):
    rng = draw(rngs)
    drawn = draw(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3)).input_shapes
    condition = np.asarray(rng.random(drawn[0]) < 0.5)
    return Call("where", {"condition": condition, "a": anywhere(rng, drawn[1]), "b": anywhere(rng, drawn[2])})


# -- shapes ----------------------------------------------------------------------------------------------------------


@st.composite
def reshape(draw):
    sides = draw(shapes)
    other = list(draw(st.permutations([*sides, 1])))
    if len(other) > 1 and draw(st.booleans()):
        other = [other[0] * other[1], *other[2:]]
    if draw(st.booleans()):
        other[draw(st.integers(0, len(other) - 1))] = -1
    return Call("reshape", {"x": anywhere(draw(rngs), sides)}, {"shape": tuple(other)})


@st.composite
def transpose(draw):
    sides = draw(shapes)
    axes = [a - draw(st.sampled_from([0, len(sides)])) for a in draw(st.permutations(range(len(sides))))]
    return Call("transpose", {"x": anywhere(draw(rngs), sides)}, {"axes": draw(st.sampled_from([None, tuple(axes)]))})


@st.composite
def narrower(draw, large):
    """A shape that broadcasts to `large`."""
    kept = large[draw(st.integers(0, len(large))) :]
    return tuple(draw(st.sampled_from([1, n])) for n in kept)


@st.composite
def broadcast_to(draw):
    large = draw(shapes)
    return Call("broadcast_to", {"x": anywhere(draw(rngs), draw(narrower(large)))}, {"shape": large})


@st.composite
def sum_to(draw):
    large = draw(shapes)
    return Call("sum_to", {"x": anywhere(draw(rngs), large)}, {"shape": draw(narrower(large))})


@st.composite
def indexed(draw):
    """A shape, and an index into it: slices, numbers, None and Ellipsis, integer arrays with repeats, or a mask."""
    shape, rng = draw(solid), draw(rngs)
    basic = hnp.basic_indices(shape, allow_newaxis=True)
    index = draw(st.one_of(basic, hnp.integer_array_indices(shape), st.just(rng.random(shape) < 0.5)))
    return shape, index, rng


@st.composite
def getitem(draw):
    shape, index, rng = draw(indexed())
    return Call("getitem", {"x": anywhere(rng, shape)}, {"index": index})


@st.composite
def scatter_add(draw):
    shape, index, rng = draw(indexed())
    return Call("scatter_add", {"x": anywhere(rng, np.zeros(shape)[index].shape)}, {"index": index, "shape": shape})


@st.composite
def concatenate(draw):
    """Arrays that differ along one axis, which is counted from either end."""
    sides, rng = draw(solid), draw(rngs)
    axis = draw(st.integers(0, len(sides) - 1))
    lengths = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    parts = [anywhere(rng, (*sides[:axis], n, *sides[axis + 1 :])) for n in lengths]
    counted = axis - draw(st.sampled_from([0, len(sides)]))
    return Call("concatenate", {f"arrays[{i}]": part for i, part in enumerate(parts)}, {"axis": counted})


@st.composite
def stack(draw):
    sides, rng = draw(shapes), draw(rngs)
    axis = draw(st.integers(-len(sides) - 1, len(sides)))
    count = draw(st.integers(1, 3))
    return Call("stack", {f"arrays[{i}]": anywhere(rng, sides) for i in range(count)}, {"axis": axis})


@st.composite
def pad(draw):
    """A pair for each axis, or one for all."""
    sides, rng = draw(solid), draw(rngs)
    width = st.tuples(st.integers(0, 2), st.integers(0, 2))
    widths = draw(st.lists(width, min_size=len(sides), max_size=len(sides)) | st.lists(width, min_size=1, max_size=1))
    attributes = {"pad_width": tuple(widths), "value": draw(st.sampled_from([0.0, 1.5]))}
    return Call("pad", {"x": anywhere(rng, sides)}, attributes)


# -- reductions and products -----------------------------------------------------------------------------------------


@st.composite
def reduction(draw, name, values=anywhere):
    """Over one axis, some, none or all; counted from either end."""
    sides = draw(shapes)
    some = st.lists(st.sampled_from(range(max(len(sides), 1))), unique=True, max_size=len(sides))
    axes = tuple(a - draw(st.sampled_from([0, len(sides)])) for a in draw(some))
    axis = draw(st.sampled_from([None, axes, *axes]))
    attributes = {"axis": axis, "keepdims": draw(st.booleans())}
    if name == "var":
        over = range(len(sides)) if axis is None else (axis,) if isinstance(axis, int) else axis
        attributes["ddof"] = draw(st.integers(0, min(1, prod(sides[a] for a in over) - 1)))
    return Call(name, {"x": values(draw(rngs), sides)}, attributes)


@st.composite
def over_classes(draw, name):
    """softmax and its logarithm over any axis."""
    sides = draw(solid)
    axis = draw(st.integers(-len(sides), len(sides) - 1))
    return Call(name, {"x": anywhere(draw(rngs), sides)}, {"axis": axis})


@st.composite
def matmul(draw):
    """Vectors, matrices and stacks in every combination; the stacks' axes broadcast."""
    drawn = draw(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, max_side=3)).input_shapes
    rng = draw(rngs)
    return Call("matmul", {"a": anywhere(rng, drawn[0]), "b": anywhere(rng, drawn[1])})


def with_optional(draw, rng, inputs, **shape_of):
    """`inputs`, and those of the optional ones that are drawn."""
    return inputs | {x: anywhere(rng, shape) for x, shape in shape_of.items() if draw(st.booleans())}


@st.composite
def linear(draw):
    rng, (n, m) = draw(rngs), draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    x = anywhere(rng, (*draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)), n))
    return Call("linear", with_optional(draw, rng, {"x": x, "weight": anywhere(rng, (m, n))}, bias=(m,)))


# -- convolutions ----------------------------------------------------------------------------------------------------


def pairs(low, high):
    """A number for both axes, or one for each."""
    return st.one_of(st.integers(low, high), st.tuples(st.integers(low, high), st.integers(low, high)))


def pair(value):
    return (value, value) if isinstance(value, int) else value


@st.composite
def conv_settings(draw):
    """Attributes that all three ops share, and the shapes' common part: n, (G, C/G, O/G), kernel."""
    attributes = {"stride": draw(pairs(1, 3)), "padding": draw(pairs(0, 2)), "dilation": draw(pairs(1, 3))}
    attributes["groups"] = groups = draw(st.integers(1, 2))
    c, o = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kernel = draw(st.sampled_from([(1, 1), (2, 2), (1, 3), (3, 2), (2, 1), (3, 3)]))
    return attributes, draw(st.integers(1, 3)), c * groups, (o * groups, c, *kernel)


@st.composite
def conv_inputs(draw):
    """A convolution's attributes, x and weight; x is at most two rows and columns larger than one window needs."""
    attributes, n, channels, weight = draw(conv_settings())
    least = [
        max(1, d * (k - 1) + 1 - 2 * p)
        for k, p, d in zip(weight[2:], pair(attributes["padding"]), pair(attributes["dilation"]), strict=True)
    ]
    rng = draw(rngs)
    x = anywhere(rng, (n, channels, *(size + draw(st.integers(0, 2)) for size in least)))
    return attributes, rng, x, anywhere(rng, weight)


@st.composite
def conv2d(draw):
    attributes, rng, x, weight = draw(conv_inputs())
    return Call("conv2d", with_optional(draw, rng, {"x": x, "weight": weight}, bias=weight.shape[:1]), attributes)


@st.composite
def conv2d_weight_grad(draw):
    attributes, rng, x, weight = draw(conv_inputs())
    g = anywhere(rng, (x.shape[0], weight.shape[0], *windows(x.shape, weight.shape, **attributes)))
    return Call("conv2d_weight_grad", {"x": x, "g": g}, {"kernel": weight.shape[2:], **attributes})


def windows(x_shape, weight_shape, stride, padding, dilation, groups):
    """How often a window fits into the padded image, counted along each axis."""
    sides = zip(x_shape[2:], weight_shape[2:], *map(pair, (stride, padding, dilation)), strict=True)
    return tuple(len(range(d * (k - 1), n + 2 * p, s)) for n, k, s, p, d in sides)


@st.composite
def conv_transpose2d(draw):
    """With every output_padding that stride or dilation allows, of at least the stride too."""
    attributes, n, channels, (o, c, *kernel) = draw(conv_settings())
    size, extra = [], []
    for k, s, p, d in zip(kernel, *(pair(attributes[a]) for a in ("stride", "padding", "dilation")), strict=True):
        extra.append(draw(st.integers(0, max(s, d) - 1)))
        lacking = 2 * p - d * (k - 1) - extra[-1]  # so many rows must strides add for the output to have one
        size.append(1 + max(0, -(-lacking // s)) + draw(st.integers(0, 1)))
    rng = draw(rngs)
    inputs = {"x": anywhere(rng, (n, o, *size)), "weight": anywhere(rng, (o, c, *kernel))}
    inputs = with_optional(draw, rng, inputs, bias=(channels,))
    return Call("conv_transpose2d", inputs, attributes | {"output_padding": tuple(extra)})


# -- batch norm and losses -------------------------------------------------------------------------------------------

epsilons = st.sampled_from([1e-5, 1e-3, 0.1])


@st.composite
def normalisable(draw, least=2):
    """(N, C) or (N, C, H, W) with at least `least` values a channel, which are spread evenly: no variance is near 0."""
    rng, c = draw(rngs), draw(st.integers(1, 3))
    count, other = draw(st.integers(least, 3)), draw(st.integers(1, 2))
    n, h, w = draw(st.one_of(st.just((count, 1, 1)), st.permutations([count, other, 1])))
    values = rng.permuted(np.tile(np.linspace(-1.5, 1.5, n * h * w), (c, 1)), axis=1) + anywhere(rng, (c, 1))
    flat = h == w == 1 and draw(st.booleans())
    return rng, np.array((values.T if flat else values.reshape(c, n, h, w).swapaxes(0, 1)), order="C")


@st.composite
def batch_norm_train(draw):
    rng, x = draw(normalisable())
    inputs = with_optional(draw, rng, {"x": x}, weight=x.shape[1:2], bias=x.shape[1:2])
    reads = draw(st.sampled_from([(0,), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]))
    return Call("batch_norm_train", inputs, {"eps": draw(epsilons)}, reads)


@st.composite
def batch_norm_eval(draw):
    rng, x = draw(normalisable(least=1))
    c = x.shape[1:2]
    inputs = {"x": x, "mean": anywhere(rng, c), "var": positive(rng, c)}
    return Call("batch_norm_eval", with_optional(draw, rng, inputs, weight=c, bias=c), {"eps": draw(epsilons)})


@st.composite
def standardize(draw):
    """At least two values a sample, spread evenly: no variance is near 0."""
    rng, sides = draw(rngs), draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=3))
    sides = (*sides[:-1], max(2, sides[-1]))
    ndim = draw(st.integers(1, len(sides)))
    count = prod(sides[len(sides) - ndim :])
    values = rng.permuted(np.tile(np.linspace(-1.5, 1.5, count), (prod(sides) // count, 1)), axis=1)
    reads = draw(st.sampled_from([(0,), (1,), (0, 1)]))
    return Call("standardize", {"x": values.reshape(sides)}, {"ndim": ndim, "eps": draw(epsilons)}, reads)


@st.composite
def pool(draw, name):
    """Places in planes, some named twice; sides of 0 too."""
    rng, (n, c, h, w) = draw(rngs), draw(st.tuples(*[st.integers(1, 3)] * 4))
    index = rng.integers(0, h * w, (n, c, draw(st.integers(0, 3)), draw(st.integers(1, 3))))
    if name == "pool_gather":
        return Call(name, {"x": anywhere(rng, (n, c, h, w)), "index": index})
    return Call(name, {"g": anywhere(rng, index.shape), "index": index}, {"size": (h, w)})


@st.composite
def bce_with_logits(draw):
    """A target for each logit, one for all as an array, or as a number."""
    rng, shape = draw(rngs), draw(shapes)
    target = draw(st.sampled_from([shape, (), None]))
    probability = rng.random() if target is None else np.asarray(rng.random(target))
    return Call("bce_with_logits", {"x": anywhere(rng, shape), "target": probability})


@st.composite
def distance(draw, name):
    """x at least 0.5 from its target, which is an array of x's shape, 0-d, or a number."""
    rng, shape = draw(rngs), draw(shapes)
    kind = draw(st.sampled_from([shape, (), None]))
    target = float(rng.uniform(-1, 1)) if kind is None else anywhere(rng, kind)
    return Call(name, {"x": np.asarray(target + away(rng, shape)), "target": target})


def small(rng, shape):
    """Values in [-0.2, 0.2], which are nowhere near those of `away`."""
    return np.asarray(anywhere(rng, shape) / 10)


bounds = st.sampled_from([None, -1.0, 0.0]), st.sampled_from([None, 0.0, 1.0])

CASES: dict[str, st.SearchStrategy[Call]] = {
    **{name: binary(name) for name in ("add", "sub", "mul")},
    "div": binary("div", b_values=away),
    "pow": binary("pow", a_values=positive),
    "where": where(),
    **{name: unary(name) for name in ("neg", "copy", "exp", "sin", "cos", "tanh", "sigmoid", "softplus")},
    **{name: unary(name, positive) for name in ("log", "sqrt")},
    **{name: unary(name, away) for name in ("abs", "relu")},
    "leaky_relu": unary("leaky_relu", away, negative_slope=st.sampled_from([0.01, 0.2, 0.0, 1.5])),
    "astype": unary("astype", dtype=st.just("float64")),
    "to": unary("to", backend=st.just(HOME), source=st.just(HOME)),
    "reshape": reshape(),
    "transpose": transpose(),
    "broadcast_to": broadcast_to(),
    "sum_to": sum_to(),
    "getitem": getitem(),
    "scatter_add": scatter_add(),
    "concatenate": concatenate(),
    "stack": stack(),
    "pad": pad(),
    **{name: reduction(name) for name in ("sum", "mean", "var")},
    **{name: reduction(name, spread) for name in ("max", "min")},
    **{name: binary(name, a_values=away, b_values=small) for name in ("maximum", "minimum")},
    "clip": unary("clip", between, min=bounds[0], max=bounds[1]),
    **{name: over_classes(name) for name in ("softmax", "log_softmax")},
    **{name: distance(name) for name in ("mse_loss", "l1_loss")},
    "matmul": matmul(),
    "linear": linear(),
    "conv2d": conv2d(),
    "conv_transpose2d": conv_transpose2d(),
    "conv2d_weight_grad": conv2d_weight_grad(),
    "batch_norm_train": batch_norm_train(),
    "batch_norm_eval": batch_norm_eval(),
    "standardize": standardize(),
    **{name: pool(name) for name in ("pool_gather", "pool_scatter")},
    "bce_with_logits": bce_with_logits(),
}

# linear in each input, with coefficients that are not negative: the same call on absolute values sums |terms|
MULTILINEAR = {
    "add", "mul", "where", "copy", "astype", "to", "reshape", "transpose", "broadcast_to", "sum_to", "getitem",
    "concatenate", "stack", "scatter_add", "sum", "mean", "matmul", "linear", "conv2d", "conv_transpose2d", "conv2d_weight_grad",
    "pool_gather", "pool_scatter",
}  # fmt: skip


def terms(call: Call) -> Call:
    """The call on absolute values, of numbers too: it sums what a multilinear op sums, without signs."""
    numbers = {x: abs(a) for x, a in call.inputs.items() if isinstance(a, float)}
    return replace(call, inputs=call.inputs | numbers).map(np.abs)


def longest(call: Call, outputs: list[Array]) -> int:
    """No sum that an op or its rules make here has more terms than its largest array has elements."""
    return max([a.size for a in (*call.variables.values(), *outputs)], default=0)
