"""Laws 1 to 3 of the engine (docs: the design, section 2): closed families, what rules read, what is saved."""

import inspect
import weakref
from itertools import combinations, permutations

import numpy as np
import pytest
from engine_support import (
    SAMPLES,
    as_tensors,
    differentiable,
    flat,
    inner,
    integers,
    no_collector,
    node_of,
    ops_behind,
    outputs_of,
    sample,
    seeds,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from support import is_array

import minigan as mg
from minigan import backends
from minigan.autodiff.registry import OPS
from minigan.errors import FreedGraph, RuleError, ShapeError

# -- law 1: closed families --------------------------------------------------------------------------------------

CONVOLUTIONS = {"conv2d", "conv_transpose2d", "conv2d_weight_grad"}
MOVES = {"reshape", "transpose", "broadcast_to", "sum_to", "getitem", "scatter_add", "copy"}
FAMILIES = {
    **dict.fromkeys(CONVOLUTIONS, CONVOLUTIONS | MOVES | {"sum"}),
    "matmul": {"matmul"} | MOVES,
    "linear": {"linear", "matmul"} | MOVES,
    "broadcast_to": {"broadcast_to", "sum_to"},
    "sum_to": {"broadcast_to", "sum_to"},
    "getitem": {"getitem", "scatter_add"},
    "scatter_add": {"getitem", "scatter_add"},
    "reshape": {"reshape"},
    "transpose": {"transpose"},
    "copy": {"copy"},
    "sum": {"sum"} | MOVES,
}
LINEAR = ["neg", "add", "sub", "sum", "mean", *sorted(set(FAMILIES) - CONVOLUTIONS - {"matmul", "linear"})]


@st.composite
def geometries(draw):
    """Fitting settings and whole-number images of a convolution: attributes, output_padding, (x, weight, g)."""
    rng, groups = draw(seeds), draw(st.integers(1, 2))
    n, c, o = 2, 2 * groups, groups * draw(st.integers(1, 2))
    sides = []  # of height and width: kernel, stride, padding, dilation, large side, and what they give
    for _ in range(2):
        kernel, stride, padding, dilation = (draw(st.integers(*r)) for r in ((1, 3), (1, 3), (0, 2), (1, 2)))
        reach = dilation * (kernel - 1) + 1
        large = max(1, reach - 2 * padding) + draw(st.integers(0, 5))
        sides.append((kernel, stride, padding, dilation, large, *divmod(large + 2 * padding - reach, stride)))
    kernel, stride, padding, dilation, large, steps, rest = zip(*sides, strict=True)
    attributes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    shapes = (n, c, *large), (o, c // groups, *kernel), (n, o, *(s + 1 for s in steps))
    return attributes, rest, [integers(rng, *shape) for shape in shapes]


@given(geometries())
def test_law_1_the_convolutions_are_one_trilinear_form(drawn):
    attributes, rest, (x, weight, g) = drawn
    form = inner([mg.ops.conv2d(x, weight, **attributes)], [g])
    transposed = mg.ops.conv_transpose2d(g, weight, output_padding=rest, **attributes)
    assert inner([transposed], [x]) == form
    kernel_grad = mg.ops.conv2d_weight_grad(x, g, kernel=weight.shape[2:], **attributes)
    assert inner([kernel_grad], [weight]) == form


@given(geometries(), seeds)
def test_law_1_third_derivatives_of_a_convolution_are_right_in_every_order(drawn, rng):
    attributes, _, at = drawn
    along = [integers(rng, *a.shape) for a in at]
    expected = inner([mg.ops.conv2d(along[0], along[1], **attributes)], [along[2]])
    x, weight, g = leaves = as_tensors(at)
    for order in permutations(range(3)):
        value = (mg.ops.conv2d(x, weight, **attributes) * g).sum()
        for i in order:
            value = (mg.grad(value, leaves[i], create_graph=True) * along[i]).sum()
        assert value.item() == expected  # whole numbers in float64: exact


@given(geometries(), seeds, st.integers(0, 99), st.integers(0, 99))
def test_law_1_a_transposed_convolutions_rules_are_its_transposes(drawn, rng, more_height, more_width):
    attributes, _, (_, weight, g) = drawn
    limits = map(max, attributes["stride"], attributes["dilation"])  # output_padding may be all below this
    extra = tuple(more % limit for more, limit in zip((more_height, more_width), limits, strict=True))
    op = lambda x, w: mg.ops.conv_transpose2d(x, w, output_padding=extra, **attributes)
    try:
        y, pullback = mg.vjp(op, g, weight)
    except ShapeError:
        assume(False)  # padding has eaten all
    dy, dg, dw = (integers(rng, *a.shape) for a in (y, g, weight))
    at_g, at_weight = pullback(dy)
    assert inner([at_g], [dg]) == inner([op(dg, weight)], [dy])
    assert inner([at_weight], [dw]) == inner([op(g, dw)], [dy])


@pytest.mark.parametrize("name", sorted(FAMILIES))
@given(rng=seeds)
def test_law_1_every_order_of_derivative_stays_in_the_family(name, rng):
    arrays, attributes = sample(name, rng)
    leaves = as_tensors(arrays)
    y = OPS[name](*leaves, **attributes)
    for _ in range(3):
        dy = mg.tensor(np.ones(y.shape), requires_grad=True)
        gradients = mg.grad(y, leaves, dy, create_graph=True, allow_unused=True)
        leaves = [*leaves, dy]
        tracked = [g for g in gradients if g is not None and g.requires_grad]
        for g in tracked:
            assert set(ops_behind(g, since=y)) <= FAMILIES[name] | {"copy"}  # law 11 copies
        y = tracked[int(rng.integers(len(tracked)))]


@pytest.mark.parametrize("name", LINEAR)
@given(rng=seeds)
def test_law_1_a_linear_ops_rule_is_its_transpose_and_the_transposes_is_the_op(name, rng):
    arrays, attributes = sample(name, rng)
    u, v = ([integers(rng, *a.shape) for a in arrays] for _ in range(2))
    op = lambda *xs: OPS[name](*xs, **attributes)
    y, pullback = mg.vjp(op, *u)
    dy = integers(rng, *y.shape)
    forward, along = mg.jvp(op, tuple(u), tuple(v))
    assert np.array_equal(forward.numpy(), y.numpy())
    # mean divides by 3, which rounds: a few float64 roundings of numbers below 100
    close = lambda a, b: a == pytest.approx(b, abs=1e-12 if name == "mean" else 0)
    assert close(inner(flat([pullback(dy)]), v), inner([op(*v)], [dy]))
    assert close(inner([along], [dy]), inner([op(*v)], [dy]))


def test_law_1_a_transposed_convolution_is_the_input_gradient_of_a_convolution(monkeypatch):
    calls = []
    xp = backends.current()
    kernel = xp.conv2d_input_grad
    monkeypatch.setattr(xp, "conv2d_input_grad", lambda *a: calls.append(1) or kernel(*a), raising=False)
    x, weight = as_tensors([integers(np.random.default_rng(0), *s) for s in ((1, 2, 5, 5), (3, 2, 3, 3))])
    y = mg.ops.conv2d(x, weight, stride=2)
    dy = np.ones(y.shape)
    gradient = mg.grad(y, x, dy)
    assert len(calls) == 1
    image = mg.ops.conv_transpose2d(dy, weight, stride=2)
    assert len(calls) == 2
    assert np.array_equal(image.numpy(), gradient.numpy())


# -- law 2: every floating array that a rule reads is an input or a declared output ----------------------------------


@pytest.mark.parametrize("name", differentiable)
@given(rng=seeds)
def test_law_2_floating_arrays_reach_a_rule_as_inputs_and_outputs_only(name, rng):
    op = OPS[name]
    arrays, attributes = sample(name, rng)
    leaves = as_tensors(arrays)
    results = outputs_of(op(*leaves, **attributes))
    by_name = dict(zip(op.inputs, leaves, strict=False)) | dict(zip(op.outputs, results, strict=False))
    for parameter, value in node_of(results[0]).saved.items():
        for array in flat([value]):
            if is_array(array) and array.dtype.kind == "f":
                assert any(array is t.data for t in flat([by_name[parameter]])), f"{parameter} of {name}"


@pytest.mark.parametrize("name", differentiable)
def test_law_2_rules_hold_no_arrays_of_their_own(name):
    for rule in OPS[name].rules:
        read = inspect.getclosurevars(rule.function)
        values = [*read.nonlocals.values(), *read.globals.values(), *(rule.function.__defaults__ or ())]
        assert not any(is_array(v) or isinstance(v, mg.Tensor) for v in values)


def test_law_2_a_rule_cannot_name_what_is_neither_input_nor_output():
    @mg.op
    def normalised(xp, x):
        return x - xp.mean(x)

    with pytest.raises(
        RuleError, match=r"normalised.gradient.*batch_mean is not known.*F and any of dy, x, x_shape, y"
    ):

        @normalised.gradient("x", formula="...")
        def _(F, dy, batch_mean):
            return dy


def test_law_2_a_floating_array_cannot_come_in_as_an_attribute():
    @mg.op
    def masked(xp, x, *, mask):
        return x * mask

    @masked.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, \mathit{mask}")
    def _(F, dy, mask):
        return dy * mask

    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises((TypeError, RuleError), match="mask"):
        mg.grad(masked(x, mask=np.array([0.0, 2.0], "float32")).sum(), x)


@pytest.mark.parametrize("shape", [(5, 2), (2, 2, 2, 1)], ids=["(N, C)", "(N, C, H, W)"])
def test_law_2_batch_norms_third_derivative_is_right(shape):
    rng = np.random.default_rng(3)
    at, *along = (rng.standard_normal(shape) for _ in range(4))
    target = rng.standard_normal(shape)

    def directional(array, directions):
        """The derivative of a loss along each of the directions in turn."""
        x = mg.tensor(array, requires_grad=True)
        value = (mg.ops.batch_norm(x, eps=0.1) * target).sum()
        for v in directions:
            value = (mg.grad(value, x, create_graph=True) * v).sum()
        return value.item()

    step = 1e-4
    sides = [directional(at + s * step * along[2], along[:2]) for s in (1, -1)]
    difference = (sides[0] - sides[1]) / (2 * step)
    # central difference in float64: error step^2/6 * fifth derivative + eps * value / step, about 1e-7 of the value
    assert directional(at, along) == pytest.approx(difference, rel=1e-5)


# -- law 3: what is saved, and how long ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", differentiable)
@given(rng=seeds)
def test_law_3_only_what_rules_name_is_saved_and_only_for_inputs_that_need_a_gradient(name, rng):
    op = OPS[name]
    arrays, attributes = sample(name, rng)
    for size in range(1, len(arrays) + 1):
        for chosen in combinations(range(len(arrays)), size):
            leaves = as_tensors(arrays, lambda i, chosen=chosen: i in chosen)
            needing = {x for x, t in zip(op.inputs, leaves, strict=False) if any(a.requires_grad for a in flat([t]))}
            rules = [r for r in op.rules if needing & set(r.inputs)]
            results = outputs_of(op(*leaves, **attributes))
            assert bool(results) == bool(rules)
            if rules:
                named = {p for r in rules for p in r.parameters} - {f"d{y}" for y in op.outputs}
                assert set(node_of(results[0]).saved) == named


@pytest.mark.parametrize("name", differentiable)
def test_law_3_nodes_save_arrays_not_tensors(name):
    arrays, attributes = sample(name, np.random.default_rng(0))
    (y, *_) = outputs_of(OPS[name](*as_tensors(arrays), **attributes))
    assert not any(isinstance(v, mg.Tensor) for v in flat(list(node_of(y).saved.values())))


def test_law_3_memory_that_no_rule_names_goes_back_at_once():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with no_collector():
        h = x * 2  # the rule names the number 2 only
        y = mg.ops.tanh(h)  # its rule names y, not x
        inside, outside = weakref.ref(y.data), weakref.ref(h.data)
        loss = y.sum()
        del h, y
        assert outside() is None
        assert inside() is not None
        loss.backward()
        assert inside() is None  # freed by the pass, although `loss` still holds the graph


def test_law_3_inputs_of_constants_rules_are_not_kept():
    x = mg.tensor(np.ones((2, 3), "float32"), requires_grad=True)
    weight = mg.tensor(np.ones((4, 3), "float32"))
    assert set(node_of(mg.ops.linear(x, weight)).saved) == {"weight"}
    assert set(node_of(mg.ops.linear(x.detach(), mg.tensor(weight, requires_grad=True))).saved) == {"x"}


@pytest.mark.parametrize("again", ["backward", "grad"])
def test_law_3_a_second_pass_over_a_freed_graph_says_so_in_one_sentence(again):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = mg.ops.exp(x)  # the freed call
    loss = y.sum()
    loss.backward()
    assert node_of(y).saved is None
    with pytest.raises(FreedGraph, match="retain_graph=True") as caught:
        loss.backward() if again == "backward" else mg.grad(loss, x)
    for part in ("sum", "second backward pass", __file__, "loss = y.sum()"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_law_3_retain_graph_keeps_what_was_saved_and_each_pass_adds():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    mg.grad(loss, x, retain_graph=True)
    loss.backward()
    assert x.grad.numpy().tolist() == [4.0, 8.0]
    with pytest.raises(FreedGraph):
        loss.backward()


def test_law_3_create_graph_keeps_what_was_saved_unless_told_otherwise():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    mg.grad(loss, x, create_graph=True)
    mg.grad(loss, x, create_graph=True, retain_graph=False)
    with pytest.raises(FreedGraph):
        mg.grad(loss, x)


def test_law_3_only_the_nodes_that_were_walked_are_freed():
    a, b = (mg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    left, right = mg.ops.exp(a), mg.ops.exp(b)
    mg.grad((left * right).sum(), a)
    assert node_of(left).saved is None
    assert node_of(right).saved is not None


def test_every_differentiable_op_has_a_sample_call():
    assert set(differentiable) <= set(SAMPLES)
