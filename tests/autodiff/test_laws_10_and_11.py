"""Laws 10 and 11 of the engine: changes in place are caught, returned gradients are the caller's."""

from contextlib import suppress
from itertools import combinations

import numpy as np
import pytest
from engine_support import (
    as_tensors,
    differentiable,
    flat,
    inner,
    integers,
    node_of,
    nodes_behind,
    outputs_of,
    programs,
    run_program,
    sample,
    seeds,
)
from hypothesis import given
from hypothesis import strategies as st
from support import is_array, share_memory

import minigan as mg
from minigan import backends
from minigan.autodiff.registry import OPS
from minigan.errors import GraphError, InPlaceChange, ShapeError

# -- law 10: in-place changes of saved values are caught ----------------------------------------------------------

VIEWS = {
    "itself": lambda t: t,
    "detach": lambda t: t.detach(),
    "shared tensor": lambda t: mg.tensor(t.detach(), copy=False),
    "reshape": lambda t: t.detach().reshape(4),
    "transpose": lambda t: t.detach().T,
    "getitem": lambda t: t.detach()[0],
    "view of a view": lambda t: t.detach().T[1:].reshape(2),
    "broadcast": lambda t: mg.ops.broadcast_to(t.detach(), shape=(3, 2, 2)),
}
WRITABLE = [name for name in VIEWS if name != "broadcast"]
COPIES = {
    "copy": lambda t: mg.ops.copy(t.detach()),
    "tensor()": lambda t: mg.tensor(t.detach()),
    "arithmetic": lambda t: t.detach() + 0,
    "gather": lambda t: t.detach()[np.array([0, 1])],
}


@pytest.fixture
def w():
    return mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="w")


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("view", WRITABLE)
def test_law_10_a_change_through_any_view_is_caught_and_both_lines_are_named(view, create_graph, w):
    seen = VIEWS[view](w)
    seen.name = "w's view"
    y = mg.ops.sin(w)  # the forward line
    seen.assign_(5.0)  # the changing line
    with pytest.raises(InPlaceChange) as caught:
        mg.grad(y.sum(), w, create_graph=create_graph)
    parts = ["'x' of sin", "assign_()", '"w\'s view"', "y = mg.ops.sin(w)  # the forward line"]
    for part in [*parts, "seen.assign_(5.0)  # the changing line"]:
        assert part in str(caught.value)
    assert str(caught.value).count(__file__) == 2


@pytest.mark.parametrize("view", VIEWS)
def test_law_10_what_is_saved_may_be_the_view_and_what_changes_the_whole(view):
    whole = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    part = VIEWS[view](whole)
    x = mg.tensor(np.ones(part.shape, "float32"), requires_grad=True)
    y = (x * part).sum()
    whole.assign_(7.0)
    with pytest.raises(InPlaceChange, match="'b' of mul"):
        y.backward()


@pytest.mark.parametrize("copied", COPIES)
def test_law_10_a_copy_is_another_storage(copied, w):
    other = COPIES[copied](w)
    y = mg.ops.sin(w).sum()
    other.assign_(5.0)
    y.backward()
    assert np.array_equal(w.grad.numpy(), mg.ops.cos(w).numpy())


def test_law_10_a_saved_output_is_watched_too(w):
    y = mg.ops.exp(w)  # its rule names y
    y.detach().assign_(0.0)
    with pytest.raises(InPlaceChange, match=r"'y' of exp.*assign_"):
        y.sum().backward()


def test_law_10_an_output_that_is_a_view_shares_its_inputs_counter(w):
    y = mg.ops.sin(w.T)
    w.assign_(1.0)
    with pytest.raises(InPlaceChange, match="'x' of sin"):
        y.sum().backward()


def test_law_10_changing_what_nothing_saved_is_fine(w):
    y = mg.ops.tanh(w * 2)  # the rules name 2 and tanh's own result
    expected = 2 * (1 - y.numpy() ** 2)
    w.assign_(9.0)
    assert np.array_equal(mg.grad(y.sum(), w).numpy(), expected)


