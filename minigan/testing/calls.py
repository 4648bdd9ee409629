"""A subject at one point, to be called as often as a law needs, each time from the same state and in float64."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, combinations
from typing import Any, NamedTuple

import numpy as np

from minigan.autodiff import Tensor, grad, tensor
from minigan.autodiff.graph import reachable
from minigan.autodiff.trace import recording
from minigan.backends import HostArray, by_type
from minigan.nn.module import Module
from minigan.testing.failures import BadSubject
from minigan.testing.seal import Snapshot, module_of, parameters_of, reseed, untouched

SUBSETS = 16  # sets of variables to ask for where there are too many for all of them

Gradients = Mapping[str, HostArray | None]


class Run(NamedTuple):
    """One call.

    Attributes:
        variables: the leaves that gradients are wanted of, by name: inputs of floats, and a layer's parameters.
        inputs: what the subject was called with, in its order.
        outputs: every Tensor that it returned.
    """

    variables: dict[str, Tensor]
    inputs: list[Any]
    outputs: list[Tensor]

    @property
    def floats(self) -> list[Tensor]:
        """The outputs that may have a gradient."""
        return [y for y in self.outputs if y.dtype.kind == "f"]

    def gradients(
        self,
        arriving: Sequence[Any],
        wanted: Sequence[str] | None = None,
        retain_graph: bool | None = True,
        **how: bool,
    ) -> dict[str, Tensor | None]:
        """Gradients by the variables, or by those that are named in `wanted`, as the engine gives them out."""
        names = list(self.variables) if wanted is None else list(wanted)
        variables = [self.variables[n] for n in names]
        found = grad(self.floats, variables, arriving, retain_graph=retain_graph, allow_unused=True, **how)
        return dict(zip(names, found, strict=True))

    def pull(
        self, arriving: Sequence[Any], traced: bool = False, wanted: Sequence[str] | None = None
    ) -> dict[str, HostArray | None]:
        """The same on the host; the graph is kept."""
        found = self.gradients(arriving, wanted, create_graph=traced)
        return {n: None if g is None else g.numpy().copy() for n, g in found.items()}

    def backward(self, arriving: Sequence[Any]) -> None:
        """Leave gradients at the variables; the graph is kept."""
        for y, g in zip(self.floats, arriving, strict=True):
            if y.requires_grad:
                y.backward(g, retain_graph=True)

    def left(self) -> dict[str, HostArray | None]:
        """What `backward` left at the variables."""
        return {n: None if t.grad is None else t.grad.numpy().copy() for n, t in self.variables.items()}

    def saved(self) -> dict[int, tuple[str, Any]]:
        """Every array that the outputs hold, by identity: their own, and those that were saved for the rules."""
        found = {id(y.data): (f"output {i}", y.data) for i, y in enumerate(self.outputs)}
        for node in reachable([y._edge for y in self.outputs]):
            for name, value in (node.saved or {}).items():
                for a in value if type(value) is tuple else (value,):
                    if type(a) in by_type:
                        found[id(a)] = f"{name!r} that {node.plan.op.name} saved", a
        return found


class Calls:
    """A subject and its inputs. Calling it calls the subject, from the state that it had when this was made.

    Attributes:
        f: the subject.
        xs: its inputs on the host, those of floats in float64.
        names: the inputs' names.
        parameters: those of a layer that require a gradient, by name.
        state: its parameters and buffers.
        coarse: whether a call went through a dtype below float64.
        seed, rng: where random numbers come from.
    """

    def __init__(self, f: Any, xs: Sequence[Any], rng: int, before: Snapshot) -> None:
        self.f, self.seed, self.rng, self._before = f, rng, np.random.default_rng(rng), before
        self.xs = [in_float64(x) for x in xs]
        self.names = input_names(f, len(xs))
        module, self.parameters = module_of(f), parameters_of(f)
        self.state = [] if module is None else list({id(t): t for _, t in module.named_state()}.values())
        self.coarse = False
        self._values = [in_float64(t) for t in self.state]

    def leaves(self, wanted: Sequence[str] | None = None, xs: Sequence[Any] | None = None) -> list[Any]:
        """Fresh Tensors of the inputs; those of floats require a gradient, or only those that are named in `wanted`."""
        made = []
        for name, x in zip(self.names, self.xs if xs is None else xs, strict=True):
            asked = is_floats(x) and (wanted is None or name in wanted)
            made.append(tensor(x, requires_grad=asked, name=name) if isinstance(x, np.ndarray) else x)
        return made

    def __call__(self, leaves: Sequence[Any] | None = None, wanted: Sequence[str] | None = None) -> Run:
        """Call the subject, with inputs given or fresh, as if for the first time."""
        inputs = self.leaves(wanted) if leaves is None else list(leaves)
        self._before.rewind()
        reseed(self.seed)
        # each call has memory of its own, so that the graph of an earlier one stays good
        for t, values in zip(self.state, self._values, strict=True):
            t.data, t._version, t.grad = t._home.from_host(values), [0, None], None
        for name, p in self.parameters.items():
            p.requires_grad = wanted is None or name in wanted
        with recording(True):
            outputs = _flat(self.f(*inputs))
        edges = [y._edge for y in outputs]
        dtypes = [r[2] for node in reachable(edges) for r in node.routes if type(r) is tuple]
        self.coarse = self.coarse or any(d.itemsize < 8 for d in dtypes)
        variables = {str(t.name): t for t in inputs if isinstance(t, Tensor) and t.is_leaf and t.requires_grad}
        variables |= {name: p for name, p in self.parameters.items() if p.requires_grad}
        return Run(variables, inputs, outputs)

    @property
    def geometry(self) -> str:
        """Every input's shape and dtype."""
        shown = [f"{a.shape} {a.dtype}" if isinstance(a, np.ndarray) else repr(a) for a in self.xs]
        return ", ".join(map(" ".join, zip(self.names, shown, strict=True)))

    def arriving(self, run: Run) -> list[HostArray]:
        """Random gradients in [-1, 1] for the outputs of floats."""
        return [np.asarray(self.rng.uniform(-1, 1, y.shape), str(y.dtype)) for y in run.floats]


