"""Every op against PyTorch, where it is installed: values and gradients of orders 1 and 2, and what happens at ties."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import anywhere, assert_close, rngs

import minigan as mg
from minigan.autodiff.registry import OPS

from .cases import CASES, epsilons, normalisable, pair, pairs, with_optional

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # two pools of threads on the same cores would wait for each other
F = torch.nn.functional

BOUND = 1e-10  # float64 in both; sums of at most some hundred terms, differentiated twice

# -- PyTorch's functions, by the names of minigan's inputs and attributes --------------------------------------------


def scale(weight, bias):
    """The weight; beside a bias, ones where there is none, as PyTorch's second derivatives of norms fail without."""
    return torch.ones_like(bias) if weight is None and bias is not None else weight


def batch_norm_by(x, mean=None, var=None, weight=None, bias=None, eps=0.0):
    """By the batch's statistics, or by given ones."""
    return F.batch_norm(x, mean, var, scale(weight, bias), bias, training=mean is None, eps=eps)


def layer_norm_of(x, normalized_shape, weight=None, bias=None, eps=0.0):
    return F.layer_norm(x, normalized_shape, scale(weight, bias), bias, eps)


def over(function):
    """A reduction that takes NumPy's axes: None is all of them, () is none."""

    def reduced(x, axis, keepdims, **rest):
        axes = tuple(range(x.ndim)) if axis is None else axis
        return function(x, axes, keepdim=keepdims, **rest) if axes != () else function(x[None], 0, **rest)

    return reduced


def places(shape, index):
    """Where NumPy's index takes each value from, in the flat array."""
    return torch.from_numpy(np.array(np.arange(prod(shape)).reshape(shape)[index]))


def scatter_add(x, index, shape):
    return torch.zeros(prod(shape), dtype=x.dtype).index_add(0, places(shape, index).ravel(), x.ravel()).reshape(shape)


def concatenate(*arrays, axis):
    """With an axis of length 1 in front, as torch.cat by itself gives no gradient to an array of shape (0,)."""
    return torch.cat([a[None] for a in arrays], axis if axis < 0 else axis + 1)[0]


def pool_scatter(g, index, size):
    planes = torch.zeros(*g.shape[:2], prod(size), dtype=g.dtype)
    return planes.scatter_add(2, index.flatten(2), g.flatten(2)).reshape(*g.shape[:2], *size)


def pad(x, pad_width, value):
    pairs = pad_width * x.ndim if len(pad_width) == 1 else pad_width
    return F.pad(x, [n for both in reversed(pairs) for n in both], value=value)


def against(loss):
    """A loss by a target of x's shape; minigan takes a number for all."""
    return lambda x, target: loss(x, target.expand_as(x))


PEERS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "neg": lambda x: -x,
    "where": lambda condition, a, b: torch.where(condition, a, b),
    "maximum": lambda a, b: torch.maximum(a, b),
    "minimum": lambda a, b: torch.minimum(a, b),
    "clip": lambda x, min, max: x.clone() if min is max is None else torch.clamp(x, min, max),
    **{name: getattr(torch, name) for name in ("exp", "log", "sqrt", "abs", "sin", "cos", "tanh", "sigmoid", "relu")},
    "leaky_relu": lambda x, negative_slope: F.leaky_relu(x, negative_slope),
    "softplus": F.softplus,
    "softmax": lambda x, axis: torch.softmax(x, axis),
    "log_softmax": lambda x, axis: torch.log_softmax(x, axis),
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, axes: x.permute(axes or tuple(reversed(range(x.ndim)))),
    "broadcast_to": lambda x, shape: x.broadcast_to(shape),
    "sum_to": lambda x, shape: x.sum_to_size(shape),
    "copy": torch.clone,
    "astype": lambda x, dtype: x.to(getattr(torch, dtype)),
    "getitem": lambda x, index: x.ravel()[places(x.shape, index)],
    "scatter_add": scatter_add,
    "concatenate": concatenate,
    "stack": lambda *arrays, axis: torch.stack(arrays, axis),
    "pad": pad,
    "sum": over(torch.sum),
    "mean": over(torch.mean),
    "var": over(lambda x, axis, ddof, keepdim=False: torch.var(x, axis, correction=ddof, keepdim=keepdim)),
    "max": over(torch.amax),
    "min": over(torch.amin),
    "matmul": lambda a, b: a @ b,
    "linear": lambda x, weight, bias=None: F.linear(x, weight, bias),
    "conv2d": lambda x, weight, bias=None, **geometry: F.conv2d(x, weight, bias, **geometry),
    "conv_transpose2d": lambda x, weight, bias=None, **geometry: F.conv_transpose2d(x, weight, bias, **geometry),
    "conv2d_weight_grad": lambda x, g, kernel, groups, **geometry: torch.nn.grad.conv2d_weight(
        x, (g.shape[1], x.shape[1] // groups, *kernel), g, groups=groups, **geometry
    ),
    "batch_norm_train": batch_norm_by,
    "batch_norm_eval": batch_norm_by,
    "standardize": lambda x, ndim, eps: F.layer_norm(x, x.shape[x.ndim - ndim :], eps=eps),
    "pool_gather": lambda x, index: x.flatten(2).gather(2, index.flatten(2)).reshape(index.shape),
    "pool_scatter": pool_scatter,
    "bce_with_logits": against(F.binary_cross_entropy_with_logits),
    "mse_loss": against(F.mse_loss),
    "l1_loss": against(F.l1_loss),
}

