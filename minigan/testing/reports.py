"""What the checks of gradients say about a case that fails: geometry, seed and repro, and whose rule it is."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigan.autodiff import Op, Tensor, grad
from minigan.autodiff.graph import Node, reachable
from minigan.backends import HostArray
from minigan.errors import MissingGradient
from minigan.nn.module import Module
from minigan.testing.cases import Case, placed
from minigan.testing.failures import BadSubject, CheckFailed
from minigan.testing.subjects import Evaluation, Primal


class Report(Case):
    """A case of derivatives."""

    def __init__(
        self,
        kind: type[CheckFailed],
        f: Any,
        xs: Sequence[Any],
        rng: int | np.random.Generator,
        options: dict[str, Any],
    ) -> None:
        seed = int(rng.integers(2**31)) if isinstance(rng, np.random.Generator) else rng
        super().__init__(kind, f, list(xs), seed, options)
        self.rng, self.primal = np.random.default_rng(seed), Primal(f, xs, seed, self.start)

    def shown(self, facts: dict[str, Any]) -> dict[str, Any]:
        f, said = self.f, {"inputs": self.primal.geometry}
        if isinstance(f, Module):
            said["layer"] = " ".join(repr(f).split())
        elif isinstance(f, functools.partial):
            said["attributes"] = ", ".join([*map(repr, f.args), *(f"{k}={v!r}" for k, v in f.keywords.items())])
        return {**facts, **said, "seed": f"rng={self.seed}"}

    def error(self, kind: type[CheckFailed], headline: str, **facts: Any) -> CheckFailed:
        named = {"check": self.kind.check} if issubclass(kind, BadSubject) else {}
        return super().error(kind, headline, **named, **facts)

    def finite(self, evaluation: Evaluation) -> list[HostArray]:
        """The outputs' values."""
        values = [y.numpy().copy() for y in evaluation.outputs]
        for name, y in zip(self.primal.outputs, values, strict=True):
            if not np.isfinite(y).all():
                raise BadSubject(f"the output {name} is not finite")
        return values


def gradients_of(e: Evaluation, arriving: Sequence[HostArray], leaves: list[Tensor]) -> list[HostArray | None]:
    """The analytic gradients of <outputs, arriving> by some leaves, None where none arrives."""
    grads = grad(e.outputs, leaves, arriving, retain_graph=True, allow_unused=True)
    return [None if g is None else g.numpy() for g in grads]


def ratio(a: float, b: float) -> str:
    return f"{a / b:.7g}" if b else "-"


def named(name: str, place: int, shape: tuple[int, ...]) -> str:
    """An element by its variable's name and its index, from its place in C order."""
    return placed(name, tuple(int(k) for k in np.unravel_index(place, shape)))


def why(e: Evaluation, variable: int, weights: Sequence[HostArray]) -> dict[str, str]:
    """Why no gradient arrives at a variable."""
    try:
        grad(e.outputs, e.leaves[variable], weights, retain_graph=True)
    except MissingGradient as error:
        return {"because": str(error).removesuffix("; allow_unused=True gives None instead")}
    return {}


def rule_facts(subject: Primal, e: Evaluation, variable: int) -> dict[str, str]:
    """The rule, where the function is one call of an op; the ops that the derivative comes through, where there are others."""
    calls = reachable([t._edge for t in e.roots[: len(subject.outputs)]])
    nodes = reachable([t._edge for t in e.outputs])
    said: dict[str, str] = {}
    if len(calls) == 1:
        routes = calls[0].routes
        tracked = [k for k, route in enumerate(routes) if type(route) is tuple]
        served = [k for k in tracked if routes[k][0] is e.leaves[variable]]
        rules = [_rule(calls[0], k) for k in (served if variable < len(subject.names) else tracked)]
        said |= {"rule": ", ".join(dict.fromkeys(rules))} if rules else {}
    if len(nodes) > 1:
        said["ops"] = ", ".join(dict.fromkeys(n.plan.op.name for n in reversed(nodes)))
    return said


def _rule(node: Node, position: int) -> str:
    op: Op[Any] = node.plan.op
    rule, _ = next((r, p) for r, p in node.plan.rules if node.plan.packed or position in p)
    code = rule.function.__code__
    names = ", ".join(f'"{x}"' for x in rule.inputs)
    return f"{op.name}.gradient({names}) at {code.co_filename}:{code.co_firstlineno}"
