"""check_grads: right functions pass, planted bugs are named."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.autodiff.registry import OPS
from minigan.testing import check_grads
from minigan.testing.failures import BadSubject, GradientWrong, OnKink

sys.path.append(str(Path(__file__).parents[1] / "autodiff"))  # where the other tests of ops have their sample calls
from engine_support import differentiable, sample
from planted import (
    KINKED,
    Scale,
    averaged,
    by_one,
    conv_flipped,
    inputs,
    negative_inputs,
    no_dinv_std,
    no_mean_path,
    no_variance_path,
    normal,
    not_summed,
    off_by_a_little,
    one_element,
    open_gate,
    second_order_only,
    tie_twice,
    wrong_shape,
    wrong_sign,
)

F = mg.ops
seeds = st.integers(0, 2**31)


# -- right functions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", differentiable)
@given(seed=seeds)
def test_every_op_has_right_derivatives_of_three_orders(name, seed):
    arrays, attributes = sample(name, np.random.default_rng(seed))
    f = partial(OPS[name], **attributes) if attributes else OPS[name]
    try:
        check_grads(f, *arrays, order=3 if seed % 4 == 0 else 2, rng=seed)
    except OnKink:
        assert name in KINKED


LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "Dense": (lambda: mg.nn.Dense(3, 2), (4, 3)),
    "Conv2d": (lambda: mg.nn.Conv2d(2, 3, 3, padding=1), (2, 2, 4, 4)),
    "ConvTranspose2d": (lambda: mg.nn.ConvTranspose2d(2, 3, 3, stride=2), (2, 2, 3, 3)),
    "BatchNorm": (lambda: mg.nn.BatchNorm(3), (5, 3)),
    "BatchNorm in evaluation": (lambda: mg.nn.BatchNorm(3).eval(), (5, 3)),
    "LayerNorm": (lambda: mg.nn.LayerNorm(4), (3, 4)),
    "SpectralNorm": (lambda: mg.nn.SpectralNorm(mg.nn.Dense(3, 2)).eval(), (4, 3)),
    "MaxPool2d": (lambda: mg.nn.MaxPool2d(2), (2, 1, 4, 4)),
    "Dropout": (lambda: mg.nn.Dropout(0.4), (6, 5)),
    "Dropout with a generator": (lambda: mg.nn.Dropout(0.4, rng=3), (6, 5)),
    "a network": (
        lambda: mg.nn.Sequential(mg.nn.Dense(3, 4), mg.nn.BatchNorm(4), mg.nn.Tanh(), mg.nn.Dropout(), mg.nn.Dense(4, 1)),
        (6, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_are_checked_with_their_parameters_and_left_as_they_were(name, dtype):
    factory, shape = LAYERS[name]
    layer = factory()
    parameters = layer.parameters()
    for p in parameters:
        p.grad = mg.tensor(np.ones(p.shape, p.dtype))
    before, attributes = layer.state_dict(), [dict(vars(m)) for m in layer.modules()]
    generator = mg.backends.random.generator()
    states = [g.bit_generator.state for g in (generator, getattr(layer, "rng", None) or generator)]
    check_grads(layer, normal(*shape).astype(dtype), order=2)
    after = layer.state_dict()
    assert all(after[k].dtype == v.dtype and np.array_equal(after[k], v) for k, v in before.items())
    assert [dict(vars(m)) for m in layer.modules()] == attributes  # the same objects
    assert all(np.array_equal(p.grad.numpy(), np.ones(p.shape)) and p.requires_grad for p in parameters)
    assert mg.backends.random.generator() is generator
    assert [g.bit_generator.state for g in (generator, getattr(layer, "rng", None) or generator)] == states


def test_a_layer_is_left_as_it_was_when_it_raises():
    class Fails(mg.nn.Module):
        def __init__(self) -> None:
            self.weight, self.calls = mg.nn.Parameter([1.0, 2.0]), 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            self.weight.assign_([5.0, 5.0])
            raise KeyError("inside")

    layer = Fails()
    weight = layer.weight
    with pytest.raises(KeyError, match="inside"):
        check_grads(layer, normal(2))
    assert layer.weight is weight
    assert layer.calls == 0
    assert weight.numpy().tolist() == [1.0, 2.0]
    assert weight.dtype == np.float32


def test_a_graph_from_before_the_check_still_has_its_gradient():
    layer = mg.nn.Dense(2, 1, bias=False)
    x = mg.tensor([[1.0, 2.0]], requires_grad=True)
    y = layer(x).sum()
    check_grads(layer, normal(3, 2))
    y.backward()
    assert np.array_equal(x.grad.numpy(), layer.weight.numpy())


def test_what_a_function_closes_over_is_left_as_it_was():
    norm, drop, rng = mg.nn.BatchNorm(2), mg.nn.Dropout(rng=1), np.random.default_rng(2)
    states = [g.bit_generator.state for g in (drop.rng, rng)]
    check_grads(lambda x: F.dropout(drop(norm(x)), rng=rng), normal(5, 2))
    assert norm.running_mean.numpy().tolist() == [0.0, 0.0]
    assert [g.bit_generator.state for g in (drop.rng, rng)] == states


@pytest.mark.parametrize(
    ("f", "arrays"),
    [
        (F.tanh, [np.array(0.3)]),
        (F.tanh, [np.zeros((0, 3))]),
        (F.matmul, [np.zeros((2, 0)), np.zeros((0, 3))]),
        (partial(F.concatenate, axis=0), [(normal(2, 2), normal(1, 2))]),
        (F.linear, [normal(2, 3), normal(4, 3), None]),
        (lambda x, k: x * k, [normal(3), 2.0]),
        (lambda x, y: 2 * x, [normal(3), normal(2)]),  # without the second
        (lambda x: (x * x, x.sum()), [normal(3)]),
        (lambda x: x * 0 + 1, [normal(3)]),
        (F.embedding, [np.array([0, 2]), normal(3, 2)]),
        (lambda x: F.batch_norm(x, bias=x.sum(axis=0) * 0 + 1e3), [normal(6, 2)]),  # a shift that is taken off again
    ],
    ids=["0-d", "empty", "empty inside", "a tuple", "None", "a number", "unused", "outputs", "constant", "integers", "lost"],
)  # fmt: skip
def test_shapes_and_kinds_of_inputs(f, arrays):
    check_grads(f, *arrays, order=2)


@given(seed=seeds)
def test_a_bias_before_batch_norm_has_no_gradient_and_passes(seed):
    """What arrives there is rounding, in the analytic gradient as in the differences."""
    net = mg.nn.Sequential(mg.nn.Dense(3, 4, rng=seed), mg.nn.BatchNorm(4), mg.nn.Tanh())
    check_grads(net, 5 + normal(6, 3, seed=seed % 1000), order=2, rng=seed)


SMOOTH = [
    lambda x: F.tanh(x @ x.transpose()),
    lambda x: F.softmax(x) * F.sigmoid(x).sum(),
    lambda x: F.exp(-x * x) / (1 + x * x),
    lambda x: F.sin(10 * x) * x,
    lambda x: F.layer_norm(x, x.shape[1]),
    lambda x: (x * x).sum().sqrt() + F.log_softmax(x),
]


@pytest.mark.parametrize("f", SMOOTH)
def test_no_false_alarm_on_smooth_functions(f):
    """No examples but seeds: a flaky check would show among 300 for each, and the tests would not be worth their time."""
    for seed in range(300):
        check_grads(f, normal(3, 4, seed=seed), rng=seed)


@pytest.mark.parametrize("f", SMOOTH)
@given(seed=seeds)
def test_no_false_alarm_at_order_2(f, seed):
    check_grads(f, normal(3, 4, seed=seed % 1000), order=2, rng=seed)


@given(
    seed=seeds,
    inner=st.integers(-6, 6),
    outer=st.integers(-6, 6),
    f=st.sampled_from([F.exp, F.tanh, F.sin, lambda x: x**3, lambda x: F.layer_norm(x, 4, eps=0.0)]),
)
def test_scales_do_not_matter(seed, inner, outer, f):
    """Inputs and outputs from 1e-6 to 1e6 in size; f itself sees numbers of size 1."""
    g = lambda x: f(x * 10.0**-inner) * 10.0**outer
    x = normal(3, 4, seed=seed % 1000) * 10.0**inner
    check_grads(g, x, rng=seed)
    with pytest.raises(GradientWrong):
        check_grads(lambda x: off_by_a_little(x * 10.0**-inner) * 10.0**outer, x, rng=seed)


@given(seed=seeds, scale=st.integers(-6, 3), f=st.sampled_from([F.cos, F.exp, F.tanh, lambda x: 1 + x * x]))
def test_inputs_of_any_size_raise_no_false_alarm(seed, scale, f):
    try:
        check_grads(f, normal(5, seed=seed % 1000) * 10.0**scale, rng=seed)
    except BadSubject:
        assert scale > 2  # exp overflows


# -- planted bugs ----------------------------------------------------------------------------------------------------

BUGS: dict[str, tuple[Any, list[Any], int, str]] = {
    "sign": (wrong_sign, inputs((3,)), 1, 'wrong_sign.gradient("x")'),
    "factor 1.0003": (off_by_a_little, inputs((3, 4)), 1, 'off_by_a_little.gradient("x")'),
    "one element of 1000": (one_element, inputs((10, 100)), 1, 'one_element.gradient("x")'),
    "negative inputs": (negative_inputs, inputs((8,)), 1, 'negative_inputs.gradient("x")'),
    "one place off": (by_one, inputs((5,)), 1, 'by_one.gradient("x")'),
    "not summed": (not_summed, inputs((4, 3), (3,)), 1, 'not_summed.gradient("b")'),
    "mean for sum": (averaged, inputs((4, 3), (3,)), 1, 'averaged.gradient("b")'),
    "no path through the mean": (no_mean_path, inputs((4, 3)), 1, 'no_mean_path.gradient("x")'),
    "no path through the variance": (no_variance_path, inputs((4, 3)), 1, 'no_variance_path.gradient("x")'),
    "one of several outputs": (no_dinv_std, inputs((4, 3)), 1, 'no_dinv_std.gradient("x")'),
    "second order": (lambda x: no_dinv_std(x)[0], inputs((4, 3)), 2, 'no_dinv_std.gradient("x")'),
    "an op within a rule": (second_order_only, inputs((4,)), 2, 'second_order_only.gradient("x")'),
    "tie given twice": (lambda x: tie_twice(x, x), inputs((4,)), 1, 'tie_twice.gradient("a")'),
    "everything passes": (open_gate, inputs((6,)), 1, 'open_gate.gradient("x")'),
    "image turned over": (conv_flipped, inputs((2, 2, 5, 4), (3, 2, 2, 2)), 1, 'conv_flipped.gradient("weight")'),
    "among others": (lambda x: F.tanh(off_by_a_little(x) @ x.transpose()), inputs((3, 2)), 1, "off_by_a_little"),
    "shape": (wrong_shape, inputs((3,)), 1, "wrong_shape.gradient('x')"),
}


@pytest.mark.parametrize("name", BUGS)
@given(seed=seeds)
def test_planted_bugs_are_named(name, seed):
    f, arrays, order, rule = BUGS[name]
    for lower in range(1, order):
        check_grads(f, *arrays, order=lower, rng=seed)
    with pytest.raises(GradientWrong) as caught:
        check_grads(f, *arrays, order=order, rng=seed)
    assert rule in str(caught.value)
    assert caught.value.facts.get("order", order) == order


@given(seed=seeds, place=st.integers(0, 5), factor=st.sampled_from([1.0003, 0.5, -1.0, 2.0]))
def test_the_worst_element_is_named_with_both_values(seed, place, factor):
    """A rule that is wrong for one element, whichever it is."""
    wrong = np.ones(6)
    wrong[place] = factor

    @mg.op
    def scaled(xp, x):
        return 3.0 * x

    @scaled.gradient("x", formula="3 dy")
    def _(F, dy):
        return 3.0 * dy * mg.backends.of(dy if not isinstance(dy, mg.Tensor) else dy.data).from_host(wrong)

    with pytest.raises(GradientWrong) as caught:
        check_grads(scaled, normal(6, seed=seed % 1000), rng=seed)
    facts = caught.value.facts
    assert caught.value.headline.startswith(f"the derivative of y[{place}] by x[{place}] is ")
    # printed to 7 digits, and differences of a linear function are good to more
    assert float(facts["ratio"]) == pytest.approx(factor, rel=1e-6)
    assert float(facts["analytic"]) == pytest.approx(3 * factor, rel=1e-6)
    assert facts["seed"] == f"rng={seed}"


def test_a_wrong_parameter_is_named_by_its_key():
    net = mg.nn.Sequential(mg.nn.Tanh(), Scale())
    with pytest.raises(GradientWrong) as caught:
        check_grads(net, normal(4, 2))
    assert " by 1.factor[" in caught.value.headline
    assert caught.value.facts["inputs"] == "x (4, 2) float64, 1.factor (2,) float32"
    assert caught.value.facts["layer"] == "Sequential( (0): Tanh() (1): Scale() )"


def test_a_small_gradient_is_not_hidden_behind_a_large_one():
    check_grads(lambda a, b: 1e9 * a + F.exp(b), normal(3), normal(3))
    with pytest.raises(GradientWrong, match=r"by b\["):
        check_grads(lambda a, b: (1e9 * a, off_by_a_little(b)), normal(3), normal(3))


def test_a_gradient_that_does_not_arrive_is_said_with_its_reason():
    with pytest.raises(GradientWrong, match=r"no gradient arrives at y(.|\n)*detach\(\)"):
        check_grads(lambda x, y: x * y.detach(), normal(3), normal(3))


def test_worst_of_many_elements():
    """More elements than are looked at one by one."""
    x = normal(90, 50)
    with pytest.raises(GradientWrong) as caught:
        check_grads(one_element, x)
    row, column = np.unravel_index(np.argmax(x), x.shape)
    assert f" by x[{row}, {column}] is" in caught.value.headline


# -- what cannot be checked ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "arrays", "said"),
    [
        (F.log, [np.array([1.0, 0.0])], r"the output y is -inf at \(1,\)"),
        (F.sqrt, [np.array([1.0, 0.0])], r"the gradient by x is -?inf at \(1,\)"),
        (F.exp, [np.array([1.0, np.nan])], r"the output y is nan at \(1,\)"),
        (F.tanh, [np.array([1, 2])], "no input is an array of floats"),
        (F.greater, [normal(2), normal(2)], "no output is of floats"),
        (lambda x: 3.0, [normal(2)], "returned float; a Tensor or a tuple of Tensors"),
        (lambda x: x * np.random.default_rng().random(), [normal(2)], "differs between two calls"),
        (lambda x: F.tanh(x.astype("float32")) + 1e3, [normal(2)], "computes in less than float64"),
        (F.log, [np.array([1.0, 1e-14])], "at the edge of where f is finite"),
    ],
)
def test_bad_subjects(f, arrays, said):
    with pytest.raises(BadSubject, match=said) as caught:
        check_grads(f, *arrays)
    assert str(caught.value).startswith("check_grads: ")
    assert "seed" in caught.value.facts


def test_an_output_shape_that_changes():
    sizes = iter(range(2, 1000))
    with pytest.raises(BadSubject, match=r"shapes change between calls: \[\(2,\)\] and \[\(3,\)\]"):
        check_grads(lambda x: F.broadcast_to(x.sum(), shape=(next(sizes),)), normal(3))


def test_an_order_below_1():
    with pytest.raises(ValueError, match="order must be at least 1, got 0"):
        check_grads(F.tanh, normal(2), order=0)


def test_a_generator_as_rng_gives_a_seed_that_repeats_it():
    with pytest.raises(GradientWrong) as first:
        check_grads(wrong_sign, normal(3), rng=np.random.default_rng(5))
    seed = int(first.value.facts["seed"].removeprefix("rng="))
    with pytest.raises(GradientWrong) as second:
        check_grads(wrong_sign, normal(3), rng=seed)
    assert str(first.value) == str(second.value)
