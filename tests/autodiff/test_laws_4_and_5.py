"""Laws 4 and 5 of the engine: fast rules, broadcasting."""

import inspect

import numpy as np
import pytest
from engine_support import (
    as_tensors,
    inner,
    integers,
    ops_behind,
    sample,
    seeds,
)
from hypothesis import given
from hypothesis import strategies as st
from support import is_array

import minigan as mg
from minigan import backends
from minigan.autodiff.registry import OPS, raw_ops
from minigan.backends.numpy import NUMPY
from minigan.backends.plain import PlainKernels
from minigan.errors import RuleError

# -- law 4: fast rules are accelerators, never definitions -----------------------------------------------------------

BACKENDS = list(backends._by_name.values())
FAST_RULES = [(xp, key) for xp in BACKENDS for key in xp.fast_rules]
SETTINGS = (2, 2), (1, 1), (1, 1), 2  # stride, padding, dilation, groups

RATES = np.asarray(1e-3), (0.9, 0.99), 1e-8, np.asarray(3.0)  # Adam's; learning rate and step live on the device


def _normal(*shapes):
    return lambda rng: [rng.standard_normal(shape) for shape in shapes]


KERNELS = {  # what the kernels that a backend may override are tried with: arrays, and the arguments after them
    "batch_norm": (_normal((4, 3, 2, 2), (3,), (3,)), (1e-5,)),
    "adam": (lambda rng: rng.random((4, 20_000)) + 0.1, RATES),  # longer than a block
    "linear": (_normal((3, 4), (2, 4), (2,)), ()),
    "running_statistics": (lambda rng: rng.random((4, 3)) + 0.5, (7, 0.1, 1e-5)),
    "bce_with_logits": (_normal((3, 4), (3, 4)), ()),
    "conv2d": (_normal((2, 4, 6, 5), (4, 2, 3, 2), (4,)), ((3, 3), *SETTINGS)),
    "conv2d_input_grad": (_normal((2, 4, 3, 3), (4, 2, 3, 2)), ((6, 5), *SETTINGS)),
    "conv2d_weight_grad": (_normal((2, 4, 6, 5), (2, 4, 3, 3)), ((3, 2), *SETTINGS)),
    "patches": (_normal((2, 3, 6, 5)), ((3, 2), (3, 3), *SETTINGS[:3])),
    "fold": (_normal((2, 3, 3, 3, 2, 4)), ((6, 5), *SETTINGS[:3])),
    "relu": (_normal((3, 4)), ()),
    "leaky_relu": (_normal((3, 4)), (0.2,)),
    "scatter_add": (_normal((3, 2)), (np.array([0, 2, 0]), (4, 2))),
}
VARIED = {"leaky_relu": {"negative_slope": [0.2, 0.0, 1.0, 2.0]}}  # attributes that a fast rule reads
OVERRIDDEN = [
    (xp, name)
    for xp in BACKENDS
    for name, plain in vars(PlainKernels).items()
    if not name.startswith("__") and callable(plain) and getattr(type(xp), name) is not plain
]


def _arrays(result):
    return [a for a in (result if isinstance(result, tuple) else (result,)) if a is not None]


def _on_host(a):
    home = backends.of(a)
    return np.array(a if home is None else home.to_host(a))  # a rule may leave a NumPy scalar, which the engine wraps


def _same(fast, plain):
    """Equal up to rounding: a sum of at most 16 or so products of numbers below 10, in float64, in any order."""
    assert len(fast) == len(plain)
    for a, b in (map(_on_host, pair) for pair in zip(fast, plain, strict=True)):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("xp", "key"), FAST_RULES, ids=str)
