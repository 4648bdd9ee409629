"""Which rule is to blame when a law does not hold: each rule of a graph, alone, with the gradient that arrives there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigan.autodiff import grad
from minigan.autodiff.graph import Node, Raw, Traced, reachable
from minigan.autodiff.protocol import Rule
from minigan.autodiff.tensor import wrap
from minigan.autodiff.trace import place
from minigan.backends import HostArray, by_type
from minigan.testing.calls import Run, on_host

ROOM = 1e-9  # relative to the largest element: one rule in float64 rounds far less, and a wrong one is off by far more

Test = Callable[[Node, Rule, Mapping[str, Any]], bool]


def blamed(run: Run, arriving: Sequence[Any], fails: Test) -> dict[str, str]:
    """The newest rule behind a run's outputs that a test fails, and the call that it belongs to; empty if there is none."""
    nodes = reachable([y._edge for y in run.floats])
    edges = {y._edge for y in run.floats} | {r[0] for n in nodes for r in n.routes if type(r) is tuple}
    asked = [wrap(y.data, edge, [0, None], None) for edge in edges if type(edge) is tuple for y in run.floats[:1]]
    found = grad(run.floats, asked, arriving, retain_graph=True, allow_unused=True)
    arrived = {t._edge: g for t, g in zip(asked, found, strict=True)}
    for node in nodes:
        incoming = {name: arrived.get((node, i)) for name, i in node.plan.arrivals}
        for rule, _ in node.plan.rules:
            if any(g is not None for g in incoming.values()) and fails(node, rule, incoming):
                name = ", ".join(f'"{x}"' for x in rule.inputs)
                return {"rule": f"{node.plan.op.name}.gradient({name})", "called_at": place(node.where)}
    return {}


def disagrees(node: Node, rule: Rule, incoming: Mapping[str, Any]) -> bool:
    """Whether a rule gives another gradient on Tensors, or from the backend's fast version, than on raw arrays."""
    with no_fast_rules():
        plain = _results(node, rule, incoming)
    return _differ(plain, _results(node, rule, incoming)) or _differ(plain, _results(node, rule, incoming, traced=True))


def bends(node: Node, rule: Rule, incoming: Mapping[str, Any]) -> bool:
    """Whether a rule is not linear in what arrives: -2 times as much does not give -2 times as much, or 0 not 0."""
    plain = _results(node, rule, incoming)
    for factor in (-2.0, 0.0):
        scaled = _results(node, rule, {name: None if g is None else factor * g for name, g in incoming.items()})
        if _differ([factor * a for a in plain], scaled):
            return True
    return False


@contextmanager
def no_fast_rules() -> Iterator[None]:
    """Inside the block backends have no fast rules."""
    tables = [(xp.fast_rules, dict(xp.fast_rules)) for xp in by_type.values()]
    for table, _ in tables:
        table.clear()
    try:
        yield
    finally:
        for table, rules in tables:
            table.update(rules)


def _results(node: Node, rule: Rule, incoming: Mapping[str, Any], traced: bool = False) -> list[HostArray]:
    """What a rule returns, on the host."""
    engine = Traced() if traced else Raw()
    given = {name: g if traced or g is None else g.data for name, g in incoming.items()}
    result = engine.call(node, rule, rule.pick(engine.values(node) | given))
    results = result if isinstance(result, (tuple, list)) else (result,)
    return [np.array(on_host(g)) for g in results if g is not None]


def _differ(expected: Sequence[HostArray], found: Sequence[HostArray]) -> bool:
    if [a.shape for a in expected] != [a.shape for a in found]:
        return True
    scale = max((float(np.max(np.abs(a), initial=0.0)) for a in expected), default=0.0)
    return any(bool(np.any(np.abs(a - b) > ROOM * scale)) for a, b in zip(expected, found, strict=True))
