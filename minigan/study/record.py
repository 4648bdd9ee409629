"""What a backward pass did, as plain data: who sent what to whom, and how large it was. `explain` and `graph` show it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from minigan.autodiff import Tensor
from minigan.autodiff.functional import pull
from minigan.autodiff.graph import Node, reachable
from minigan.autodiff.trace import Cause, located
from minigan.backends import by_type
from minigan.nn import Module, Parameter

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Size:
    """How large a gradient is: its shape, the norm of all its numbers, their mean, and the largest by absolute value.

    >>> mg.study.Size.of(np.array([3.0, -4.0]))
    Size(shape=(2,), norm=5.0, mean=-0.5, largest=-4.0)
    """

    shape: Shape
    norm: float
    mean: float
    largest: float

    @classmethod
    def of(cls, array: Any) -> Size:
        """That of an array of any backend."""
        flat = by_type[type(array)].to_host(array).ravel(order="K")
        if flat.size == 0:
            return cls(array.shape, 0.0, 0.0, 0.0)
        low, high = float(flat.min()), float(flat.max())
        largest = low if -low > high else high
        norm = abs(largest)
        if 1e-15 < norm < 1e15:
            norm = math.sqrt(flat.dot(flat))
        elif 0 < norm < math.inf:  # squares would leave the range of float32
            scaled = flat / largest
            norm *= math.sqrt(scaled.dot(scaled))
        return cls(array.shape, norm, float(flat.mean()), largest)


@dataclass(frozen=True)
class Sent:
    """What left one op's rule for one of its inputs.

    Attributes:
        input: the op's name for it.
        size: None where no gradient was computed; a gradient of zeros has one.
        why: then the reason.
        to: the number of the row whose result the input is, or that of a leaf after all rows; None for a constant.
        output: which result of that row, by name.
        summed: whether the op broadcast the input, so that the rule's result was summed to its shape.
    """

    input: str
    size: Size | None
    why: str = ""
    to: int | None = None
    output: str = ""
    summed: bool = False


@dataclass(frozen=True)
class Row:
    """One op on the way back.

    Attributes:
        op: its name.
        module: the path of the innermost module that called it, such as ``"D.conv2"``; empty outside of any.
        layer: that module's class.
        file: of the user's code that called it.
        line: there.
        source: what stands there.
        arrives: the gradient at each result, by the result's name; None where nothing came, or nothing was wanted.
        names: results that have a name in the caller's code.
        rules: of the op, each as the inputs that it serves and its formula in LaTeX.
        sent: one an input, in the op's order; without optional ones that are constants.
    """

    op: str
    module: str
    layer: str
    file: str
    line: int
    source: str
    arrives: Mapping[str, Size | None]
    names: Mapping[str, str]
    rules: tuple[tuple[tuple[str, ...], str], ...]
    sent: tuple[Sent, ...]

    @property
    def network(self) -> str:
        """The name of the outermost module, such as ``"D"``; empty outside of any, and where only its class is known."""
        return "" if self.module == self.layer else self.module.partition(".")[0]

    @property
    def computed(self) -> bool:
        """Whether any rule of it ran."""
        return any(s.size is not None for s in self.sent)


@dataclass(frozen=True)
class Leaf:
    """Where a gradient comes to rest.

    Attributes:
        name: a parameter's path, a variable's name, or the shape where there is neither.
        parameter: whether training changes it.
        total: of all that arrived; None where nothing was wanted.
    """

    name: str
    parameter: bool
    total: Size | None


@dataclass(frozen=True)
class Record:
    """A backward pass.

    Attributes:
        value: of what was differentiated; None if that is no scalar.
        rows: the ops, in the order of the walk; also those that the walk left out.
        leaves: what no op made; in `Sent.to` they come after the rows.
    """

    value: float | None
    rows: tuple[Row, ...]
    leaves: tuple[Leaf, ...]

    def contributions(self, to: int, output: str = "") -> Sequence[tuple[int, Sent]]:
        """All that was sent to a row's result or to a leaf, each with its sender's number: where it is used twice, they add up.

        >>> b = mg.tensor(1.0, requires_grad=True)
        >>> record = mg.study.record(b * b)
        >>> [(i, s.input, s.size.norm) for i, s in record.contributions(1)]
        [(0, 'a', 1.0), (0, 'b', 1.0)]
        """
        return self._ledger.get((to, output), [])

    @cached_property
    def largest(self) -> float:
        """The largest finite norm that arrived at an op's result; 0 where there is none."""
        sizes = (size for row in self.rows for size in row.arrives.values() if size is not None)
        return max((size.norm for size in sizes if math.isfinite(size.norm)), default=0.0)

    @cached_property
    def _ledger(self) -> dict[tuple[int, str], list[tuple[int, Sent]]]:
        found: dict[tuple[int, str], list[tuple[int, Sent]]] = {}
        for i, row in enumerate(self.rows):
            for s in row.sent:
                if s.to is not None and s.size is not None:
                    found.setdefault((s.to, s.output), []).append((i, s))
        return found

    def message(self, to: int, output: str = "") -> tuple[str, str] | None:
        """Who tells whom, where all that arrives at a row's result was sent by another network: of dL/dX, ``("D", "G")``.

        >>> G, D = mg.nn.Dense(2, 2, rng=0), mg.nn.Dense(2, 1, rng=1)
        >>> found = mg.study.record(D(G(mg.tensor([[1.0, 2.0]]))).sum())
        >>> [found.message(i, "y") for i in range(len(found.rows))]
        [None, None, ('D', 'G')]
        """
        own = self.rows[to].network if to < len(self.rows) else ""
        senders = {self.rows[i].network for i, _ in self.contributions(to, output)}
        return (senders.pop(), own) if own and len(senders) == 1 and not senders & {own, ""} else None


