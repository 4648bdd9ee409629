"""The op protocol: what kernels and rules are given, and what becomes of what they return."""

import numpy as np
import pytest
from engine_support import as_tensors, node_of

import minigan as mg
from minigan import backends
from minigan.autodiff.registry import TRACED_OPS, raw_ops

XP = backends.current()

# -- kernels -------------------------------------------------------------------------------------------------------


def test_a_kernel_gets_the_backend_arrays_and_attributes_by_name():
    seen = []

    @mg.op
    def scaled(xp, x, bias=None, *, by=2.0, rounded=False):
        seen.append((xp, type(x), bias, by, rounded))
        return x * by

    x = mg.tensor([1.0, 2.0])
    for call in (lambda: scaled(x, None, 3.0, True), lambda: scaled(x, by=np.float64(3.0), rounded=True)):
        assert call().numpy().tolist() == [3.0, 6.0]
    scaled(x=x)
    assert seen == [(XP, XP.array_type, None, 3.0, True)] * 2 + [(XP, XP.array_type, None, 2.0, False)]
    assert type(seen[1][3]) is float
    assert repr(scaled) == "<minigan op scaled(x, bias=None, by=2.0, rounded=False)>"
    assert (scaled.name, scaled.__name__, scaled.inputs, scaled.attributes) == (
        "scaled",
        "scaled",
        ("x", "bias"),
        {"by": 2.0, "rounded": False},
    )


def test_a_kernel_may_return_a_numpy_scalar_and_the_tensor_holds_an_array():
    @mg.op
    def first(xp, x):
        return x[0]

    y = first([1.0, 2.0])
    assert type(y.data) is XP.array_type
    assert y.shape == ()


def test_arrays_lists_numbers_and_tensors_go_in_alike():
    for x in (np.array([4.0], "float32"), [4.0], mg.tensor([4.0])):
        assert mg.ops.sqrt(x).numpy().tolist() == [2.0]
    assert isinstance(mg.ops.add(1.0, 2.0), mg.Tensor)


@pytest.mark.parametrize("create_graph", [False, True])
def test_several_outputs_are_named_and_boolean_and_integer_ones_are_constants(create_graph):
    @mg.op(outputs=("y", "positive", "order"))
    def sorted_(xp, x):
        return xp.sort(x), x > 0, xp.argsort(x)

    @sorted_.gradient("x", formula=r"\partial L/\partial x = \operatorname{scatter\_add}(\partial L/\partial y)")
    def _(F, dy, dpositive, dorder, order, x_shape):
        assert dpositive is dorder is None
        return F.scatter_add(dy, index=order, shape=x_shape)

    x = mg.tensor([3.0, -1.0, 2.0], requires_grad=True)
    y, positive, order = sorted_(x)
    assert (y.requires_grad, positive.requires_grad, order.requires_grad) == (True, False, False)
    g = mg.grad(y, x, np.array([10.0, 20.0, 30.0]), create_graph=create_graph)
    assert g.numpy().tolist() == [30.0, 10.0, 20.0]


def test_nothing_ever_arrives_at_a_boolean_output_in_higher_orders_either():
    @mg.op(outputs=("y", "open"))
    def gate(xp, x):
        return xp.where(x > 0, x * x, 0), x > 0

    @gate.gradient("x", formula=r"\partial L/\partial x = 2 x \, \partial L/\partial y \, [\mathit{open}]")
    def _(F, dy, dopen, x, open):
        assert dopen is None
        return 2 * x * dy * open

    x = mg.tensor([3.0, -1.0], requires_grad=True)
    first = mg.grad(gate(x)[0].sum(), x, create_graph=True)
    assert first.numpy().tolist() == [6.0, 0.0]
    assert mg.grad(first.sum(), x).numpy().tolist() == [2.0, 0.0]