def test_law_10_a_change_before_the_forward_pass_or_after_the_backward_one_is_fine(w):
    w.assign_(2.0)
    (w * w).sum().backward()
    w.assign_(3.0)
    (w * w).sum().backward()
    assert np.array_equal(w.grad.numpy(), np.full((2, 2), 10.0))


def test_law_10_off_the_path_a_change_does_no_harm(w):
    x = mg.tensor([[1.0, 2.0]], requires_grad=True)
    y = mg.ops.exp(x).sum() + mg.ops.sin(w).sum()
    w.assign_(0.0)
    assert np.array_equal(mg.grad(y, x).numpy(), mg.ops.exp(x).numpy())


def test_law_10_writes_to_raw_data_are_not_seen(w):
    y = mg.ops.sin(w).sum()
    w.data[...] = 0.0
    y.backward()
    assert np.array_equal(w.grad.numpy(), np.ones((2, 2)))


def _product():
    """An op of one tuple of arrays, whose rule reads them: what the engine saves is then a tuple."""

    @mg.op
    def product(xp, xs):
        return xs[0] * xs[1]

    @product.gradient("xs", formula=r"\partial L/\partial \mathit{xs} = \partial L/\partial y \, \mathit{xs}")
    def _(F, dy, xs):
        return dy * xs[1], dy * xs[0]

    return product


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_law_10_a_change_is_caught_in_every_order_of_derivative(packed, create_graph, w):
    c, arriving = (mg.tensor(np.full((2, 2), 2.0, "float32"), requires_grad=tracked) for tracked in (False, True))
    y = _product()((w, c)) if packed else w * c
    if create_graph:
        y, w = mg.grad(y, w, arriving, create_graph=True), arriving  # arriving * c
    c.assign_(5.0)
    with pytest.raises(InPlaceChange):
        mg.grad(y.sum(), w)


def test_law_10_an_index_tensor_is_a_saved_value_too(w):
    index = mg.tensor(np.array([0, 0]))
    y = w[index].sum()
    index.assign_(np.array([1, 1]))
    with suppress(InPlaceChange):  # as good: the change is caught
        assert mg.grad(y, w).numpy().tolist() == [[2.0, 2.0], [0.0, 0.0]]  # the rows that were read


def test_law_10_assign_refuses_what_would_falsify_a_graph(w):
    with pytest.raises(GraphError, match=r"the result of an op.*detach\(\)"):
        (w * 2).assign_(0.0)
    with pytest.raises(ShapeError, match=r"shape \(2,\) for a tensor of shape \(2, 2\)"):
        w.assign_([1.0, 2.0])
    assert w.assign_(w * 2) is w
    assert w.numpy().tolist() == [[2.0, 4.0], [6.0, 8.0]]


# -- law 11: returned gradients are yours --------------------------------------------------------------------------


here = backends.current().from_host


def _hers(gradients, others):
    """Check that nobody else, Tensor or array, holds any of the gradients' memory, and that it may be written into."""
    held = [o.data if isinstance(o, mg.Tensor) else o for o in flat(others)]
    arrays = [g.data for g in gradients if g is not None]
    for a in arrays:
        a[...] = a  # fails where it may not
        assert not any(share_memory(a, o) for o in held if is_array(o))
        if a.size > 1:  # each element is its own
            assert 0 not in [s for s, n in zip(a.strides, a.shape, strict=True) if n > 1]
    assert not any(share_memory(a, b) for a, b in combinations(arrays, 2))


def _held(y):
    """Every array that the graph behind y holds."""
    return [list(n.saved.values()) for n in nodes_behind(y)]