# functions made of ops: how to draw their inputs and attributes, minigan's function, PyTorch's function


def integers(rng, high, shape):
    return np.asarray(rng.integers(0, high, shape))


@st.composite
def images(draw, least=(1, 1)):
    """(N, C, H, W), at most two rows and columns larger than `least`."""
    n, c = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    return anywhere(draw(rngs), (n, c, *(side + draw(st.integers(0, 2)) for side in least)))


@st.composite
def pooling(draw):
    """Windows of any stride; PyTorch allows padding of at most half of them."""
    kernel = draw(pairs(1, 3))
    padding = draw(st.integers(0, min(pair(kernel)) // 2))
    attributes = {"kernel_size": kernel, "stride": draw(st.none() | pairs(1, 3)), "padding": padding}
    return {"x": draw(images(pair(kernel)))}, attributes


@st.composite
def upsampling(draw):
    return {"x": draw(images())}, {"scale_factor": draw(st.integers(1, 3))}


@st.composite
def embedding(draw):
    rng, shape = draw(rngs), draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3))
    return {"weight": anywhere(rng, (3, 2))}, {"index": integers(rng, 3, shape)}


@st.composite
def cross_entropy(draw):
    rng, n, classes = draw(rngs), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    x = anywhere(rng, (n, classes))
    x[0, 0] = -1.0  # minigan warns of logits that look like probabilities
    return {"x": x}, {"target": integers(rng, classes, n)}


@st.composite
def batch_norm(draw):
    rng, x = draw(normalisable())
    inputs = with_optional(draw, rng, {"x": x}, weight=x.shape[1:2], bias=x.shape[1:2])
    return inputs, {"eps": draw(epsilons)}


@st.composite
def layer_norm(draw):
    call = draw(CASES["standardize"])
    x, eps = call.inputs["x"], call.attributes["eps"]
    shape = x.shape[x.ndim - call.attributes["ndim"] :]
    return with_optional(draw, draw(rngs), {"x": x}, weight=shape, bias=shape), {"normalized_shape": shape, "eps": eps}


COMPOSITES = {
    "layer_norm": (layer_norm(), mg.ops.layer_norm, layer_norm_of),
    "max_pool2d": (pooling(), mg.ops.max_pool2d, lambda x, **windows: F.max_pool2d(x, **windows)),
    "avg_pool2d": (pooling(), mg.ops.avg_pool2d, lambda x, **windows: F.avg_pool2d(x, **windows)),
    "upsample_nearest2d": (
        upsampling(),
        mg.ops.upsample_nearest2d,
        lambda x, scale_factor: F.interpolate(x, scale_factor=scale_factor, mode="nearest"),
    ),
    "embedding": (embedding(), mg.ops.embedding, lambda weight, index: F.embedding(torch.from_numpy(index), weight)),
    "cross_entropy": (
        cross_entropy(),
        mg.ops.cross_entropy,
        lambda x, target: F.cross_entropy(x, torch.from_numpy(target)),
    ),
    "batch_norm": (batch_norm(), mg.ops.batch_norm, batch_norm_by),
}

WITHOUT = {
    "dropout": "what it drops is drawn by each library's own generator; it is a product with the mask",
    "to": "it moves values between backends",
}


def test_every_differentiable_op_is_compared():
    constant = {name for name, op in OPS.items() if not op.rules}
    compared = [*PEERS, *COMPOSITES, *WITHOUT]
    assert sorted(compared) == sorted(set(mg.ops.__all__) - constant), (
        "each op needs PyTorch's function in PEERS or COMPOSITES, or a reason in WITHOUT"
    )