@contextmanager
def repeated(f: Any, xs: Sequence[Any], rng: int) -> Iterator[Calls]:
    """`Calls` of a subject; afterwards it is, and has, what it was and had."""
    with untouched(f) as before:
        yield Calls(f, xs, rng, before)


def combined(a: float, left: Gradients, b: float, right: Gradients) -> dict[str, HostArray | None]:
    """a * left + b * right, where nothing counts as zeros."""
    sums: dict[str, HostArray | None] = {}
    for name, u in left.items():
        v = right[name]
        parts = [factor * g for factor, g in ((a, u), (b, v)) if g is not None]
        sums[name] = sum(parts[1:], start=parts[0]) if parts else None
    return sums


def subsets(names: Sequence[str], rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Every set of up to four variables; of more, each alone, each left out, and some more, `SUBSETS` at most."""
    if len(names) <= 4:
        return list(chain.from_iterable(combinations(names, k + 1) for k in range(len(names))))
    alone = [(name,) for name in names]
    rest = [tuple(n for n in names if n != name) for name in names]
    drawn = [tuple(n for n in names if rng.random() < 0.5) for _ in range(SUBSETS // 2)]
    order = rng.permutation(len(alone) + len(rest))
    return [*([*alone, *rest][i] for i in order[: SUBSETS // 2]), *filter(None, drawn)]


def input_names(f: Any, count: int) -> list[str]:
    """The names that a subject gives its first inputs, x0, x1, ... where it gives none."""
    try:
        parameters = list(inspect.signature(f.forward if isinstance(f, Module) else f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return (names + [f"x{i}" for i in range(len(names), count)])[:count]


def is_floats(x: Any) -> bool:
    """Whether this is a host array of floats."""
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def in_float64(x: Any) -> Any:
    """A copy on the host, in float64 if it is of floats; what is no array stays."""
    if not isinstance(x, (Tensor, np.ndarray, list)):
        return x
    a = np.array(x.numpy() if isinstance(x, Tensor) else x)
    return a.astype(np.float64) if a.dtype.kind == "f" else a


def _flat(result: Any) -> list[Tensor]:
    if isinstance(result, (tuple, list)):
        return [t for r in result for t in _flat(r)]
    if not isinstance(result, Tensor):
        raise BadSubject(f"it returned {type(result).__name__}; a subject returns a Tensor or a tuple of them")
    return [result]