@pytest.mark.parametrize("name", differentiable)
@given(rng=seeds, create_graph=st.booleans())
def test_law_11_every_ops_gradients_are_the_callers_own(name, rng, create_graph):
    arrays, attributes = sample(name, rng)
    leaves = as_tensors(arrays)
    outputs = outputs_of(OPS[name](*leaves, **attributes))
    xs = [t for t in flat(leaves) if t.requires_grad]
    arriving = [mg.tensor(rng.random(y.shape)) for y in outputs]
    before = [a.numpy().copy() for a in arriving]
    # each input twice, and the outputs too
    asked = [*xs, *outputs, *xs]
    grads = mg.grad(outputs, asked, arriving, create_graph=create_graph, retain_graph=True, allow_unused=True)
    _hers(grads, [xs, outputs, arriving, *(_held(y) for y in outputs)])
    for i, g in enumerate(grads[: len(xs)]):
        assert g is None or np.array_equal(g.numpy(), grads[len(xs) + len(outputs) + i].numpy())
    if not create_graph:  # writing into them disturbs no later pass
        expected = [None if g is None else g.numpy().copy() for g in grads]
        for g in grads:
            if g is not None:
                g.data[...] = np.nan
        again = mg.grad(outputs, asked, arriving, allow_unused=True)
        assert all(e is None or np.array_equal(g.numpy(), e) for g, e in zip(again, expected, strict=True))
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(arriving, before, strict=True))


REDUCED = {
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(),
    "var": lambda x: x.var(),
    "reshape": lambda x: x.reshape(-1).sum(),
}