# -- the comparison --------------------------------------------------------------------------------------------------


def two_orders(grad, y, xs, dy, directions):
    """y, its gradients unrecorded and recorded, and the gradients of <gradients, directions>, said alike in both libraries."""
    plain = grad(y, [*xs], dy, retain_graph=True)
    first = grad(y, [*xs], dy, create_graph=True)
    second = grad(first, [*xs, dy], directions, allow_unused=True)
    return [y, *plain, *first, *second]


def compare(ours, theirs, inputs, rng):
    """Two functions of the same named arrays."""
    shape = ours(**{x: mg.tensor(a) for x, a in inputs.items()}).shape
    dy, directions = anywhere(rng, shape), [anywhere(rng, a.shape) for a in inputs.values()]
    results = []
    for function, make, grad in ((ours, mg.tensor, mg.grad), (theirs, torch.tensor, torch.autograd.grad)):
        xs, seed = {x: make(a, requires_grad=True) for x, a in inputs.items()}, make(dy, requires_grad=True)
        results.append(two_orders(grad, function(**xs), xs.values(), seed, [make(d) for d in directions]))
    for mine, peer in zip(*results, strict=True):
        actual = None if mine is None else mine.numpy()
        expected = None if peer is None else peer.numpy(force=True)
        if actual is None or expected is None:  # nothing arrives; the other library may call that 0
            assert all(a is None or not a.any() for a in (actual, expected))
        else:
            assert_close(actual, expected, BOUND)


def of_call(call):
    """The same op in both libraries, as functions of the call's variables, and those."""
    by_statistics = ("mean", "var")  # PyTorch has no gradient by those
    variables = {x: a for x, a in call.variables.items() if x not in by_statistics}
    others = {x: a for x, a in call.inputs.items() if x not in variables}

    def ours(**xs):
        fixed = {x: mg.tensor(a) if isinstance(a, np.ndarray) else a for x, a in others.items()}
        result = OPS[call.name](*replace(call, inputs=fixed | xs).arguments(), **call.attributes)
        return result[0] if isinstance(result, tuple) else result

    def theirs(**xs):
        if any("[" in x for x in xs):
            return PEERS[call.name](*xs.values(), **call.attributes)
        fixed = {x: torch.tensor(np.asarray(a)) for x, a in others.items()}  # numbers are arrays of float64 there
        return PEERS[call.name](**fixed, **xs, **call.attributes)

    return ours, theirs, variables


@pytest.mark.parametrize("name", PEERS)
@given(st.data(), rngs)
def test_values_and_two_orders_of_gradients(name, data, rng):
    ours, theirs, variables = of_call(data.draw(CASES[name]))
    compare(ours, theirs, variables, rng)


@pytest.mark.parametrize("name", COMPOSITES)
@given(st.data(), rngs)
def test_functions_made_of_ops(name, data, rng):
    strategy, ours, theirs = COMPOSITES[name]
    inputs, attributes = data.draw(strategy)
    compare(lambda **xs: ours(**xs, **attributes), lambda **xs: theirs(**xs, **attributes), inputs, rng)


# -- kinks and ties --------------------------------------------------------------------------------------------------


def few(rng, shape):
    """Only -1, 0 and 1, so that most calls have ties or meet a kink."""
    return np.asarray(rng.integers(-1, 2, shape).astype(float))


TIES = {
    name: CASES[name] for name in ("relu", "leaky_relu", "abs", "max", "min", "maximum", "minimum", "clip", "l1_loss")
}


@pytest.mark.parametrize("name", TIES)
@given(st.data(), rngs)
def test_kinks_and_ties(name, data, rng):
    """As above, where derivatives are a convention: at 0, at bounds, and where several values are the largest."""
    call = data.draw(TIES[name])
    numbers = {x: float(np.sign(a)) for x, a in call.inputs.items() if isinstance(a, float)}
    ours, theirs, variables = of_call(replace(call, inputs=call.inputs | numbers))
    compare(ours, theirs, {x: few(rng, a.shape) for x, a in variables.items()}, rng)


@given(pooling(), rngs)
def test_a_window_passes_its_gradient_to_the_first_of_its_largest(drawn, rng):
    inputs, windows = drawn
    ours, theirs = (lambda x: mg.ops.max_pool2d(x, **windows)), (lambda x: F.max_pool2d(x, **windows))
    compare(ours, theirs, {"x": few(rng, inputs["x"].shape)}, rng)
