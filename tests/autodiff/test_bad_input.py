"""Bad input: one clear error that names the op, what was given, what was expected, and how to mend it."""

import numpy as np
import pytest

import minigan as mg
from minigan.errors import FreedGraph, GraphError, MissingGradient, RuleError, ShapeError

ones = lambda *shape: np.ones(shape, "float32")
tracked = lambda *shape: mg.tensor(ones(*shape), requires_grad=True)


def says(error, parts, call):
    """Check that the call raises the error, in one line, with each of the parts in its message."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, f"{part!r} is not in: {message}"


CONV = "floor((size + 2*padding - dilation*(kernel - 1) - 1)/stride) + 1 = floor((2 + 2*1 - 2*(4 - 1) - 1)/3) + 1 = 0"
TRANSPOSED = (
    "(size - 1)*stride - 2*padding + dilation*(kernel - 1) + output_padding + 1"
    " = (1 - 1)*1 - 2*1 + 1*(1 - 1) + 0 + 1 = -1"
)

SHAPES = {
    "broadcasting": (lambda: mg.ops.add(ones(3), ones(4)), ["add(a (3,) float32, b (4,) float32)", "broadcast"]),
    "broadcasting in an operator": (lambda: tracked(2, 3) * ones(2), ["mul(a (2, 3) float32, b (2,) float32)"]),
    "inner sides": (lambda: tracked(2, 3) @ ones(2, 3), ["matmul(a (2, 3) float32, b (2, 3) float32)"]),
    "linear's sides": (
        lambda: mg.ops.linear(ones(2, 3), ones(4, 2)),
        ["linear(x (2, 3)", "weight (4, 2)", "same number of inputs"],
    ),
    "linear's bias": (
        lambda: mg.ops.linear(ones(2, 3), ones(4, 3), ones(3)),
        ["linear(", "bias must be of shape (4,)"],
    ),
    "reshape": (lambda: tracked(3).reshape(2, 2), ["reshape(x (3,) float32)", "(2,2)"]),
    "transpose": (lambda: tracked(3).transpose(1, 0), ["transpose(x (3,) float32)", "axes"]),
    "axis": (lambda: tracked(3).sum(axis=3), ["sum(x (3,) float32)", "axis 3"]),
    "sum_to": (lambda: tracked(3).sum_to((2,)), ["sum_to(x (3,) float32)", "(2,) does not broadcast to (3,)"]),
    "broadcast_to": (lambda: tracked(3).broadcast_to((2,)), ["broadcast_to(x (3,) float32)"]),
    "index": (lambda: tracked(3)[7], ["getitem(x (3,) float32)", "ndex 7", "size 3"]),
    "conv2d's rank": (lambda: mg.ops.conv2d(ones(2, 3), ones(4, 3, 1, 1)), ["conv2d(x (2, 3)", "(N, C, H, W)", "2-D"]),
    "conv2d's channels": (
        lambda: mg.ops.conv2d(ones(1, 3, 4, 4), ones(4, 2, 1, 1), groups=2),
        ["conv2d(", "x has 3 channels", "(4, 2, 1, 1) with groups=2 takes 4"],
    ),
    "conv2d's groups": (
        lambda: mg.ops.conv2d(ones(1, 2, 4, 4), ones(3, 1, 1, 1), groups=2),
        ["conv2d(", "groups", "divides", "3", "got 2"],
    ),
    "conv_transpose2d's groups": (
        lambda: mg.ops.conv_transpose2d(ones(1, 3, 4, 4), ones(3, 1, 1, 1), groups=2),
        ["conv_transpose2d(", "groups", "divides", "3", "got 2"],
    ),
    "conv2d's bias": (
        lambda: mg.ops.conv2d(ones(1, 2, 4, 4), ones(3, 2, 1, 1), ones(2)),
        ["bias must be of shape (3,)"],
    ),
    "conv2d's output": (
        lambda: mg.ops.conv2d(ones(1, 1, 2, 9), ones(1, 1, 4, 4), stride=3, padding=1, dilation=2),
        ["conv2d(x (1, 1, 2, 9) float32, weight (1, 1, 4, 4) float32)", "height", CONV, "more padding"],
    ),
    "conv_transpose2d's output": (
        lambda: mg.ops.conv_transpose2d(ones(1, 1, 1, 9), ones(1, 1, 1, 1), padding=1),
        ["conv_transpose2d(", "height", TRANSPOSED, "less padding"],
    ),
    "conv2d's stride": (
        lambda: mg.ops.conv2d(ones(1, 1, 4, 4), ones(1, 1, 1, 1), stride=0),
        ["conv2d(", "stride", "got 0"],
    ),
    "conv2d's padding": (
        lambda: mg.ops.conv2d(ones(1, 1, 4, 4), ones(1, 1, 1, 1), padding="same"),
        ["conv2d(", "padding must be an integer of at least 0, or a pair", "got 'same'"],
    ),
    "output_padding": (
        lambda: mg.ops.conv_transpose2d(ones(1, 1, 4, 4), ones(1, 1, 1, 1), stride=2, output_padding=2),
        ["conv_transpose2d(", "output_padding (2) must be smaller than stride (2)"],
    ),
    "batch_norm's rank": (lambda: mg.ops.batch_norm(ones(3)), ["batch_norm", "(N, C) or (N, C, H, W)", "1-D"]),
    "batch_norm's batch": (
        lambda: mg.ops.batch_norm(ones(1, 3)),
        ["batch_norm", "more than one value", "larger batch"],
    ),
    "batch_norm's weight": (lambda: mg.ops.batch_norm(ones(4, 3), ones(4)), ["batch_norm", "(3,)", "got (4,)"]),
    "a loss's target": (
        lambda: mg.ops.bce_with_logits(2 * ones(2, 3), ones(2)),
        ["bce_with_logits(", "(2, 3)", "got (2,)"],
    ),
}


@pytest.mark.parametrize("what", SHAPES)
def test_shapes_and_geometry(what):
    call, parts = SHAPES[what]
    says(ShapeError, parts, call)


class Thing:
    pass


VALUES = {
    "a string to an op": (lambda: mg.ops.exp("abc"), ["exp", "str", "array"]),
    "a thing to an operator": (lambda: tracked(3) + Thing(), ["add", "Thing", "array"]),
    "uneven lists to an op": (lambda: mg.ops.exp([[1.0], [1.0, 2.0]]), ["exp", "list", "equally long"]),
    "a number as a string": (lambda: mg.tensor("3"), ["str", "give a number, an array, or lists of numbers"]),
    "None in a list": (lambda: mg.tensor([1.0, None]), ["list", "lists of numbers"]),
    "a string": (lambda: mg.tensor("abc"), ["str", "give a number, an array, or lists of numbers"]),
    "uneven lists": (lambda: mg.tensor([[1.0], [1.0, 2.0]]), ["list", "equally long"]),
    "None": (lambda: mg.tensor(None), ["NoneType", "array"]),
    "complex numbers": (
        lambda: mg.tensor(np.ones(2) * 1j),
        ["complex128 is not supported", "floats, integers or booleans"],
    ),
    "an array of objects": (lambda: mg.tensor(np.array([None, 1])), ["object is not supported"]),
    "gradients of integers": (
        lambda: mg.tensor(np.arange(3), requires_grad=True),
        ["int64 cannot require a gradient", "only floats", "astype('float32')"],
    ),
    "a dtype that there is not": (lambda: tracked(3).astype("abc"), ["abc"]),
    "gradients of numbers": (lambda: mg.grad(3.0, tracked(3)), ["grad()", "Tensors", "float", "minigan.tensor"]),
    "gradients by numbers": (lambda: mg.grad(tracked(3).sum(), 3.0), ["grad()", "Tensors", "float", "minigan.tensor"]),
    "gradients by a list of arrays": (lambda: mg.grad(tracked(3).sum(), [ones(3)]), ["grad()", "Tensors", "ndarray"]),
}


@pytest.mark.parametrize("what", VALUES)
def test_values_and_dtypes(what):
    call, parts = VALUES[what]
    says(TypeError, parts, call)


ARGUMENTS = {
    "missing": (lambda: mg.ops.add(tracked(3)), ["add(a, b)", "missing", "'b'"]),
    "too many": (lambda: mg.ops.exp(tracked(3), tracked(3)), ["exp(x)", "too many"]),
    "unknown": (lambda: mg.ops.exp(tracked(3), base=2), ["exp(x)", "unexpected", "'base'"]),
    "twice": (lambda: mg.ops.exp(tracked(3), x=tracked(3)), ["exp(x)", "multiple values", "'x'"]),
    "a missing attribute": (lambda: mg.ops.reshape(tracked(3)), ["reshape(x, shape)", "missing", "'shape'"]),
    "an unknown attribute": (lambda: tracked(3).sum(axes=0), ["sum(x, axis=None, keepdims=False)", "'axes'"]),
}


@pytest.mark.parametrize("what", ARGUMENTS)
def test_arguments(what):
    call, parts = ARGUMENTS[what]
    says(TypeError, parts, call)


# -- gradients that cannot be asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "ask"), [("backward()", lambda x: (x * 2).backward()), ("grad()", lambda x: mg.grad(x * 2, x))]
)
def test_a_tensor_that_is_no_scalar_needs_a_gradient(who, ask):
    says(
        ShapeError,
        [who, "shape (2, 3)", "only a scalar has 1 by default", ".mean()", ".sum()"],
        lambda: ask(tracked(2, 3)),
    )


@pytest.mark.parametrize("wrong", [(), (3,), (3, 2), (1, 2, 3)])
@pytest.mark.parametrize("who", ["backward", "grad"])
def test_a_gradient_of_the_wrong_shape(who, wrong):
    x = tracked(2, 3)
    y = x * 2
    ask = (lambda: y.backward(ones(*wrong))) if who == "backward" else lambda: mg.grad(y, x, ones(*wrong))
    says(ShapeError, [f"{who}() got a gradient of shape {wrong} for an output of shape (2, 3)"], ask)


def test_more_gradients_than_outputs():
    x = tracked(3)
    says(ShapeError, ["grad() got 2 grad_outputs for 1 outputs"], lambda: mg.grad([x * 2], x, [ones(3), ones(3)]))
    says(ShapeError, ["jvp() got 2 tangents for 1 inputs"], lambda: mg.jvp(mg.ops.exp, ones(3), (ones(3), ones(3))))
    says(ShapeError, ["shape (2,)", "shape (3,)"], lambda: mg.vjp(mg.ops.exp, ones(3))[1](ones(2)))
    says(ShapeError, ["grad() of a tensor of shape (3,)"], lambda: mg.hvp(mg.ops.exp, ones(3), ones(3)))


def test_a_second_backward_pass():
    x = tracked(3)
    loss = mg.ops.exp(x).sum()
    loss.backward()
    says(
        FreedGraph,
        ["second backward pass", "sum", "retain_graph=True", "run the forward computation again"],
        loss.backward,
    )


def test_gradients_of_integers_through_ops():
    whole = mg.tensor(np.arange(3), name="labels")
    says(
        MissingGradient,
        ["'labels'", "int64", "only floats have gradients"],
        lambda: mg.grad((tracked(3) * whole).sum(), whole),
    )


def test_items_of_large_tensors_and_lengths_of_scalars():
    says(ShapeError, ["item()", "exactly one element", "(2, 3)"], lambda: tracked(2, 3).item())
    says(TypeError, ["no axes"], lambda: len(tracked()))
    says(GraphError, ["detach()"], lambda: (tracked(3) * 2).assign_(0.0))


# -- ops that break the protocol -----------------------------------------------------------------------------------


def make(rule, *inputs):
    """An op of two arrays with this rule."""

    @mg.op
    def broken(xp, a, b):
        return a * b

    broken.gradient(*inputs, formula="-")(rule)
    return broken


DEFINITIONS = {
    "an unknown parameter": (
        lambda F, dy, stats: dy,
        ("a",),
        ["broken.gradient('a'", "stats", "is not known", "dy", "a_shape"],
    ),
    "an unknown input": (
        lambda F, dy: dy,
        ("c",),
        ["broken.gradient('c'", "c is not known", "serves inputs among a, b"],
    ),
    "no input": (lambda F, dy: dy, (), ["broken.gradient", "serves inputs among a, b"]),
    "no F": (lambda dy, a: dy, ("a",), ["broken.gradient('a'", "the first parameter", "a rule takes F"]),
    "another output": (lambda F, dz: dz, ("a",), ["dz is not known"]),
}


@pytest.mark.parametrize("what", DEFINITIONS)
def test_a_rule_that_cannot_be_registered(what):
    rule, inputs, parts = DEFINITIONS[what]
    says(RuleError, parts, lambda: make(rule, *inputs))


def failing(F, dy, a):
    raise ValueError("the rule's own words")


RULES = {
    "raises": (failing, ("a",), ["broken.gradient('a')", "the rule's own words"]),
    "misspells": (lambda F, dy: F.no_such_op(dy), ("a",), ["broken.gradient('a')", "no op 'no_such_op'"]),
    "returns another shape": (lambda F, dy: dy.sum(), ("a",), ["broken.gradient('a')", "shape ()", "shape (3,)"]),
    "returns too few": (lambda F, dy: (dy,), ("a", "b"), ["broken.gradient('a', 'b')", "2 gradients in a tuple"]),
    "returns too many": (
        lambda F, dy: (dy, dy, dy),
        ("a", "b"),
        ["broken.gradient('a', 'b')", "2 gradients in a tuple"],
    ),
    "returns one for two": (
        lambda F, dy: dy,
        ("a", "b"),
        ["broken.gradient('a', 'b')", "2 gradients in a tuple", "got "],
    ),
    "returns a string": (lambda F, dy: "abc", ("a",), ["broken.gradient('a')"]),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("what", RULES)
def test_a_rule_that_fails_is_named_with_the_line_of_its_call(what, create_graph):
    rule, inputs, parts = RULES[what]
    a, b = tracked(3), tracked(3)
    y = make(rule, *inputs)(a, b)  # the call
    parts = [*parts, __file__, "y = make(rule, *inputs)(a, b)  # the call"]
    says(RuleError, parts, lambda: mg.grad(y, [a], ones(3), create_graph=create_graph))


def test_an_interrupt_in_a_rule_is_left_alone():
    def interrupted(F, dy):
        raise KeyboardInterrupt

    a = tracked(3)
    with pytest.raises(KeyboardInterrupt):
        make(interrupted, "a")(a, a).sum().backward()


@pytest.mark.parametrize("returned", [1, 3, "array"])
def test_a_kernel_that_returns_another_number_of_outputs(returned):
    @mg.op(outputs=("y", "mean"))
    def two(xp, x):
        return x if returned == "array" else (x,) * returned

    says(RuleError, ["two", "the kernel must return a tuple of y, mean"], lambda: two(ones(3)))


def test_a_kernels_own_error_names_the_op_and_its_inputs():
    @mg.op
    def picky(xp, x, scale=None, *, axis=0):
        raise KeyError("no such thing")

    with pytest.raises(KeyError) as caught:
        picky(ones(2, 3), 2.0)
    assert caught.value.__notes__ == ["in picky(x (2, 3) float32, scale 2.0): 'no such thing'"]
