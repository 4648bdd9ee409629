"""The record of a backward pass: that it says what `grad` says, and whose each op is."""

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.errors import FreedGraph, MissingGradient, ShapeError
from minigan.study import Size, record

STEPS = {
    "tanh": lambda x, w: x.tanh(),
    "twice": lambda x, w: x * x,
    "scale": lambda x, w: x * w,
    "add": lambda x, w: x + w,
    "matmul": lambda x, w: x @ x,
}


@given(steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_what_leaves_is_what_arrives(steps, seed):
    rng = np.random.default_rng(seed)
    x = mg.tensor(rng.normal(size=(3, 3)), requires_grad=True)
    w = mg.tensor(rng.normal(size=(1, 3)), requires_grad=True)
    y = x
    for step in steps:
        y = STEPS[step](y, w)
    found = record(y.sum())

    for to, row in enumerate(found.rows):
        sent = list(found.contributions(to, "y"))
        if len(sent) == 1:
            assert row.arrives["y"] == sent[0][1].size
        if sent:  # the triangle's inequality; the last place of float64 for rounding
            assert row.arrives["y"].norm <= sum(s.size.norm for _, s in sent) * (1 + 1e-12)
    for leaf in found.leaves:
        expected = mg.grad(y.sum(), x if leaf.name == "x" else w, retain_graph=True)
        assert leaf.total == Size.of(expected.data)
    assert {leaf.name for leaf in found.leaves} == {"x"} | ({"w"} if {"scale", "add"} & set(steps) else set())
    summed = {(row.op, s.input) for row in found.rows for s in row.sent if s.summed}
    assert summed == ({("mul", "b")} if "scale" in steps else set()) | ({("add", "b")} if "add" in steps else set())


def test_nothing_is_freed_and_no_gradient_is_left():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    loss = (x.exp() * x).sum()
    first, second = record(loss), record(loss)
    assert first == second
    assert x.grad is None
    loss.backward()
    assert x.grad is not None


def test_what_nobody_asked_for_is_not_zero():
    x, w = (mg.tensor([1.0, -2.0], requires_grad=True) for _ in range(2))
    y = (x * w).relu()
    rows = record((y * 0).sum(), x).rows
    product = rows[-1]
    assert product.arrives["y"].norm == 0
    assert [(s.size is None, s.why) for s in product.sent] == [(False, ""), (True, "not asked for")]
    assert [leaf.total is None for leaf in record((y * 0).sum(), x).leaves] == [False, True]


def test_a_constant_says_why_it_is_one():
    x = mg.tensor([1.0], requires_grad=True)
    with mg.no_grad():
        fixed = x * 2
    row = record((x * fixed).sum()).rows[1]
    assert row.sent[1].to is None
    assert row.sent[1].why.startswith("a constant: no_grad() at ")
    assert __file__ in row.sent[1].why


class Inner(mg.nn.Module):
    def __init__(self):
        self.scale = mg.nn.Parameter([1.0, 2.0])

    def forward(self, x):
        return x * self.scale


class Outer(mg.nn.Module):
    def __init__(self):
        self.first, self.second = Inner(), mg.nn.Tanh()

    def forward(self, x):
        self.last = self.second(self.first(x)) + 1.0  # an activation kept
        return self.last


def test_every_op_knows_its_module_and_its_line():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    net = Outer()
    y = net(x)
    loss = (y * y).sum()
    rows = record(loss).rows
    assert [(r.op, r.module, r.layer) for r in rows] == [
        ("sum", "", ""), ("mul", "", ""), ("add", "net", "Outer"), ("tanh", "net.second", "Tanh"), ("mul", "net.first", "Inner"),
    ]  # fmt: skip
    assert rows[1].source == "loss = (y * y).sum()"
    assert rows[3].source == "self.last = self.second(self.first(x)) + 1.0  # an activation kept"
    assert rows[4].source == "return x * self.scale"
    assert {row.file for row in rows} == {__file__}
    assert rows[2].names == {"y": "y"}
    assert rows[0].names == {"y": "loss"}
    assert [leaf.name for leaf in record(loss).leaves] == ["x", "net.first.scale"]
    assert [r.module for r in record(loss, names={}).rows] == ["", "", "Outer", "Tanh", "Inner"]
    assert [r.module for r in record(loss, names={"D": net}).rows] == ["", "", "D", "D.second", "D.first"]


def test_an_error_in_a_module_does_not_leave_it_named():
    class Fails(mg.nn.Module):
        def forward(self, x):
            raise KeyError("x")

    x, net = mg.tensor([1.0], requires_grad=True), Fails()
    with pytest.raises(KeyError):
        net(x)
    assert record(x * x).rows[0].module == ""


def test_what_a_rule_records_belongs_to_the_module_of_its_op():
    x, net = mg.tensor([1.0, 2.0], requires_grad=True), mg.nn.Tanh()
    slope = mg.grad(net(x).sum(), x, create_graph=True)
    assert {row.module for row in record(slope.sum()).rows} == {"", "net"}


def test_a_module_that_keeps_what_it_computed_makes_no_cycle():
    gc.collect()
    gc.disable()
    try:
        net = Outer()
        net(mg.tensor([1.0, 2.0], requires_grad=True))
        del net
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_a_norm_beyond_the_range_of_its_squares(size):
    # 1e-6: float32 holds seven digits
    assert Size.of(mg.tensor([3 * size, -4 * size]).data).norm == pytest.approx(5 * size, rel=1e-6)


def test_an_empty_gradient_has_no_size():
    assert Size.of(mg.tensor(np.zeros((0, 2))).data) == Size((0, 2), 0.0, 0.0, 0.0)


def test_bad_input():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"record\(\) takes the Tensor that is differentiated, got float"):
        record(1.0)
    with pytest.raises(
        MissingGradient, match=r"record\(\): no gradient can flow from this tensor: .*requires_grad=True"
    ):
        record(mg.tensor(1.0))
    with pytest.raises(
        ShapeError, match=r"record\(\) of a tensor of shape \(2,\) needs the gradient that arrives there"
    ):
        record(x * x)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(FreedGraph, match="retain_graph=True"):
        record(loss)
    assert record(x * x, gradient=[1.0, 0.0]).leaves[0].total.norm == 2.0
    assert record(mg.tensor(3.0, requires_grad=True)).rows == ()
