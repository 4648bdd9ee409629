"""The engine's laws for one function: what its gradients must do, whatever it computes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import combinations
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, tensor
from minigan.autodiff.graph import Node, reachable
from minigan.backends import HostArray
from minigan.errors import FreedGraph, GraphError
from minigan.testing.calls import Run, is_floats
from minigan.testing.cases import Calls, combined, subsets
from minigan.testing.culprits import bends, blamed, disagrees, no_fast_rules
from minigan.testing.seal import same_bits


def check_laws(f: Any, *xs: Any, rng: int = 0) -> None:
    """Check the engine's laws for one function at one point.

    They are `check_rules_agree`, `check_linear_in_gradient`, `check_fewer_gradients`, `check_fan_out`,
    `check_no_graph_left` and `check_results_kept`. All is computed in float64, every call from the same state; what `f`
    is and has is afterwards as it was.

    Args:
        f: a function of Tensors, an op, or a layer, whose parameters are then variables too.
        xs: arrays or Tensors; those of floats are variables.
        rng: seed of the gradients that arrive.

    Raises:
        LawBroken: the message begins with the law, and names the rule that breaks it where one does.

    >>> mg.testing.check_laws(mg.ops.matmul, np.ones((2, 3)), np.ones((3, 4)))
    """
    for check in LAWS:
        check(f, *xs, rng=rng)


def check_rules_agree(f: Any, *xs: Any, rng: int = 0) -> None:
    """Gradients are the same from raw arrays, from Tensors with ``create_graph=True``, and from a backend's fast rules.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors.
        rng: seed of the gradients that arrive.

    Raises:
        LawBroken: two of them differ by more than rounding.

    >>> mg.testing.check_rules_agree(mg.ops.tanh, np.ones((2, 3)))
    """
    with Calls(check_rules_agree, "raw = traced = fast rule", f, xs, rng) as calls:
        run = calls()
        arriving = calls.arriving(run)
        with no_fast_rules():
            raw = run.pull(arriving)
        for way, traced in ("a fast rule of the backend", False), ("a rule on Tensors (create_graph=True)", True):
            headline = f"{way} and the rule on raw arrays give different gradients"
            calls.hold_gradients(headline, run.pull(arriving, traced), raw, lambda: blamed(run, arriving, disagrees))


def check_linear_in_gradient(f: Any, *xs: Any, rng: int = 0) -> None:
    """What leaves is linear in what arrives: pullback(a g + b h) = a pullback(g) + b pullback(h), and pullback(0) = 0.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors.
        rng: seed of the gradients that arrive.

    Raises:
        LawBroken: it is not.

    >>> mg.testing.check_linear_in_gradient(mg.ops.tanh, np.ones((2, 3)))
    """
    with Calls(check_linear_in_gradient, "linear in the gradient", f, xs, rng) as calls:
        run = calls()
        g, h = calls.arriving(run), calls.arriving(run)
        alone, other = run.pull(g), run.pull(h)
        for a, b in (0.0, 0.0), (-1.0, 0.0), (1.5, -2.0):  # by -1, so that neither |dy| nor max(dy, 0) passes
            found = run.pull([np.asarray(a * u + b * v) for u, v in zip(g, h, strict=True)])
            headline = f"pullback({a:g} g {b:+g} h) is not {a:g} pullback(g) {b:+g} pullback(h)"
            expected = combined(a, alone, b, other)
            calls.hold_gradients(headline, found, expected, lambda: blamed(run, g, bends))


def check_fewer_gradients(f: Any, *xs: Any, rng: int = 0) -> None:
    """Asking for the gradients of some variables changes none of them, and leaves nothing at the others.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors.
        rng: seed of the gradients that arrive, and of the choice where there are more than four variables.

    Raises:
        LawBroken: a gradient changes with what else is asked for, or comes unasked.

    >>> mg.testing.check_fewer_gradients(mg.ops.matmul, np.ones((2, 3)), np.ones((3, 4)))
    """
    with Calls(check_fewer_gradients, "fewer gradients change none", f, xs, rng) as calls:
        run = calls()
        arriving = calls.arriving(run)
        every = run.pull(arriving)
        for some in subsets(list(every), calls.rng):
            named = ", ".join(map(repr, some))
            part = {name: every[name] for name in some}
            headline = f"mg.grad by {named} alone gives another"
            calls.hold_gradients(headline, run.pull(arriving, wanted=some), part)
            fewer = calls(wanted=some)
            fewer.backward(arriving)
            headline = f"backward() gives another where only {named} require one"
            calls.hold_gradients(headline, fewer.left(), part)
            everything = dict(zip(calls.names, fewer.inputs, strict=True)) | calls.parameters
            unasked = [name for name in every if name not in some and everything[name].grad is not None]
            if unasked:
                calls.fail(f"{unasked[0]!r} has one though only {named} require one")


def check_fan_out(f: Any, *xs: Any, rng: int = 0) -> None:
    """What is used twice receives the sum: in two calls, as two inputs of one call, and as a result beside its use.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors.
        rng: seed of the gradients that arrive.

    Raises:
        LawBroken: the gradient of a tensor used twice is not the sum of its uses' gradients.

    >>> mg.testing.check_fan_out(mg.ops.mul, np.ones((2, 3)), np.ones((2, 3)))
    """
    with Calls(check_fan_out, "fan-out adds up", f, xs, rng) as calls:
        first = calls()
        second = calls(first.inputs)
        both = Run(first.variables, first.inputs, [*first.outputs, *second.outputs])
        g, h = calls.arriving(first), calls.arriving(second)
        expected = combined(1.0, first.pull(g), 1.0, second.pull(h))
        for traced in (False, True):
            headline = "two calls with the same tensors do not give the sum of their gradients"
            calls.hold_gradients(headline, both.pull([*g, *h], traced), expected)
        first.backward(g)
        second.backward(h)
        headline = "two backward() do not leave the sum of their gradients"
        calls.hold_gradients(headline, first.left(), expected)
        _check_returned(calls)
        _check_one_for_two(calls)


def _check_returned(calls: Calls) -> None:
    """Inputs that are results themselves, of an op or as leaves, receive both what the call sends and what arrives there."""
    leaves = calls.leaves()
    between = [t * 1.0 if is_floats(x) else t for t, x in zip(leaves, calls.xs, strict=True)]
    try:
        run = calls(between)
    except GraphError:  # f overwrites an input, which the result of an op cannot be
        return
    used = {n: t for n, t, x in zip(calls.names, between, calls.xs, strict=True) if is_floats(x)}
    asked = {f"{n} * 1": t for n, t in used.items()} | {
        n: t for n, t in zip(calls.names, leaves, strict=True) if n in used
    }
    g, k = calls.arriving(run), [calls.rng.uniform(-1, 1, t.shape) for t in used.values()]
    alone = Run(used, between, run.outputs).pull(g)
    sums = combined(1.0, alone, 1.0, dict(zip(used, k, strict=True)))
    expected = {f"{n} * 1": s for n, s in sums.items()} | sums
    headline = "an input that is returned beside the outputs does not receive both gradients"
    both = Run(asked, between, [*run.outputs, *used.values()])
    calls.hold_gradients(headline, both.pull([*g, *k]), expected)


def _check_one_for_two(calls: Calls) -> None:
    """f(x, x) for every two inputs of one shape."""
    variables = [i for i, x in enumerate(calls.xs) if is_floats(x)]
    for i, j in combinations(variables, 2):
        if calls.xs[i].shape != calls.xs[j].shape:
            continue
        xs = [calls.xs[i] if n == j else x for n, x in enumerate(calls.xs)]
        apart, one = calls.leaves(xs=xs), calls.leaves(xs=xs)
        one[j] = one[i]
        with suppress(GraphError, ValueError, ArithmeticError), np.errstate(all="ignore"):  # outside f's domain
            run, same = calls(apart), calls(one)
            if not all(np.all(np.isfinite(y.numpy())) for y in same.floats):
                continue
            g = calls.arriving(run)
            found, parts = same.pull(g), run.pull(g)
            a, b = calls.names[i], calls.names[j]
            expected = parts | combined(1.0, {a: parts[a]}, 1.0, {a: parts.pop(b)})
            headline = f"one tensor for both {a!r} and {b!r} does not receive the sum of both gradients"
            calls.hold_gradients(headline, found, {n: expected[n] for n in found})


def check_no_graph_left(f: Any, *xs: Any, rng: int = 0) -> None:
    """Memory goes back by reference counting alone, and a second backward pass says that the graph is gone.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors.
        rng: seed of the gradients that arrive.

    Raises:
        LawBroken: something of the graph is alive when the last result is dropped; or a second pass is not refused.

    >>> mg.testing.check_no_graph_left(mg.ops.tanh, np.ones((2, 3)))
    """
    with Calls(check_no_graph_left, "no graph left", f, xs, rng) as calls, _no_collector() as made:
        constants = calls().saved()  # what one call saves and the next one too is no part of a graph
        for use in ("dropped", "backward()", "mg.grad", "mg.grad(create_graph=True)"):
            (newest,) = reachable([(tensor(0.0, requires_grad=True) * 1)._edge])
            watched = _used(calls, use, constants)
            nodes = [n for n in made() if type(n) is Node and n.number > newest.number]
            arrays = [f"{what} of shape {a.shape}" for what, ref in watched if (a := ref()) is not None]
            alive = [*{f"the node of {n.plan.op.name}" for n in nodes}, *arrays]
            if alive:
                headline = f"after {use if use != 'dropped' else 'the outputs were dropped'}, {alive[0]} is alive"
                why = "reference counting does not free it: something in f holds it, or it is part of a cycle"
                calls.fail(headline, alive=", ".join(alive), why=why)


def _used(calls: Calls, use: str, constants: dict[int, Any]) -> list[tuple[str, Any]]:
    """Call, use the result in one way, drop it; weak references to every array that should then be gone."""
    run = calls()
    arriving = calls.arriving(run)
    kept = [t.data for t in calls.state]
    watched = [
        (what, weakref.ref(a))
        for i, (what, a) in run.saved().items()
        if i not in constants and not any(a is k for k in kept)
    ]
    parts = [(y * tensor(g)).sum() for y, g in zip(run.floats, arriving, strict=True) if y.requires_grad]
    if use == "backward()" and parts:
        total = sum(parts[1:], start=parts[0])
        total.backward()
        left = [n.plan.op.name for n in reachable([total._edge]) if n.saved is not None]
        if left:
            calls.fail(f"backward() keeps what {left[0]} saved")
        try:
            total.backward()
        except FreedGraph:
            return watched
        calls.fail("a second backward() without retain_graph is not refused")
    if use not in ("dropped", "backward()"):
        run.gradients(arriving, create_graph="create" in use, retain_graph=None)
    return watched


def check_results_kept(f: Any, *xs: Any, rng: int = 0) -> None:
    """Outputs and gradients belong to whom they were given: nothing overwrites them, and writing into them changes nothing else.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors.
        rng: seed of the gradients that arrive.

    Raises:
        LawBroken: a result changes with a later call or pass, shares memory with another array, or cannot be written into.

    >>> mg.testing.check_results_kept(mg.ops.tanh, np.ones((2, 3)))
    """
    with Calls(check_results_kept, "results are kept", f, xs, rng) as calls:
        run = calls()
        arriving = [tensor(g) for g in calls.arriving(run)]
        shown = {f"input {n!r}": t for n, t in zip(calls.names, run.inputs, strict=True) if isinstance(t, Tensor)}
        shown |= {f"parameter {n!r}": p for n, p in calls.parameters.items()}
        roots = [t._version for t in (*shown.values(), *calls.state)]
        views = [any(y._version is v for v in roots) for y in run.outputs]
        first = _given(run, arriving)
        held = shown | {f"the gradient that arrives at output {i}": g for i, g in enumerate(arriving)}
        held |= {f"output {i}": y for i, y in enumerate(run.outputs)} | first
        before = {what: t.numpy().copy() for what, t in held.items()}
        for what, g in first.items():
            _write(what, g, held, before, calls)
        for g in first.values():
            g.assign_(np.nan)
        for what, g in _given(run, arriving).items():
            if not same_bits(g.numpy(), before[what]):
                calls.fail(f"{what} is another in a second pass, after the first was written into")

        for what, g in first.items():
            g.assign_(before[what])
        with suppress(ValueError, ArithmeticError), np.errstate(all="ignore"):  # the point may be outside f's domain
            later = calls(calls.leaves(xs=[np.asarray(np.flip(x) * 0.75) if is_floats(x) else x for x in calls.xs]))
            later.pull(calls.arriving(later))
        for what, t in held.items():
            if not same_bits(t.numpy(), before[what]):
                calls.fail(f"a later call overwrites {what}")

        following = {f"output {i} of the next call": y for i, y in enumerate(calls().outputs)}
        held, before = held | following, before | {what: y.numpy().copy() for what, y in following.items()}
        for i, (y, view) in enumerate(zip(run.outputs, views, strict=True)):
            if y.dtype.kind == "f" and not view:
                _write(f"output {i}", y.detach(), held, before, calls, must=False)


LAWS: tuple[Callable[..., None], ...] = (
    check_rules_agree,
    check_linear_in_gradient,
    check_fewer_gradients,
    check_fan_out,
    check_no_graph_left,
    check_results_kept,
)


# -- memory --------------------------------------------------------------------------------------------------------------


@contextmanager
def _no_collector() -> Iterator[Callable[[], list[Any]]]:
    """The garbage collector off, so that only reference counting gives memory back; a list of all that was made since.

    It stands in the youngest generation, with little else, unless the subject has collected by itself.
    """
    was = gc.isenabled()
    gc.disable()
    before = _collections()
    try:
        yield lambda: gc.get_objects(generation=0 if _collections() == before else None)
    finally:
        if was:
            gc.enable()


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


def _given(run: Run, arriving: Sequence[Tensor]) -> dict[str, Tensor]:
    """The gradients that there are, by what messages call them."""
    return {f"the gradient by {n!r}": g for n, g in run.gradients(arriving).items() if g is not None}


def _write(
    what: str, t: Tensor, held: Mapping[str, Tensor], before: Mapping[str, HostArray], calls: Calls, must: bool = True
) -> None:
    """Write into a result, and see that nothing else that is held changes; `must`: it has to be possible."""
    marks = np.arange(1.0, t.size + 1).reshape(t.shape).astype(str(t.dtype))
    try:
        t.assign_(marks)
    except ValueError as error:
        if not must:
            return
        calls.fail(f"{what} cannot be written into: {error}", error)
    if must and not same_bits(t.numpy(), marks):
        calls.fail(f"elements of {what} share their memory")
    for other, o in held.items():
        if other != what and not same_bits(o.numpy(), before[other]):
            calls.fail(f"writing into {what} changes {other}")
    t.assign_(before[what])
