"""Each law notices what breaks it: planted bugs of functions, of layers, and of the engine."""

import gc
from functools import wraps

import numpy as np
import pytest
from planted import Watching, bent

import minigan as mg
from minigan import backends, nn
from minigan.autodiff import functional, graph
from minigan.testing.failures import LawBroken
from minigan.testing.laws import (
    check_fan_out,
    check_fewer_gradients,
    check_laws,
    check_linear_in_gradient,
    check_no_graph_left,
    check_results_kept,
    check_rules_agree,
)

X, Y = (np.random.default_rng(i).uniform(0.5, 2.0, (2, 3)) for i in range(2))

# -- what is broken: each law by planted bugs --------------------------------------------------------------------------


def op(kernel=lambda xp, x: 2 * x, rule=lambda F, dy: 2 * dy, inputs=("x",)):
    made = mg.op(kernel)
    made.gradient(*inputs, formula="y")(rule)
    return made


def cached(function):
    """The function's first result, at every call."""
    held = {}
    return wraps(function)(lambda *args: held.setdefault("first", function(*args)))


def overwriting(function):
    """The function's results, all in the memory of the first."""
    held = []

    @wraps(function)
    def again(*args):
        y = function(*args)
        if not held or held[0].shape != y.shape:
            held[:] = [y]
        held[0][...] = y
        return held[0]

    return again


class Constant(nn.Module):
    """Gives out what it keeps."""

    def __init__(self):
        self.encoding = mg.tensor(np.arange(6.0).reshape(2, 3))

    def forward(self, x):
        return x * 2, self.encoding


class Meddling(Watching):
    """Leaves a gradient at its weight when it is frozen."""

    def forward(self, x):
        if not self.weight.requires_grad:
            self.weight.grad = mg.tensor(self.weight.detach())
        return x * self.weight


def keeping(hold):
    """A function that keeps something of each call."""
    kept = []

    def f(x):
        y = mg.ops.tanh(x)
        hold(kept, y)
        return y

    return f


def cycle(kept, y):
    box = [y]
    box.append(box)


def kernel_that_keeps():
    kept = []

    def kernel(xp, x):
        kept.append(xp.exp(x))
        return kept[-1]

    return op(kernel, lambda F, dy, y: dy * y)


def rule_that_keeps():
    kept = []

    def rule(F, dy):
        kept.append(dy)
        return 2 * dy

    return op(rule=rule)