def record(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor] | None = None,
    gradient: Any = None,
    names: Mapping[str, Module | Tensor] | None = None,
    who: str = "record",
) -> Record:
    """Carry a gradient back from `output`, and write down all that happens. Nothing is freed, and no ``grad`` is changed.

    Args:
        output: a scalar, such as a loss; or any tensor, with `gradient`.
        inputs: the tensors whose gradients are wanted, so that nothing else is computed; all leaves without it.
        gradient: what arrives at `output`, of its shape; 1 for a scalar.
        names: modules and tensors by the names that they are to be shown under; the caller's variables without it.
        who: the function that errors name.

    Raises:
        TypeError: `output` is not a Tensor.
        MissingGradient: no gradient can flow from `output`; the message says why.
        FreedGraph: an earlier pass freed what this one needs.
        ShapeError: `output` is not a scalar, and no gradient for it was given.

    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> found = mg.study.record((x.tanh() * x).sum())
    >>> [row.op for row in found.rows], found.leaves[0].name
    (['sum', 'mul', 'tanh'], 'x')
    """
    if not isinstance(output, Tensor):
        raise TypeError(f"{who}() takes the Tensor that is differentiated, got {type(output).__name__}")
    named = caller_names(2) if names is None else names
    targets = None if inputs is None else (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)

    arrived: dict[int, dict[str, Any]] = {}
    left: dict[int, dict[int, Size]] = {}

    def watch(node: Node, incoming: dict[str, Any], results: list[tuple[int, Any]]) -> None:
        if node.number not in arrived:
            arrived[node.number] = {name[1:]: None if g is None else Size.of(g) for name, g in incoming.items()}
        left.setdefault(node.number, {}).update((i, Size.of(g)) for i, g in results)

    found = {id(t): Size.of(g) for t, g in pull(output, gradient, who, targets, watch=watch)}
    nodes = reachable([output._edge or output])
    known = _Names(named)
    place_of: dict[Any, int] = {node: i for i, node in enumerate(nodes)}
    leaves: list[Leaf] = []
    if output._edge is None:
        leaves.append(known.leaf(output, found))

    def to(edge: Any) -> tuple[int, str]:
        if type(edge) is tuple:
            return place_of[edge[0]], edge[0].plan.op.outputs[edge[1]]
        if edge not in place_of:
            place_of[edge] = len(nodes) + len(leaves)
            leaves.append(known.leaf(edge, found))
        return place_of[edge], ""

    def sent(node: Node) -> Iterator[Sent]:
        op, sizes = node.plan.op, left.get(node.number, {})
        optional = [p.name for p in op.__signature__.parameters.values() if p.default is None]
        outer = next((s.shape for s in arrived.get(node.number, {}).values() if s is not None), ())
        for i, route in enumerate(node.routes):
            name = f"{op.inputs[0]}[{i}]" if node.plan.packed else op.inputs[i]
            if route is None and name in optional:
                continue
            if type(route) is not tuple:
                yield Sent(name, None, f"a constant: {route}" if isinstance(route, Cause) else "a constant")
                continue
            size = sizes.get(i)
            summed = size is not None and op.broadcasts and size.shape != outer
            yield Sent(name, size, "" if size else "not asked for", *to(route[0]), summed)

    rows = []
    for node in nodes:
        op, (module, layer) = node.plan.op, known.module(node.module)
        results = arrived.get(node.number, dict.fromkeys(op.outputs))
        labels = {y: known.tensors[node, i] for i, y in enumerate(op.outputs) if (node, i) in known.tensors}
        rules = tuple((r.inputs, r.formula) for r, _ in node.plan.rules)
        rows.append(Row(op.name, module, layer, *located(node.where), results, labels, rules, tuple(sent(node))))
    return Record(output.item() if output.size == 1 else None, tuple(rows), tuple(leaves))


def caller_names(depth: int) -> dict[str, Any]:
    """Modules and tensors among the variables of a function that led here, by their names there."""
    frame = sys._getframe(depth)
    variables = {**frame.f_globals, **frame.f_locals}
    return {name: value for name, value in variables.items() if isinstance(value, (Module, Tensor)) and name != "_"}


class _Names:
    """Names of modules, parameters and tensors, found from those that the caller has for a few of them."""

    def __init__(self, named: Mapping[str, Module | Tensor]) -> None:
        self.modules: dict[int, str] = {}
        self.leaves: dict[int, str] = {}
        self.tensors: dict[Any, str] = {}
        for name, value in named.items():
            if isinstance(value, Module):
                self._enter(name, value)
        for name, value in named.items():
            if isinstance(value, Tensor):
                self.leaves.setdefault(id(value), name)
                if value._edge is not None:
                    self.tensors.setdefault(value._edge, name)

    def _enter(self, path: str, module: Module) -> None:
        if id(module) not in self.modules:
            self.modules[id(module)] = path
            for name, value in module.named_parameters():
                self.leaves.setdefault(id(value), f"{path}.{name}")
            for name, child in module.children():
                self._enter(f"{path}.{name}", child)

    def module(self, reference: Any) -> tuple[str, str]:
        """A module's path and class; only the class where nobody named it."""
        found = None if reference is None else reference()
        if found is None:
            return "", ""
        layer = type(found).__name__
        return self.modules.get(id(found), layer), layer

    def leaf(self, x: Tensor, found: Mapping[int, Size]) -> Leaf:
        name = self.leaves.get(id(x)) or x.name or f"{type(x).__name__} {x.shape}"
        return Leaf(name, isinstance(x, Parameter), found.get(id(x)))
