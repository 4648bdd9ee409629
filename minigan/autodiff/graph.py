"""The graph and the one walk through it: backwards, iterative, and only along the paths that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from minigan.autodiff.registry import TRACED_OPS, raw_ops
from minigan.autodiff.tensor import Tensor, wrap
from minigan.autodiff.trace import Version, Where, mode, place
from minigan.backends import Backend, by_type, storage
from minigan.errors import FreedGraph, GraphError, InPlaceChange, RuleError

if TYPE_CHECKING:
    from minigan.autodiff.protocol import Plan, Rule

Watch: TypeAlias = "Callable[[Node, dict[str, Any], list[tuple[int, Any]]], None]"
_number = count()
_creation = attrgetter("number")


class Node:
    """One call of an op that something needing a gradient went into.

    A node points at its parents only, never at its outputs, so that no cycle arises and memory goes back
    as soon as the last Tensor is dropped. An edge is ``(node, output index)``, or a leaf Tensor.

    Attributes:
        plan: the op, and the rules to call.
        xp: the backend that it ran on.
        routes: one an input: ``(edge, shape, dtype)`` where a gradient is to go; else None, or the `Cause` of a cut.
        saved: what the rules named, by name; None once the backward pass has freed it.
        kept: name, version and its count for each saved Tensor.
        where: the user's line that made the call.
        module: a weak reference to the innermost module that made it, or None.
        number: creation order, which is a topological order.
    """

    __slots__ = ("plan", "xp", "routes", "saved", "kept", "where", "module", "number")

    def __init__(
        self,
        plan: Plan,
        xp: Backend,
        routes: list[Any],
        saved: dict[str, Any],
        kept: list[tuple[str, Version, int]],
        where: Where,
    ) -> None:
        self.plan, self.xp, self.routes, self.kept, self.where = plan, xp, routes, kept, where
        self.saved: dict[str, Any] | None = saved
        self.module = mode.module
        self.number = next(_number)

    def values(self) -> dict[str, Any]:
        """What the forward call saved, after making sure that it is still there and unchanged."""
        if self.saved is None:
            raise FreedGraph(
                f"a second backward pass came to {self.plan.op.name}, called at {place(self.where)}, whose saved arrays "
                "the first pass freed; pass retain_graph=True to the first, or run the forward computation again"
            )
        for name, version, seen in self.kept:
            if version[0] != seen:
                what, where = version[1]
                raise InPlaceChange(
                    f"{name!r} of {self.plan.op.name}, called at {place(self.where)}, was saved for the backward pass and "
                    f"then changed in place by {what} at {place(where)}; run backward() before the change, or the "
                    "forward computation again after it"
                )
        return self.saved


class Raw:
    """How a walk computes when nothing is traced: on raw arrays, adding in place into what is its own."""

    values = staticmethod(Node.values)
    types: Container[type] = by_type  # of gradients that need no settling

    def __init__(self) -> None:
        self._ways: dict[Rule, tuple[Backend, Any, Any]] = {}  # a backend's ops and fast rule, looked up once a walk

    def call(self, node: Node, rule: Rule, arguments: tuple[Any, ...]) -> Any:
        way = self._ways.get(rule)
        if way is None or way[0] is not node.xp:
            fast = node.xp.fast_rules.get(rule.key) if rule.key else None
            way = self._ways[rule] = node.xp, raw_ops(node.xp), fast
        _, ops, fast = way
        result = None if fast is None else fast(node.xp, *arguments)
        return rule.function(ops, *arguments) if result is None else result

    def settled(self, gradient: Any, node: Node) -> Any:
        return node.xp.asarray(gradient)

    def sum_to(self, gradient: Any, shape: tuple[int, ...]) -> Any:
        return raw_ops(by_type[type(gradient)]).sum_to(gradient, shape=shape)

    def copy(self, gradient: Any) -> Any:
        return by_type[type(gradient)].array(gradient)

    def add(self, a: Any, fresh: bool, b: Any) -> Any:
        if fresh:
            a += b
            return a
        return total(a, b)


class Traced:
    """How a walk computes when its result is to be differentiated again: on Tensors, recording every step."""

    types: Container[type] = ()

    def values(self, node: Node) -> dict[str, Any]:
        """The saved arrays as Tensors again: inputs hang where they hung, outputs on this node."""
        values, plan = dict(node.values()), node.plan
        versions = {name: version for name, version, _ in node.kept}
        for name, i in plan.inputs:
            if plan.packed:
                counters = [version for _, version, _ in node.kept]
                values[name] = tuple(map(self._input, values[name], node.routes, counters))
            elif name in versions:  # else a number, or an array that was given as it is
                values[name] = self._input(values[name], node.routes[i], versions[name])
        for name, i in plan.outputs:
            if values[name].dtype.kind == "f":  # others are constants, and stay arrays
                values[name] = wrap(values[name], (node, i), versions[name], None)
        return values

    def _input(self, value: Any, route: Any, version: Version) -> Tensor:
        if type(route) is not tuple:
            return wrap(value, None, version, route)
        return route[0] if isinstance(route[0], Tensor) else wrap(value, route[0], version, None)

    def call(self, node: Node, rule: Rule, arguments: tuple[Any, ...]) -> Any:
        before, mode.module = mode.module, node.module
        try:
            return rule.function(TRACED_OPS, *arguments)
        finally:
            mode.module = before

    def settled(self, gradient: Any, node: Node) -> Any:
        return gradient if isinstance(gradient, Tensor) else wrap(node.xp.asarray(gradient), None, [0, None], None)

    def sum_to(self, gradient: Any, shape: tuple[int, ...]) -> Any:
        return TRACED_OPS.sum_to(gradient, shape=shape)

    def copy(self, gradient: Any) -> Any:
        return TRACED_OPS.copy(gradient)

    def add(self, a: Any, fresh: bool, b: Any) -> Any:
        return a + b


def total(a: Any, b: Any) -> Any:
    """a + b in new memory; an array even where both are 0-d."""
    return by_type[type(a)].asarray(a + b)


def reachable(roots: Sequence[Any]) -> list[Node]:
    """Every node behind the edges `roots`, newest first."""
    found: dict[Node, None] = {}  # keeps the order: a chain is then sorted already
    stack = [edge[0] for edge in roots if type(edge) is tuple]
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            for route in node.routes:
                if type(route) is tuple and type(route[0]) is tuple:
                    stack.append(route[0][0])
    return sorted(found, key=_creation, reverse=True)


def walk(
    roots: Sequence[Any],
    gradients: Sequence[Any],
    targets: Sequence[Tensor] | None,
    traced: bool,
    retain: bool,
    watch: Watch | None = None,
) -> list[tuple[Tensor, Any]]:
    """Carry gradients from the edges `roots` back along the graph.

    Args:
        roots: where the gradients arrive.
        gradients: one a root: arrays, or Tensors when `traced`.
        targets: the tensors whose gradients are wanted; None for every leaf that requires one.
        traced: compute with Tensors, so that the results can be differentiated again.
        retain: keep what the nodes saved.
        watch: told of every rule that was called: the node, what arrived there, and ``(i, gradient)`` for each input i that
            the rule sent a gradient to. It must read them at once: the walk goes on to write into them.

    Returns:
        (tensor, gradient) for each target, or leaf, that something arrived at. The gradients alias nothing.
    """
    engine: Raw | Traced = Traced() if traced else Raw()
    order = reachable(roots)
    goals: Any = None if targets is None else {t._edge or t for t in targets}
    needed: Any = None if goals is None else _on_the_way(order, goals)

    arrived: dict[Any, list[Any]] = {}  # edge -> [gradient, whether the walk made it and nobody else holds it]
    for edge, gradient in zip(roots, gradients, strict=True):
        if _wanted(edge, goals, needed):
            _send(engine, arrived, edge, gradient, False)
    found: dict[Any, list[Any]] = {}
    for node in order:
        plan = node.plan
        incoming: dict[str, Any] = {}
        for name, i in plan.arrivals:
            entry = arrived.pop((node, i), None)
            incoming[name] = entry and entry[0]
            if entry and goals is not None and (node, i) in goals:
                found[node, i] = entry
        if needed is not None and node not in needed:
            continue
        values = engine.values(node) | incoming
        for rule, positions in plan.rules:
            if plan.packed:
                positions = tuple(range(len(node.routes)))
            live = []
            for i in positions:
                route = node.routes[i]
                if type(route) is tuple and (goals is None or _wanted(route[0], goals, needed)):
                    live.append(i)
            if live:
                sent = _apply(engine, arrived, node, rule, positions, live, rule.pick(values))
                if watch is not None:
                    watch(node, incoming, sent)
        if not retain:
            node.saved = None
    found |= arrived  # what is left has come to leaves
    if targets is None:
        return [(leaf, _yours(engine, entry)) for leaf, entry in found.items()]
    results = [(t, found.get(t._edge or t)) for t in targets]
    return [(t, _yours(engine, entry)) for t, entry in results if entry is not None]


def _wanted(edge: Any, goals: Any, needed: Any) -> bool:
    """Whether a gradient is to be sent to an edge: it is a goal itself, or on the way to one."""
    return goals is None or edge in goals or (type(edge) is tuple and edge[0] in needed)


def _on_the_way(order: list[Node], goals: set[Any]) -> set[Node]:
    """The nodes from which some goal can be reached."""
    needed: set[Node] = set()
    for node in reversed(order):
        if any(type(route) is tuple and _wanted(route[0], goals, needed) for route in node.routes):
            needed.add(node)
    return needed


def _apply(
    engine: Raw | Traced,
    arrived: dict[Any, list[Any]],
    node: Node,
    rule: Rule,
    positions: tuple[int, ...],
    live: list[int],
    arguments: tuple[Any, ...],
) -> list[tuple[int, Any]]:
    """Call one rule and send on what it returns: a gradient for each live input, in its shape and dtype."""
    try:
        result = engine.call(node, rule, arguments)
        if len(rule.inputs) == 1 and not node.plan.packed:
            results = [(live[0], _fitted(engine, node, live[0], result))]
        elif type(result) not in (tuple, list) or len(result) != len(positions):
            raise RuleError(f"it must return {len(positions)} gradients in a tuple, got {type(result).__name__}")
        else:
            pairs = zip(positions, result, strict=True)
            results = [(i, _fitted(engine, node, i, gradient)) for i, gradient in pairs if i in live]
    except GraphError:
        raise
    except Exception as error:
        if not isinstance(error, (ValueError, TypeError, AttributeError, LookupError, RuleError)):
            raise
        name = ", ".join(map(repr, rule.inputs))
        raise RuleError(
            f"{node.plan.op.name}.gradient({name}), for the call at {place(node.where)}: {error}"
        ) from error
    for i, gradient in results:
        fresh = _is_fresh(gradient, arguments, results)
        _send(engine, arrived, node.routes[i][0], gradient, fresh)
    return results


def _fitted(engine: Raw | Traced, node: Node, i: int, gradient: Any) -> Any:
    """A rule's result in its input's shape and dtype: broadcasting is summed here, once, and only for ops that declare it."""
    _, shape, dtype = node.routes[i]
    if gradient is None:
        raise RuleError("it returned None where a gradient is wanted; is a return missing?")
    if type(gradient) not in engine.types:
        gradient = engine.settled(gradient, node)
    if gradient.shape != shape:
        if not node.plan.op.broadcasts:
            raise RuleError(f"it returned shape {gradient.shape} for an input of shape {shape}; they must be the same")
        gradient = engine.sum_to(gradient, shape)
    return gradient if gradient.dtype is dtype or gradient.dtype == dtype else gradient.astype(dtype)


def _is_fresh(gradient: Any, arguments: tuple[Any, ...], results: list[tuple[int, Any]]) -> bool:
    """Whether nobody else holds a rule's result: it is no argument's memory, no other result's, and not broadcast."""
    array: Any = gradient.data if isinstance(gradient, Tensor) else gradient
    root = array if array.base is None else storage(array)
    for held in arguments:
        if type(held) is type(array):  # nearly always: the quick way
            if held is root or (held.base is not None and storage(held) is root):
                return False
        elif _sees(held, root):
            return False
    if len(results) > 1 and sum(_sees(g, root) for _, g in results) > 1:
        return False
    return array is root or (0 not in array.strides and getattr(array.flags, "writeable", True))


def _sees(held: Any, root: Any) -> bool:
    """Whether an argument of a rule, or one of a tuple of them, lies in the memory of `root`."""
    if type(held) is tuple:
        return any(_sees(a, root) for a in held)
    array = held.data if isinstance(held, Tensor) else held
    return array is root or (type(array) in by_type and array.base is not None and storage(array) is root)


def _send(engine: Raw | Traced, arrived: dict[Any, list[Any]], edge: Any, gradient: Any, fresh: bool) -> None:
    """Add a gradient to what has arrived at an edge."""
    new = [gradient, fresh]
    entry = arrived.setdefault(edge, new)
    if entry is not new:
        entry[0], entry[1] = engine.add(entry[0], entry[1], gradient), True


def _yours(engine: Raw | Traced, entry: list[Any]) -> Any:
    """A gradient to hand out: the walk's own array once, else a copy."""
    gradient, fresh = entry
    entry[1] = False
    return gradient if fresh else engine.copy(gradient)