BROKEN = {
    # raw = traced = fast
    "a rule looks at types": (
        check_rules_agree,
        lambda: op(rule=lambda F, dy: dy * (2 if isinstance(dy, mg.Tensor) else 3)),
        "raw = traced = fast rule: a rule on Tensors",
    ),
    "a rule takes arrays only": (
        check_rules_agree,
        lambda: op(rule=lambda F, dy: None if isinstance(dy, mg.Tensor) else 2 * dy),
        "raw = traced = fast rule: <lambda>.gradient('x')",
    ),
    # linear in what arrives
    "abs of dy": (check_linear_in_gradient, lambda: op(rule=lambda F, dy: F.abs(dy)), "linear in the gradient"),
    "max(dy, 0)": (check_linear_in_gradient, lambda: op(rule=lambda F, dy: F.relu(dy)), "linear in the gradient"),
    "dy is clipped": (
        check_linear_in_gradient,
        lambda: op(rule=lambda F, dy: F.clip(dy, min=-1.0, max=1.0)),
        "linear in the gradient: pullback(1.5 g -2 h) is not 1.5 pullback(g) -2 pullback(h)",
    ),
    "a constant is added": (
        check_linear_in_gradient,
        lambda: op(rule=lambda F, dy: dy + 1e-6),
        "linear in the gradient: pullback(0 g",
    ),
    "dy squared": (check_linear_in_gradient, lambda: op(rule=lambda F, dy: dy * dy), "linear in the gradient"),
    # fewer gradients
    "frozen is another function": (check_fewer_gradients, Watching, "fewer gradients change none: backward()"),
    "a gradient comes unasked": (check_fewer_gradients, Meddling, "fewer gradients change none: 'weight' has one"),
    # fan-out
    "the rule returns its first result": (
        check_fan_out,
        lambda: op(rule=cached(lambda F, dy: 2 * dy)),
        "fan-out adds up: two calls",
    ),
    # no graph left
    "outputs are kept": (
        check_no_graph_left,
        lambda: keeping(lambda kept, y: kept.append(y)),
        "no graph left: after the outputs were dropped, the node of tanh",
    ),
    "the last output is kept": (
        check_no_graph_left,
        lambda: keeping(lambda kept, y: kept.__setitem__(slice(None), [y])),
        "no graph left",
    ),
    "a constant of it is kept": (
        check_no_graph_left,
        lambda: keeping(lambda kept, y: kept.append(y.detach())),
        "no graph left: after the outputs were dropped, 'y' that tanh saved",
    ),
    "a cycle": (check_no_graph_left, lambda: keeping(cycle), "no graph left"),
    "a kernel keeps its results": (check_no_graph_left, kernel_that_keeps, "no graph left"),
    "a rule keeps what arrives": (
        check_no_graph_left,
        lambda: (lambda f: lambda x: f(mg.ops.exp(f(x))))(rule_that_keeps()),
        "no graph left: after mg.grad(create_graph=True)",
    ),
    # results are kept
    "a kernel writes over its last result": (
        check_results_kept,
        lambda: op(overwriting(lambda xp, x: 2 * x)),
        "results are kept: a later call overwrites output 0",
    ),
    "a rule gives out a constant": (
        check_results_kept,
        lambda: op(lambda xp, x: x.sum(), cached(lambda F, dy, x_shape: F.broadcast_to(dy, shape=x_shape) * 1)),
        "results are kept: the gradient by 'x'",
    ),
    "a rule writes over its last result": (
        check_results_kept,
        lambda: op(rule=overwriting(lambda F, dy: 2 * dy)),
        "results are kept: a later call overwrites the gradient by 'x'",
    ),
    "a constant is given out": (check_results_kept, Constant, "results are kept: writing into output 1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_law_notices_what_breaks_it(name):
    check, make, start = BROKEN[name]
    with pytest.raises(LawBroken) as caught:
        check(make(), X)
    assert caught.value.headline.startswith(start)
    assert str(caught.value).startswith(f"check_laws: {start}")
    assert f"{check.__name__}(" in caught.value.repro
    with pytest.raises(LawBroken):
        check_laws(make(), X)


def test_a_tensor_for_two_inputs_is_tried():
    with pytest.raises(LawBroken, match="fan-out adds up: one tensor for both 'x' and 'y'"):
        check_fan_out(lambda x, y: x * (y.detach() if x is y else y), X, Y)


def test_one_number_is_enough_to_see_that_a_rule_is_not_linear():
    for rng in range(20):
        with pytest.raises(LawBroken):
            check_linear_in_gradient(bent, np.ones(()), rng=rng)


def test_a_cycle_is_not_left_to_the_collector():
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)  # it runs all the time
    try:
        with pytest.raises(LawBroken):
            check_no_graph_left(keeping(cycle), X)
    finally:
        gc.set_threshold(*before)


def test_a_node_is_found_wherever_the_collector_keeps_it():
    kept = []

    def f(x):
        y = x + x  # whose node saves no array
        kept.append(y._edge)
        gc.collect()
        return y

    with pytest.raises(LawBroken, match="the node of add is alive"):
        check_no_graph_left(f, X)


def test_a_wrong_fast_rule_is_noticed_and_named(monkeypatch):
    monkeypatch.setitem(backends.current().fast_rules, ("tanh", ("x",)), lambda xp, dy, y: dy * (1 - y))
    f = lambda x: mg.ops.exp(mg.ops.tanh(mg.ops.sin(x)))
    with pytest.raises(LawBroken) as caught:
        check_rules_agree(f, X)
    assert caught.value.headline.startswith("raw = traced = fast rule: a fast rule of the backend")
    assert caught.value.facts["rule"] == 'tanh.gradient("x")'
    assert __file__ in caught.value.facts["called_at"]
    assert ("tanh", ("x",)) in backends.current().fast_rules


@pytest.mark.parametrize("name", [n for n, (check, *_) in BROKEN.items() if check is check_linear_in_gradient])
def test_the_rule_that_is_not_linear_is_named_among_others(name):
    wrong = BROKEN[name][1]()
    with pytest.raises(LawBroken) as caught:
        check_linear_in_gradient(lambda x: mg.ops.sin(wrong(mg.ops.exp(x))), X)
    assert caught.value.facts["rule"] == f'{wrong.name}.gradient("x")'


# -- what is broken: the engine ----------------------------------------------------------------------------------------


def _overwrites(engine, arrived, edge, gradient, fresh):
    arrived[edge] = [gradient, fresh]


def _freed_at_its_end(old):
    def walk(roots, *rest):
        kept = [(n, n.saved) for n in graph.reachable(roots)[1:]]
        found = old(roots, *rest)
        for n, saved in kept:
            n.saved = saved
        return found

    return walk


ENGINE = {
    "only the newest node is freed": (functional, "walk", _freed_at_its_end, check_no_graph_left),
    "broadcast gradients count as new": (
        graph,
        "_is_fresh",
        lambda old: lambda *args: True,
        check_results_kept,
        lambda x, y: (x + y).sum(),
    ),
    "the second contribution is lost": (graph, "_send", lambda old: _overwrites, check_fan_out),
    "a sum takes its first term": (graph.Raw, "add", lambda old: lambda self, a, fresh, b: a, check_fan_out),
    "a traced sum takes its last term": (graph.Traced, "add", lambda old: lambda self, a, fresh, b: b, check_fan_out),
    "the way ends at what is asked for": (
        graph,
        "_on_the_way",
        lambda old: lambda order, goals: old(order, goals) - {g[0] for g in goals if type(g) is tuple},
        check_fan_out,
    ),
    "pruned when one is asked for": (
        graph,
        "_wanted",
        lambda old: (
            lambda edge, goals, needed: (
                old(edge, goals, needed) and (goals is None or len(goals) > 1 or type(edge) is tuple)
            )
        ),
        check_fewer_gradients,
    ),
    "nothing is freed": (
        functional,
        "walk",
        lambda old: lambda roots, gradients, targets, traced, retain: old(roots, gradients, targets, traced, True),
        check_no_graph_left,
    ),
    "what arrives is given out": (
        graph,
        "_yours",
        lambda old: lambda engine, entry: entry[0],
        check_results_kept,
        lambda x, y: x + y,
    ),
    "everything counts as new": (graph, "_is_fresh", lambda old: lambda *args: True, check_results_kept),
    "Tensors get other gradients": (
        graph.Traced,
        "sum_to",
        lambda old: lambda self, gradient, shape: 2 * old(self, gradient, shape),
        check_rules_agree,
    ),
    "gradients are capped": (
        graph,
        "_fitted",
        lambda old: lambda engine, node, i, g: old(engine, node, i, g * (abs(g) < 1)),
        check_linear_in_gradient,
    ),
}


@pytest.mark.parametrize("name", ENGINE)
def test_a_law_notices_a_broken_engine(name, monkeypatch):
    where, attribute, make, check, *special = ENGINE[name]
    f = special[0] if special else lambda x, y: mg.ops.exp(x + y[0]) + x
    check(f, X, Y)
    monkeypatch.setattr(where, attribute, make(getattr(where, attribute)))
    with pytest.raises(LawBroken):
        check(f, X, Y)


def test_backward_that_does_not_add_is_noticed(monkeypatch):
    def replaces(output, gradient, retain):
        seed = functional._arriving(output, gradient, "backward", traced=False)
        for leaf, arrived in graph.walk([output._edge or output], [seed], None, False, retain):
            leaf.grad = mg.tensor(arrived, copy=False)

    monkeypatch.setattr(functional, "backward", replaces)
    with pytest.raises(LawBroken, match=r"fan-out adds up: two backward\(\)"):
        check_fan_out(mg.ops.exp, X)