@pytest.mark.parametrize("shape", [(), (1,), (1, 3), (2, 3), (3, 1)])
@pytest.mark.parametrize("name", [*REDUCED, "broadcast_to"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_law_11_gradients_of_small_and_flat_shapes_are_writable_and_can_be_added_to(name, shape, create_graph):
    op = REDUCED.get(name, lambda x: mg.ops.broadcast_to(x, shape=(2, *shape)).sum())
    x = mg.tensor(np.ones(shape, "float32"), requires_grad=True)
    once, twice = (mg.grad(y, x, create_graph=create_graph) for y in (op(x), op(x) + op(x)))
    _hers([once, twice], [x])
    assert np.array_equal(2 * once.numpy(), twice.numpy())


@given(programs, seeds, st.booleans())
def test_law_11_adding_in_place_never_reaches_another_gradient(program, rng, create_graph):
    leaves = as_tensors([integers(rng, 2, 3) for _ in range(2)])
    ys = run_program(program, *leaves)
    arriving = [mg.tensor(integers(rng, 2, 3)) for _ in ys]
    before = [a.numpy().copy() for a in arriving]
    nodes = [t for y in ys for t in [y]]
    asked = [*leaves, *nodes, *leaves]
    together = mg.grad(ys, asked, arriving, allow_unused=True, retain_graph=True, create_graph=create_graph)
    _hers(together, [leaves, arriving])
    for t, g in zip(asked, together, strict=True):  # each as it is when it alone is asked for
        alone = mg.grad(ys, t, arriving, allow_unused=True, retain_graph=True)
        assert (g is None) == (alone is None)
        assert g is None or np.array_equal(g.numpy(), alone.numpy())
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(arriving, before, strict=True))


@pytest.mark.parametrize("create_graph", [False, True])
def test_law_11_the_gradient_that_was_given_is_not_the_one_returned(create_graph):
    x = mg.tensor(np.ones(3), requires_grad=True)
    given_array = here(np.arange(3.0))
    for y in (x, x + 0.0, x.reshape(3), x.T, mg.ops.broadcast_to(x, shape=(3,)), x[:], mg.ops.sum_to(x, shape=(3,))):
        g = mg.grad(y, x, given_array, create_graph=create_graph)
        assert np.array_equal(g.numpy(), np.arange(3.0))
        _hers([g], [given_array, x])


def test_law_11_backward_leaves_gradients_of_their_own_at_every_leaf():
    a, b = (mg.tensor(np.ones(3), requires_grad=True) for _ in range(2))
    arriving = mg.tensor(np.arange(3.0))
    (a + b).backward(arriving, retain_graph=True)
    first = a.grad, b.grad
    _hers(first, [arriving, a, b])
    kept = [g.numpy().copy() for g in first]
    (a + b + a).backward(arriving)  # adds
    assert np.array_equal(a.grad.numpy(), 3 * np.arange(3.0))
    assert np.array_equal(b.grad.numpy(), 2 * np.arange(3.0))
    _hers([*first, a.grad, b.grad], [arriving])
    assert all(np.array_equal(g.numpy(), k) for g, k in zip(first, kept, strict=True))  # what was read earlier stays


def test_law_11_a_leafs_own_backward_gives_it_a_copy():
    x = mg.tensor(np.ones(3), requires_grad=True)
    arriving = here(np.arange(3.0))
    x.backward(arriving)
    _hers([x.grad], [arriving, x])


def test_law_11_a_pullbacks_results_are_the_callers_and_it_may_be_called_again():
    x, dy = here(np.ones((2, 3))), here(np.arange(6.0).reshape(2, 3))
    _, pullback = mg.vjp(lambda a, b: a + b, x, x)
    first, second = pullback(dy), pullback(dy)
    _hers([*first, *second], [x, dy])
    _, along = mg.jvp(lambda a: a + 0.0, x, dy)
    _hers([along, mg.hvp(lambda a: (a * a).sum() / 2, x, dy)], [x, dy])


RETURNS = {
    "what arrives": lambda F, dy, y, a: dy,
    "a saved output": lambda F, dy, y, a: y,
    "a saved input": lambda F, dy, y, a: a,
    "views of what arrives": lambda F, dy, y, a: dy[...] if is_array(dy) else F.getitem(dy, index=...),
    "one new array": lambda F, dy, y, a: dy * 1,
    "a read-only array": lambda F, dy, y, a: F.broadcast_to(dy * 1, shape=dy.shape),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("returned", RETURNS)
def test_law_11_a_joint_rule_may_return_one_array_for_all(returned, create_graph):
    @mg.op
    def three(xp, a, b, c):
        return a + b + c

    @three.gradient("a", "b", "c", formula=r"\partial L/\partial a = \partial L/\partial y")
    def _(F, dy, y, a):
        same = RETURNS[returned](F, dy, y, a)
        return same, same, F.reshape(same, shape=same.shape)

    leaves = as_tensors([np.full(3, float(i)) for i in range(3)])
    y = three(*leaves)
    dy = here(np.arange(3.0))
    grads = mg.grad(y, leaves, dy, create_graph=create_graph, retain_graph=True)
    _hers(grads, [dy, leaves, _held(y)])
    x = leaves[0]
    total = mg.grad([three(x, x, x), x * 10.0], x, [dy, dy], create_graph=create_graph)
    sent = np.arange(3.0)
    expected = {"a saved output": 3 * 3 * x.numpy(), "a saved input": 3 * x.numpy()}.get(returned, 3 * sent) + 10 * sent
    assert np.array_equal(total.numpy(), expected)
    assert np.array_equal(mg.tensor(dy).numpy(), sent)
    assert all(np.array_equal(t.numpy(), np.full(3, float(i))) for i, t in enumerate(leaves))


def test_law_11_writing_into_a_gradient_does_not_change_what_the_graph_saved():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = mg.ops.exp(x)
    saved = mg.tensor(node_of(y).saved["y"]).numpy()
    g = mg.grad(y, x, np.ones(2), retain_graph=True)
    g.data[...] = 0.0
    assert np.array_equal(mg.tensor(node_of(y).saved["y"]).numpy(), saved)
    assert inner([mg.grad(y, x, np.ones(2))], [np.ones(2)]) == pytest.approx(saved.sum(), rel=1e-6)  # float32: 6e-8