@pytest.mark.parametrize("read", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("create_graph", [False, True])
def test_where_nothing_arrives_at_an_output_the_rule_gets_none(read, create_graph):
    seen = []

    @mg.op(outputs=("y", "z"))
    def both(xp, x):
        return 2 * x, 3 * x

    @both.gradient("x", formula=r"\partial L/\partial x = 2 \, \partial L/\partial y + 3 \, \partial L/\partial z")
    def _(F, dy, dz):
        seen.append((dy is not None, dz is not None))
        return sum(k * d for k, d in ((2, dy), (3, dz)) if d is not None)

    x = mg.tensor([1.0], requires_grad=True)
    results = both(x)
    g = mg.grad([results[i] for i in read], x, create_graph=create_graph)
    assert g.item() == sum((2, 3)[i] for i in read)
    assert seen == [(0 in read, 1 in read)]


def _joined():
    @mg.op
    def joined(xp, xs, *, axis=0):
        return xp.concatenate(xs, axis)

    @joined.gradient("xs", formula=r"\partial L/\partial \mathit{xs} = \operatorname{getitem}(\partial L/\partial y)")
    def _(F, dy, xs_shape):
        ends = np.cumsum([s[0] for s in xs_shape]).tolist()
        return tuple(F.getitem(dy, index=slice(e - s[0], e)) for s, e in zip(xs_shape, ends, strict=True))

    return joined


@pytest.mark.parametrize("kind", [tuple, list])
def test_one_tuple_of_arrays_is_an_input_too(kind):
    a, b = as_tensors([np.ones(2), np.ones(3)])
    constant = np.ones(1)
    y = _joined()(kind([a, constant, b]), axis=0)
    dy = mg.tensor(np.arange(6.0), requires_grad=True)
    da, db = mg.grad(y, (a, b), dy, create_graph=True)
    assert (da.numpy().tolist(), db.numpy().tolist()) == ([0.0, 1.0], [3.0, 4.0, 5.0])
    assert mg.grad(da.sum() + (2 * db).sum(), dy).numpy().tolist() == [1.0, 1.0, 0.0, 2.0, 2.0, 2.0]


# -- rules ---------------------------------------------------------------------------------------------------------


def _noted(seen, name="noted"):
    def kernel(xp, x):
        return xp.exp(x)

    kernel.__name__ = name
    made = mg.op(kernel)

    @made.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, y")
    def _(F, dy, y):
        seen.append((F, type(dy), type(y)))
        return dy * y

    return made


def test_one_rule_is_called_with_arrays_when_training_and_with_tensors_when_traced():
    seen = []
    x = mg.tensor([0.0, 1.0], requires_grad=True)
    y = _noted(seen)(x).sum()
    plain = mg.grad(y, x, retain_graph=True)
    traced = mg.grad(y, x, create_graph=True)
    assert seen == [(raw_ops(XP), XP.array_type, XP.array_type), (TRACED_OPS, mg.Tensor, mg.Tensor)]
    assert np.array_equal(plain.numpy(), traced.numpy())
    assert (plain.requires_grad, traced.requires_grad) == (False, True)


def test_rules_reach_users_ops_by_name_and_these_never_hide_minigans():
    _noted([], "twice_removed")
    _noted([], "tanh")

    @mg.op
    def through(xp, x):
        return x * 1

    @through.gradient("x", formula=r"\partial L/\partial x = \operatorname{twice\_removed} \partial L/\partial y")
    def _(F, dy):
        return F.twice_removed(dy) + F.tanh(dy)

    x = mg.tensor([1.0], requires_grad=True)
    expected = pytest.approx(np.exp(0.5) + np.tanh(0.5), rel=1e-6)  # float32 rounds at 6e-8
    for create_graph in (False, True):
        assert mg.grad(through(x), x, np.array([0.5]), create_graph=create_graph).item() == expected
    with pytest.raises(AttributeError, match="no op 'nowhere'"):
        raw_ops(XP).nowhere  # noqa: B018


def test_a_rule_given_again_replaces_the_first():
    noted = _noted([])

    @noted.gradient("x", formula=r"\partial L/\partial x = 7 \, \partial L/\partial y")
    def _(F, dy):
        return 7 * dy

    x = mg.tensor([0.0], requires_grad=True)
    assert mg.grad(noted(x), x).item() == 7.0
    assert len(noted.rules) == 1
    assert set(node_of(noted(x)).saved) == set()


def test_rules_get_shapes_attributes_and_defaults():
    seen = []

    @mg.op(broadcasts=True)
    def mixed(xp, a, b, *, power=2, label="none"):
        return a * b

    @mixed.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y \, b")
    def _(F, dy, b, a_shape, b_shape, power, label):
        seen.append((a_shape, b_shape, power, label))
        return dy * b

    a = mg.tensor(np.ones((2, 3)), requires_grad=True)
    mg.grad(mixed(a, 4.0, 3), a, np.ones((2, 3)))
    mg.grad(mixed(a, np.ones(3), label="some"), a, np.ones((2, 3)))
    assert seen == [((2, 3), (), 3, "none"), ((2, 3), (3,), 2, "some")]


def test_an_input_without_a_rule_is_a_constant_and_the_error_says_so():
    @mg.op(broadcasts=True)
    def half(xp, a, b):
        return a * b

    @half.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y \, b")
    def _(F, dy, b):
        return dy * b

    a, b = as_tensors([np.ones(2), np.ones(2)])
    y = half(a, b).sum()
    with pytest.raises(mg.errors.MissingGradient, match="half, which has no rule for its input 1"):
        mg.grad(y, b)
    assert mg.grad(y, a).numpy().tolist() == [1.0, 1.0]
    assert not half(a.detach(), b).requires_grad