@given(rng=seeds, data=st.data(), given_inputs=st.integers(0, 7), arriving=st.integers(1, 7))
def test_law_4_every_fast_rule_equals_the_plain_rule(xp, key, rng, data, given_inputs, arriving):
    name, served = key
    op = OPS[name]
    (rule,) = [r for r in op.rules if r.inputs == served]
    arrays, attributes = sample(name, rng)
    attributes |= {a: data.draw(st.sampled_from(values), a) for a, values in VARIED.get(name, {}).items()}
    if len(op.inputs) == 1:  # element by element: any shape, both signs, and zeros
        shape = data.draw(st.sampled_from([(), (3,), (2, 3)]), "shape")
        arrays[0] = np.asarray(rng.standard_normal(shape) * (rng.random(shape) > 0.2))
    elif name == "batch_norm_train" and data.draw(st.booleans(), "images"):
        arrays[0] = rng.standard_normal((*arrays[0].shape, 2, 2))
    required = inspect.signature(op.kernel).parameters
    for i, x in enumerate(op.inputs):  # optional inputs come and go
        if required[x].default is None and not given_inputs >> i & 1:
            arrays[i] = None
    raw = [None if a is None else xp.from_host(a) for a in arrays]
    outputs = _arrays(op.kernel(xp, *raw, **op.attributes | attributes))
    values = (
        dict(zip(op.inputs, raw, strict=True))
        | dict(zip(op.outputs, outputs, strict=True))
        | op.attributes
        | attributes
    )
    values |= {f"{x}_shape": getattr(a, "shape", ()) for x, a in zip(op.inputs, raw, strict=True)}
    for i, (y, value) in enumerate(zip(op.outputs, outputs, strict=True)):
        arrives = arriving >> i & 1 or len(outputs) == 1
        values[f"d{y}"] = xp.from_host(rng.standard_normal(value.shape)) if arrives else None
    arguments = [values[p] for p in rule.parameters]
    before = [_on_host(a) if is_array(a) else None for a in arguments]
    fast = xp.fast_rules[key](xp, *arguments)
    assert set(op.attributes) & set(rule.parameters) <= set(VARIED.get(name, {})), (
        f"vary {name}'s attributes in this file"
    )
    if fast is not None:  # None: left to the plain rule
        _same(_arrays(fast), _arrays(rule.function(raw_ops(xp), *arguments)))
    for a, b in zip(arguments, before, strict=True):
        assert b is None or np.array_equal(_on_host(a), b)  # what is saved or arrives is not written into


@pytest.mark.parametrize(("xp", "name"), OVERRIDDEN, ids=str)
@given(rng=seeds)
def test_law_4_every_fast_kernel_equals_the_plain_kernel(xp, name, rng):
    assert name in KERNELS, f"{type(xp).__name__}.{name} overrides a plain kernel: give it arguments in this file"
    draw, settings = KERNELS[name]
    arrays = list(draw(rng))
    one, two = ([home.from_host(a) for a in arrays] for home in (xp, NUMPY))
    fast = getattr(xp, name)(*one, *map(xp.indices, settings))
    _same(_arrays(fast), _arrays(getattr(PlainKernels, name)(NUMPY, *two, *settings)))
    _same(one, two)  # Adam works in place


@pytest.fixture
def spy(monkeypatch):
    """A fast rule of tanh that notes its calls; `spy.result` says what it returns."""

    class Spy:
        calls, result = 0, None

        def __call__(self, xp, dy, y):
            self.calls += 1
            return self.result

    made = Spy()
    monkeypatch.setitem(backends.current().fast_rules, ("tanh", ("x",)), made)
    return made


def test_law_4_a_fast_rule_serves_training_and_never_a_traced_pass(spy):
    x = mg.tensor([0.5, 1.0], requires_grad=True)
    spy.result = mg.tensor([7.0, 8.0]).data
    assert mg.grad(mg.ops.tanh(x).sum(), x).numpy().tolist() == [7.0, 8.0]
    assert spy.calls == 1
    traced = mg.grad(mg.ops.tanh(x).sum(), x, create_graph=True)
    assert spy.calls == 1
    assert traced.numpy()[0] == pytest.approx(1 - np.tanh(0.5) ** 2, rel=1e-6)  # float32 rounds at 6e-8


def test_law_4_a_fast_rule_that_returns_none_leaves_the_work_to_the_plain_one(spy):
    x = mg.tensor([0.0], requires_grad=True)
    assert mg.grad(mg.ops.tanh(x).sum(), x).item() == 1.0
    assert spy.calls == 1


