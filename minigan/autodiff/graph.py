"""The graph and the one walk through it: backwards, iterative, and only along the paths that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from minigan.autodiff.registry import TRACED_OPS, raw_ops
from minigan.autodiff.tensor import Tensor, wrap
from minigan.autodiff.trace import Cause, Version, Where
from minigan.backends import Backend, by_type, storage
from minigan.errors import FreedGraph, GraphError, InPlaceChange, RuleError

if TYPE_CHECKING:
    from minigan.autodiff.op import Op, Plan, Rule

_number = count()


class Node:
    """One call of an op that something needing a gradient went into.

    A node points at its parents only, never at its outputs, so that no cycle arises and memory goes back
    as soon as the last Tensor is dropped.

    Attributes:
        edges: one an input: ``(node, output index)``, a leaf Tensor, a `Cause` or None for a constant.
        specs: shape and dtype of each input that needs a gradient, else None.
        saved: what the rules named, by name; None once the backward pass has freed it.
        kept: name, version counter and count of each saved Tensor's storage.
        number: creation order, which is a topological order.
    """

    __slots__ = ("op", "xp", "plan", "edges", "specs", "saved", "kept", "outputs", "packed", "where", "number")

    def __init__(
        self,
        op: Op,
        xp: Backend,
        plan: Plan,
        edges: list[Any],
        specs: list[Any],
        saved: dict[str, Any],
        kept: list[tuple[str, Version, int]],
        outputs: int,
        packed: bool,
        where: Where,
    ) -> None:
        self.op, self.xp, self.plan, self.edges, self.specs = op, xp, plan, edges, specs
        self.saved: dict[str, Any] | None = saved
        self.kept, self.outputs, self.packed, self.where = kept, outputs, packed, where
        self.number = next(_number)

    def values(self) -> dict[str, Any]:
        """What the forward call saved, after making sure that it is still there and unchanged."""
        if self.saved is None:
            raise FreedGraph(
                f"a second backward pass came to {self.op.name}, called at {self.where}, whose saved arrays the first "
                "pass freed; pass retain_graph=True to the first, or run the forward computation again"
            )
        for name, version, seen in self.kept:
            if version.count != seen and version.change is not None:
                what, where = version.change
                raise InPlaceChange(
                    f"{name!r} of {self.op.name}, called at {self.where}, was saved for the backward pass and then "
                    f"changed in place by {what} at {where}; run backward() before the change, or the forward "
                    "computation again after it"
                )
        return self.saved


def reachable(roots: Sequence[Any]) -> list[Node]:
    """Every node behind the edges `roots`, newest first."""
    found: dict[Node, None] = {}
    stack = [edge[0] for edge in roots if type(edge) is tuple]
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack += [edge[0] for edge in node.edges if type(edge) is tuple]
    return sorted(found, key=_newest_first)


def _newest_first(node: Node) -> int:
    return -node.number


def edge_of(tensor: Tensor) -> Any:
    """Where a gradient of `tensor` goes: ``(node, output index)``, or the tensor itself where it is a leaf."""
    return tensor if tensor._node is None else (tensor._node, tensor._index)


class Raw:
    """How a walk computes when nothing is traced: on raw arrays, adding in place into what is its own."""

    def settled(self, gradient: Any, xp: Backend) -> Any:
        return gradient if type(gradient) in by_type else xp.asarray(gradient)

    def array(self, gradient: Any) -> Any:
        return gradient

    def values(self, node: Node) -> dict[str, Any]:
        return dict(node.values())

    def call(self, node: Node, rule: Rule, arguments: list[Any]) -> Any:
        if node.op.own and (fast := node.xp.fast_rules.get((node.op.name, rule.inputs))):
            result = fast(node.xp, *arguments)
            if result is not None:
                return result
        return rule.function(raw_ops(node.xp), *arguments)

    def holds(self, value: Any) -> bool:
        return type(value) in by_type

    def sum_to(self, gradient: Any, shape: tuple[int, ...]) -> Any:
        return raw_ops(by_type[type(gradient)]).sum_to(gradient, shape=shape)

    def copy(self, gradient: Any) -> Any:
        return by_type[type(gradient)].array(gradient)

    def add(self, a: Any, fresh: bool, b: Any) -> Any:
        if fresh:
            a += b
            return a
        return by_type[type(a)].asarray(a + b)  # the sum of two 0-d arrays is a scalar


class Traced:
    """How a walk computes when its result is to be differentiated again: on Tensors, recording every step."""

    def settled(self, gradient: Any, xp: Backend) -> Any:
        return gradient if isinstance(gradient, Tensor) else Tensor(gradient, copy=False)

    def array(self, gradient: Any) -> Any:
        return gradient.data

    def values(self, node: Node) -> dict[str, Any]:
        """The saved arrays as Tensors again: inputs hang where they hung, outputs on this node."""
        values = dict(node.values())
        versions = {name: version for name, version, _ in node.kept}
        for name, i in node.plan.inputs:
            if node.packed:
                values[name] = tuple(map(self._input, values[name], node.edges, [Version()] * len(node.edges)))
            else:
                values[name] = self._input(values[name], node.edges[i], versions.get(name))
        for name, i in node.plan.outputs:
            values[name] = wrap(values[name], node, i, versions[name], None)
        return values

    def _input(self, value: Any, edge: Any, version: Version | None) -> Any:
        if version is None:  # a number, or an array that was given as it is
            return value
        if isinstance(edge, Tensor):
            return edge
        node, index = edge if type(edge) is tuple else (None, 0)
        return wrap(value, node, index, version, edge if isinstance(edge, Cause) else None)

    def call(self, node: Node, rule: Rule, arguments: list[Any]) -> Any:
        return rule.function(TRACED_OPS, *arguments)

    def holds(self, value: Any) -> bool:
        return isinstance(value, Tensor)

    def sum_to(self, gradient: Any, shape: tuple[int, ...]) -> Any:
        return TRACED_OPS.sum_to(gradient, shape=shape)

    def copy(self, gradient: Any) -> Any:
        return TRACED_OPS.copy(gradient)

    def add(self, a: Any, fresh: bool, b: Any) -> Any:
        return a + b


RAW, TRACED = Raw(), Traced()


def walk(
    roots: Sequence[Any], gradients: Sequence[Any], targets: Sequence[Tensor] | None, traced: bool, retain: bool
) -> list[tuple[Tensor, Any]]:
    """Carry gradients from the edges `roots` back along the graph.

    Args:
        roots: where the gradients arrive.
        gradients: one a root: arrays, or Tensors when `traced`.
        targets: the tensors whose gradients are wanted; None for every leaf that requires one.
        traced: compute with Tensors, so that the results can be differentiated again.
        retain: keep what the nodes saved.

    Returns:
        (tensor, gradient) for each target, or leaf, that something arrived at. The gradients alias nothing.
    """
    engine: Any = TRACED if traced else RAW
    order = reachable(roots)
    goals = None if targets is None else {_key(edge_of(t)) for t in targets}
    needed = None if goals is None else _on_the_way(order, goals)

    def live(edge: Any) -> bool:
        if type(edge) is tuple:
            return needed is None or edge[0] in needed or edge in goals  # type: ignore[operator]
        return isinstance(edge, Tensor) and (goals is None or id(edge) in goals)

    arrived: dict[Any, list[Any]] = {}  # key of an edge -> [gradient, fresh, tensor if a leaf]

    def send(edge: Any, gradient: Any, fresh: bool) -> None:
        key = _key(edge)
        entry = arrived.get(key)
        if entry is None:
            arrived[key] = [gradient, fresh, edge]
        else:
            entry[0], entry[1] = engine.add(entry[0], entry[1], gradient), True

    for edge, gradient in zip(roots, gradients, strict=True):
        if live(edge):
            send(edge, gradient, False)
    found: dict[Any, list[Any]] = {}
    for node in order:
        incoming = [arrived.pop((node, i), None) for i in range(node.outputs)]
        if goals is not None:
            found |= {(node, i): e for i, e in enumerate(incoming) if e and (node, i) in goals}
            if node not in needed:  # type: ignore[operator]
                continue
        if any(incoming):
            _through(engine, node, [e and e[0] for e in incoming], live, send)
            if not retain:
                node.saved = None
    found |= arrived  # what is left has come to leaves
    if targets is None:
        return [(entry[2], _yours(engine, entry)) for entry in found.values()]
    results = [(t, found.get(_key(edge_of(t)))) for t in targets]
    return [(t, _yours(engine, entry)) for t, entry in results if entry is not None]


def _key(edge: Any) -> Any:
    return edge if type(edge) is tuple else id(edge)


def _on_the_way(order: list[Node], goals: set[Any]) -> set[Node]:
    """The nodes from which some goal can be reached."""
    needed: set[Node] = set()
    for node in reversed(order):
        for edge in node.edges:
            if (edge in goals or edge[0] in needed) if type(edge) is tuple else id(edge) in goals:
                needed.add(node)
                break
    return needed


def _through(engine: Any, node: Node, incoming: list[Any], live: Callable[[Any], bool], send: Callable[..., None]) -> None:
    """Call the rules of one node and send on what they return."""
    values = engine.values(node)
    for name, gradient in zip(node.op.outputs, incoming, strict=True):
        values["d" + name] = gradient
    for rule, positions in node.plan.rules:
        if node.packed:
            positions = tuple(range(len(node.edges)))
        if not any(live(node.edges[i]) for i in positions):
            continue
        arguments = [values[p] for p in rule.parameters]
        try:
            result = engine.call(node, rule, arguments)
            results = result if len(rule.inputs) > 1 or node.packed else (result,)
            if type(results) not in (tuple, list) or len(results) != len(positions):
                raise RuleError(f"it must return {len(positions)} gradients in a tuple, got {type(results).__name__}")
            pairs = [(i, g) for i, g in zip(positions, results, strict=True) if g is not None and live(node.edges[i])]
            gradients = [_fitted(engine, node, i, engine.settled(g, node.xp)) for i, g in pairs]
            fresh = _fresh([engine.array(g) for g in gradients], engine, arguments)
            for (i, _), gradient, own in zip(pairs, gradients, fresh, strict=True):
                send(node.edges[i], gradient, own)
        except GraphError:
            raise
        except Exception as error:
            if not isinstance(error, (ValueError, TypeError, AttributeError, IndexError, RuleError)):
                raise
            name = ", ".join(map(repr, rule.inputs))
            raise RuleError(f"{node.op.name}.gradient({name}), for the call at {node.where}: {error}") from error


def _fitted(engine: Any, node: Node, i: int, gradient: Any) -> Any:
    """A rule's result in its input's shape and dtype: broadcasting is summed here, once, and only for ops that declare it."""
    shape, dtype = node.specs[i]
    if gradient.shape != shape:
        if not node.op.broadcasts:
            raise RuleError(f"it returned shape {gradient.shape} for an input of shape {shape}; they must be the same")
        gradient = engine.sum_to(gradient, shape)
    return gradient if gradient.dtype == dtype else gradient.astype(dtype)


def _fresh(results: list[Any], engine: Any, arguments: list[Any]) -> list[bool]:
    """Which of a rule's results are arrays that nobody else holds: neither an argument's memory nor one another's."""
    taken = [engine.array(a) for v in arguments for a in (v if type(v) is tuple else (v,)) if engine.holds(a)]
    roots = [g if g.base is None else storage(g) for g in results]
    fresh = []
    for g, root in zip(results, roots, strict=True):
        shared = any(a is root or (a.base is not None and storage(a) is root) for a in taken)
        fresh.append(not shared and sum(r is root for r in roots) == 1 and 0 not in g.strides)
    return fresh


def _yours(engine: Any, entry: list[Any]) -> Any:
    """A gradient to hand out: the walk's own array once, else a copy."""
    gradient, fresh, _ = entry
    entry[1] = False
    return gradient if fresh else engine.copy(gradient)
