"""Law 6 of the engine: the walk."""

import inspect
import weakref
from contextlib import suppress

import numpy as np
import pytest
from engine_support import (
    as_tensors,
    counted_op,
    inner,
    integers,
    no_collector,
    node_of,
    nodes_behind,
    programs,
    run_program,
    seeds,
)
from hypothesis import given
from hypothesis import strategies as st
from support import is_array

import minigan as mg

# -- law 6: the walk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [10_000, 100_000])
def test_law_6_a_long_chain_works_forward_backward_and_when_it_is_freed(length):
    x = y = mg.tensor([1.0], requires_grad=True)
    for _ in range(length):
        y = y + 0.5
    assert y.item() == 1 + length / 2
    assert mg.grad(y, x, retain_graph=True).item() == 1.0
    y.backward()
    assert x.grad.item() == 1.0
    last = weakref.ref(y.data)
    del y  # 100 000 nodes, each held by the next alone
    assert last() is None


def test_law_6_a_long_chain_works_with_create_graph():
    x = mg.tensor([1.0], requires_grad=True)
    y = x
    for _ in range(10_000):
        y = -y
    s = mg.tensor([1.0], requires_grad=True)
    gradient = mg.grad(y, x, s, create_graph=True)
    assert len(nodes_behind(gradient)) >= 10_000
    assert mg.grad(gradient, s).item() == 1.0
    del gradient, y


def test_law_6_a_long_chain_that_branches_is_walked_once_a_node():
    calls = []
    double = counted_op(calls)
    x = y = mg.tensor(np.ones(1), requires_grad=True)
    for _ in range(50):
        y = double(y) - y  # 2^50 paths, 50 rules
    assert mg.grad(y, x).item() == 1.0
    assert len(calls) == 50


@pytest.mark.parametrize("create_graph", [False, True])
def test_law_6_rules_off_the_path_are_never_called(create_graph):
    calls = []
    on, off = counted_op(calls, "on"), counted_op(calls, "off")
    x, w = as_tensors([np.ones(2), np.ones(2)])
    h = on(x)
    y = on(h) * off(off(w))
    assert mg.grad(y.sum(), x, create_graph=create_graph, retain_graph=True).numpy().tolist() == [16.0, 16.0]
    assert calls == ["on", "on"]
    mg.grad(y.sum(), h, create_graph=create_graph)  # an intermediate: what lies before it is off the path too
    assert calls == ["on", "on", "on"]


def test_law_6_a_pass_to_an_intermediate_stops_there_unless_another_input_lies_behind():
    calls = []
    double = counted_op(calls)
    x = mg.tensor(np.ones(1), requires_grad=True)
    h = double(x)
    y = double(h)
    at_h, at_x = mg.grad(y, [h, x])
    assert (at_h.item(), at_x.item(), len(calls)) == (2.0, 4.0, 2)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12))
def test_law_6_nodes_are_visited_in_reverse_creation_order(links):
    calls = []
    values = [mg.tensor(np.ones(1), requires_grad=True)]
    for tag, (i, j) in enumerate(links):
        values.append(counted_op(calls, tag)(values[i % len(values)] + values[j % len(values)]))
    mg.grad(sum(values[1:], start=mg.tensor(np.zeros(1))), values[0])
    assert calls == sorted(range(len(links)), reverse=True)


@given(programs, seeds, st.booleans())
def test_law_6_gradients_of_any_linear_program_are_its_transpose(program, rng, create_graph):
    at = [integers(rng, 2, 3) for _ in range(2)]
    along = [integers(rng, 2, 3) for _ in range(2)]
    leaves = as_tensors(at)
    ys = run_program(program, *leaves)
    arriving = [integers(rng, 2, 3) for _ in ys]
    grads = mg.grad(ys, leaves, arriving, allow_unused=True, create_graph=create_graph)
    grads = [np.zeros((2, 3)) if g is None else g for g in grads]
    assert inner(grads, along) == inner(run_program(program, *map(mg.tensor, along)), arriving)  # whole numbers: exact


def test_law_6_a_value_used_twice_receives_both():
    a = mg.tensor([1.0, 2.0], requires_grad=True)
    (a + a).sum().backward()
    assert a.grad.numpy().tolist() == [2.0, 2.0]


@pytest.mark.parametrize("use", ["drop", "backward", "grad", "create_graph", "penalty", "vjp", "error"])
def test_law_6_memory_goes_back_by_reference_counting_alone(use):
    with no_collector():
        x = mg.tensor(np.ones((2, 3)), requires_grad=True)
        h = mg.ops.exp(x)
        y = mg.ops.tanh(h * h + h)
        loss = y.sum()
        watched = [weakref.ref(o) for t in (x, h, y, loss) for o in (t, t.data)]
        watched += [weakref.ref(a) for n in nodes_behind(loss) for a in n.saved.values() if is_array(a)]
        if use == "backward":
            loss.backward()
            watched.append(weakref.ref(x.grad.data))
        elif use == "grad":
            watched.append(weakref.ref(mg.grad(loss, [x, h])[0].data))
        elif use in ("create_graph", "penalty"):
            first = mg.grad(loss, x, create_graph=True)
            penalty = (first * first).sum()
            watched += [weakref.ref(o) for t in (first, penalty) for o in (t, t.data)]
            if use == "penalty":
                penalty.backward()
                watched.append(weakref.ref(x.grad.data))
            del first, penalty
        elif use == "vjp":
            value, pullback = mg.vjp(lambda a: a * mg.ops.exp(a), x)
            watched += [weakref.ref(value.data), weakref.ref(pullback(np.ones((2, 3))).data)]
            del value, pullback
        elif use == "error":
            with suppress(mg.errors.MissingGradient):
                mg.grad(loss, mg.tensor([1.0], requires_grad=True))
        del x, h, y, loss
        assert [w() for w in watched if w() is not None] == []


def test_law_6_nodes_point_at_parents_only():
    x = mg.tensor([1.0], requires_grad=True)
    h = mg.ops.exp(x)
    before = [node_of(h).routes[0][0], *node_of(h).saved]
    mg.ops.sin(h)
    assert [node_of(h).routes[0][0], *node_of(h).saved] == before
    assert node_of(h).routes[0][0] is x


def test_law_6_backward_has_no_create_graph_and_grad_has():
    assert "create_graph" not in inspect.signature(mg.Tensor.backward).parameters
    assert "create_graph" in inspect.signature(mg.grad).parameters
    with pytest.raises(TypeError, match="create_graph"):
        mg.tensor([1.0], requires_grad=True).sum().backward(create_graph=True)
