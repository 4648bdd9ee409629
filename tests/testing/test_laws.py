"""The laws hold for what is shipped, their messages say all that is needed, and a check leaves nothing behind."""

import gc
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import Watching, bent

import minigan as mg
from minigan import nn
from minigan.backends import random
from minigan.errors import DTypeError
from minigan.testing import layers
from minigan.testing.failures import BadSubject, LawBroken
from minigan.testing.laws import (
    LAWS,
    check_laws,
    check_linear_in_gradient,
)

X, Y = (np.random.default_rng(i).uniform(0.5, 2.0, (2, 3)) for i in range(2))

# -- what holds --------------------------------------------------------------------------------------------------------


@given(layers(), st.booleans(), st.integers(0, 99))
def test_every_shipped_layer_obeys_the_laws_in_both_modes(case, training, rng):
    factory, shape = case
    check_laws(factory().train(training), np.random.default_rng(rng).standard_normal(shape), rng=rng)


FUNCTIONS = {
    "identity": lambda x, y: x,
    "several outputs": lambda x, y: (x * y, x, [y + 1.0]),
    "no gradient": lambda x, y: x.detach(),
    "integers out": lambda x, y: x > y,
    "a view of a result": lambda x, y: mg.ops.broadcast_to((x * y).sum(axis=0, keepdims=True), (2, 3)),
    "in float32": lambda x, y: mg.ops.tanh(x.astype("float32")) * y.astype("float32"),
    "only one used": lambda x, y: mg.ops.exp(x),
    "in place on an input": lambda x, y: (y.detach().assign_(Y), x * 2.0)[1],
    "random": lambda x, y: mg.ops.dropout(x, 0.5) * y,
    "outside of its domain for f(x, x)": lambda x, y: mg.ops.log(x - y + 2.0) if x is not y else 1 / (x - y),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(2, 3), (0, 3), ()])
def test_functions_of_all_kinds_obey_the_laws(name, shape):
    if name == "in place on an input" and shape != (2, 3):
        return
    if name == "a view of a result" and shape == ():
        return
    x, y = (np.resize(a, shape) for a in (X, Y))
    check_laws(FUNCTIONS[name], x, y)


@pytest.mark.parametrize("op", ["add", "mul", "matmul", "pow", "maximum"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ops_obey_the_laws_whatever_dtype_they_are_given(op, dtype):
    y = Y.T if op == "matmul" else Y
    check_laws(getattr(mg.ops, op), X.astype(dtype), mg.tensor(y.astype(dtype)))


def test_integers_and_numbers_are_no_variables():
    check_laws(mg.ops.embedding, np.array([0, 2, 0]), X.T)
    check_laws(lambda x, k, n: x * k if n is None else x, X, 2.0, None)


# -- messages, and what stays --------------------------------------------------------------------------------------------


def test_a_message_shows_rule_place_values_geometry_seed_and_a_program_that_fails_alike():
    with pytest.raises(LawBroken) as caught:
        check_linear_in_gradient(bent, X[:1, :2], rng=3)
    text = str(caught.value)
    for part in (
        r'rule +bent.gradient\("x"\)',
        r"gradient by +x\[0, ",
        "ratio",
        r"inputs +x \(1, 2\) float64",
        "seed +3",
    ):
        assert re.search(part, text)
    assert len(text.splitlines()) < 20
    program = caught.value.repro
    with pytest.raises(LawBroken) as again:
        exec(compile(program, "repro", "exec"), {})
    assert again.value.headline == caught.value.headline
    assert again.value.facts["found"] == caught.value.facts["found"]


def test_what_is_checked_is_afterwards_as_it_was():
    net = nn.Sequential(nn.SpectralNorm(nn.Conv2d(2, 3, 3, rng=0), rng=0), nn.BatchNorm(3), nn.Dropout(rng=1))
    net[1].bias.requires_grad = False
    net[0].layer.weight.grad = mg.tensor(np.ones((3, 2, 3, 3), "float32"))
    x = np.random.default_rng(0).standard_normal((2, 2, 5, 5)).astype("float32")
    watched = [t for _, t in net.named_state()]
    before = [(t.numpy().copy(), t.dtype, t.grad, t.requires_grad, list(t._version)) for t in watched]
    generator, position = random.generator(), random.generator().bit_generator.state
    own, collecting, kept = net[2].rng.bit_generator.state, gc.isenabled(), x.copy()
    check_laws(net, x)
    for t, (values, dtype, grad, tracked, version) in zip(watched, before, strict=True):
        assert t.dtype == dtype
        assert np.array_equal(t.numpy(), values)
        assert t.grad is grad
        assert t.requires_grad is tracked
        assert t._version == version
    assert net.training
    assert random.generator() is generator
    assert generator.bit_generator.state == position
    assert net[2].rng.bit_generator.state == own
    assert gc.isenabled() is collecting
    assert np.array_equal(x, kept)


def test_a_failing_check_puts_everything_back_too():
    layer = Watching()
    with pytest.raises(LawBroken):
        check_laws(layer, X)
    assert layer.weight.requires_grad
    assert layer.weight.grad is None
    assert layer.weight.dtype == "float32"


def test_the_same_seed_gives_the_same_message_whatever_was_drawn_before():
    texts = []
    for seed in range(2):
        mg.seed(seed)
        with pytest.raises(LawBroken) as caught:
            check_linear_in_gradient(lambda x: bent(mg.ops.dropout(x, 0.5)), X)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("check", LAWS)
def test_what_returns_no_tensors_is_no_subject(check):
    with pytest.raises(BadSubject, match="returned float"):
        check(lambda x: 1.0, X)


def test_an_error_of_the_subject_is_its_own():
    with pytest.raises(DTypeError):
        check_laws(mg.ops.embedding, X, X)
