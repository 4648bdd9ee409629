"""A subject at one point, to be called as often as a law needs, each time from the same state and in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, combinations
from typing import Any, NamedTuple

import numpy as np

from minigan.autodiff import Tensor, grad, tensor
from minigan.autodiff.graph import reachable
from minigan.backends import HostArray, by_type
from minigan.testing.cases import forward, input_names, is_floats, name_of, peak, placed
from minigan.testing.failures import LawBroken, program
from minigan.testing.seal import Snapshot, parameters_of, untouched

SUBSETS = 16  # sets of variables to ask for where there are too many for all of them
# What two ways to compute one gradient may differ by, relative to the largest of all its elements: in float64 a million
# roundings, which sums in another order and some cancellation take; a wrong rule is off by more. Where a function goes
# through float32, which rounds 5e8 times as coarsely, there is room for 1e5 roundings; signs and terms are still noticed.
ROOM, COARSE_ROOM = 1e-9, 1e-2
SMALL = 1e-3  # smaller gradients count as of this size, for they may be what a cancellation leaves; what arrives is ~1

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
        check: what calls it, and names itself in its failures.
        f: the subject.
        xs: its inputs on the host, those of floats in float64.
        names: the inputs' names.
        parameters: those of a layer that require a gradient, by name.
        state: parameters and buffers of the layers that it is or holds.
        coarse: whether a call went through a dtype below float64.
        seed, rng: where random numbers come from.
    """

    def __init__(self, check: Callable[..., None], f: Any, xs: Sequence[Any], rng: int, before: Snapshot) -> None:
        self.check, self.f, self._before = check, f, before
        self.seed, self.rng = rng, np.random.default_rng(rng)
        self.xs = [in_float64(x) for x in xs]
        self.names = input_names(f, len(xs))
        self.parameters, self.state, self.coarse = parameters_of(f), before.state, False

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
        self._before.restart(self.seed)
        for name, p in self.parameters.items():
            p.requires_grad = wanted is None or name in wanted
        outputs = list(forward(self.f, inputs))
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

    def hold(self, law: str, found: Gradients, expected: Gradients, blame: Callable[[], dict[str, str]] = dict) -> None:
        """Fail unless two sets of gradients are equal but for rounding; none counts as zeros."""
        sizes = [float(np.max(np.abs(e), initial=0.0)) for e in expected.values() if e is not None]
        room = (COARSE_ROOM if self.coarse else ROOM) * max([SMALL, *filter(np.isfinite, sizes)])
        for name, e in expected.items():
            g = found[name]
            if g is None and e is None:
                continue
            g, e = (np.zeros_like(other) if a is None else a for a, other in ((g, e), (e, g)))
            with np.errstate(invalid="ignore"):
                distance = np.abs(g - e)
                wrong = ~((distance <= room) | (g == e) | (np.isnan(g) & np.isnan(e)))
            if np.any(wrong):
                distance = np.where(wrong, np.nan_to_num(distance, nan=np.inf), -1.0)
                index = peak(distance)
                got, wanted = float(g[index]), float(e[index])
                facts = blame() | {"gradient_by": placed(name, index)}
                ratio = f"{got / wanted:.6g}" if wanted else "-"
                raise self.broken(law, **facts, found=got, expected=wanted, ratio=ratio)

    def broken(self, law: str, **facts: Any) -> LawBroken:
        """The error, with what every message shows."""
        repro = program(self.check.__name__, self.f, self.xs, rng=self.seed)
        return LawBroken(law, repro, subject=name_of(self.f), **facts, inputs=self.geometry, seed=self.seed)


@contextmanager
def repeated(check: Callable[..., None], f: Any, xs: Sequence[Any], rng: int) -> Iterator[Calls]:
    """`Calls` of a subject; afterwards it is, and has, what it was and had."""
    with untouched(f) as before:
        yield Calls(check, f, xs, rng, before)


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


def in_float64(x: Any) -> Any:
    """A copy on the host, in float64 if it is of floats; what is no array stays."""
    if not isinstance(x, (Tensor, np.ndarray, list)):
        return x
    a = np.array(x.numpy() if isinstance(x, Tensor) else x)
    return a.astype(np.float64) if a.dtype.kind == "f" else a