def test_law_4_a_users_op_of_the_same_name_is_served_by_its_own_rule(spy):
    @mg.op
    def tanh(xp, x):
        return 5 * x

    @tanh.gradient("x", formula=r"\partial L/\partial x = 5 \, \partial L/\partial y")
    def _(F, dy):
        return 5 * dy

    x = mg.tensor([0.0], requires_grad=True)
    assert mg.grad(tanh(x).sum(), x).item() == 5.0
    assert spy.calls == 0


# -- law 5: the engine reduces broadcasting, once, for ops that declare it ---------------------------------------------


def _sum_op(broadcasts):
    @mg.op(broadcasts=broadcasts)
    def plus(xp, a, b):
        return a + b

    @plus.gradient("a", "b", formula=r"\partial L/\partial a = \partial L/\partial b = \partial L/\partial y")
    def _(F, dy):
        return dy, dy

    return plus


@pytest.mark.parametrize("create_graph", [False, True])
def test_law_5_undeclared_broadcasting_is_an_error_that_names_the_rule(create_graph):
    a, b = as_tensors([np.ones((2, 3)), np.ones(3)])
    y = _sum_op(False)(a, b)
    with pytest.raises(RuleError) as caught:
        mg.grad(y.sum(), b, create_graph=create_graph)
    for part in ("plus.gradient('a', 'b')", "(2, 3)", "(3,)", __file__):
        assert part in str(caught.value)


shapes = st.sampled_from([(2, 3), (3,), (1, 3), (2, 1), (1, 1), (), (4, 2, 3), (4, 1, 1)])


@given(shapes, shapes, seeds, st.sampled_from(["add", "sub", "mul", "where", "user"]), st.booleans())
def test_law_5_declared_broadcasting_is_summed_back_to_each_input(left, right, rng, name, create_graph):
    a, b = as_tensors([integers(rng, *left), integers(rng, *right)])
    condition = [mg.tensor(rng.random(np.broadcast_shapes(left, right)) > 0.5)] if name == "where" else []
    op = _sum_op(True) if name == "user" else OPS[name]
    y = op(*condition, a, b)
    dy, da, db = (integers(rng, *s) for s in (y.shape, left, right))
    grads = mg.grad(y, (a, b), dy, create_graph=create_graph)
    assert [g.shape for g in grads] == [left, right]
    # along da and db: exact in whole numbers, as each of these ops is linear in each input
    a0, b0 = a.detach(), b.detach()
    alone = [
        op(*condition, mg.tensor(da), b0) - op(*condition, a0 * 0, b0),
        op(*condition, a0, mg.tensor(db)) - op(*condition, a0, b0 * 0),
    ]
    assert inner(grads, [da, db]) == inner(alone, [dy, dy])


@pytest.mark.parametrize(("shape", "expected"), [((3,), 1), ((2, 3), 0)])
def test_law_5_the_sum_is_taken_once(shape, expected):
    a, b = as_tensors([np.ones((2, 3)), np.ones(shape)])
    y = a * b
    gradient = mg.grad(y, b, mg.tensor(np.ones((2, 3)), requires_grad=True), create_graph=True)
    assert ops_behind(gradient, since=y).count("sum_to") == expected


@pytest.mark.parametrize("wrong", [(), (2,), (3, 1)])
@pytest.mark.parametrize("broadcasts", [False, True])
def test_law_5_a_rule_that_returns_too_little_is_never_stretched(wrong, broadcasts):
    @mg.op(broadcasts=broadcasts)
    def odd(xp, x):
        return x * 1

    @odd.gradient("x", formula=r"\partial L/\partial x = 1")
    def _(F, dy):
        return np.ones(wrong)

    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises(RuleError, match=r"odd.gradient\('x'\)"):
        mg.grad(odd(x).sum(), x)


def test_law_5_a_rule_that_forgets_to_return_is_an_error_that_names_it():
    @mg.op
    def forgetful(xp, x):
        return x * 1

    @forgetful.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y")
    def _(F, dy):
        dy * 1

    x = mg.tensor([1.0], requires_grad=True)
    with pytest.raises(RuleError, match=r"forgetful.gradient\('x'\)"):
        forgetful(x).sum().backward()
