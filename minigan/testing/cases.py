"""What a check looks at, whose fault an error is, and how the check fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Any, NoReturn, Self

import numpy as np

from minigan.autodiff import Op, Tensor, tensor
from minigan.autodiff.graph import reachable
from minigan.backends import HostArray
from minigan.errors import RuleError
from minigan.nn.module import Module
from minigan.testing.calls import (
    Result,
    Run,
    called,
    described,
    forward,
    input_names,
    is_floats,
    leaf,
    leaves,
    name_of,
    on_host,
    run,
)
from minigan.testing.failures import BadSubject, CheckFailed, LawBroken, program
from minigan.testing.layouts import LAYOUTS
from minigan.testing.seal import Snapshot, parameters_of, untouched

Labels = tuple[str, str]
Gradients = Mapping[str, HostArray | None]

# What the same sums in another order may differ by, relative to the largest element or 1: a few thousand roundings, more
# than the layers of a test add up, while a value from the wrong place is off by far more.
ROUNDINGS = 4096
SUBSETS = 16  # sets of variables to ask for where there are too many for all of them
# What two ways to compute one gradient may differ by, relative to the largest of all its elements: in float64 a million
# roundings, which sums in another order and some cancellation take; a wrong rule is off by more. Where a function goes
# through float32, which rounds 5e8 times as coarsely, there is room for 1e5 roundings; signs and terms are still noticed.
ROOM, COARSE_ROOM = 1e-9, 1e-2
SMALL = 1e-3  # smaller gradients count as of this size, for they may be what a cancellation leaves; what arrives is ~1


def largest(a: HostArray) -> float:
    return float(np.max(np.abs(a), initial=0.0))


def rounding(expected: HostArray) -> float:
    """What the same mathematics in another order may come to, absolutely."""
    return ROUNDINGS * float(np.finfo(expected.dtype).eps) * max(1.0, largest(expected))


def exactly(expected: HostArray) -> float:
    """No difference at all."""
    return 0.0


@dataclass
class Case:
    """One run of a check: what it judges, and how it fails.

    A ``with`` block of it leaves the subject as it was. What raises inside, where the plain call does not, is the check's
    failure, and a failure that was raised without them gets geometry, seed and program.

    Attributes:
        kind: the error that the check raises.
        subject: what the user gave: a function, an op, a layer or a factory.
        xs: the inputs.
        seed: where random numbers come from.
        options: the check's other arguments.
        layer: what a factory made.
        check: the check's name, where its error is of several.
        given: the inputs of the plain call, if they are not `xs`.
        names: the inputs' names.
        start: the subject's state when the check began.
    """

    kind: type[CheckFailed]
    subject: Any
    xs: list[Any]
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    layer: Module | None = None
    check: str = ""
    given: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        self.names, self.start = input_names(self.f, len(self.xs)), Snapshot(self.f)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.start.restore()
        if isinstance(error, CheckFailed):
            if not error.repro:
                raise self.error(type(error), error.headline, **error.facts) from error.__cause__
        elif isinstance(error, Exception) and not self._raises():
            self.fail(str(error) if isinstance(error, RuleError) else spoken(error), error)

    def _raises(self) -> bool:
        """Whether the plain call raises too."""
        with untouched(self.f, self.seed), suppress(Exception):
            forward(self.f, leaves(map(on_host, self.xs if self.given is None else self.given)))
            return False
        return True

    @property
    def f(self) -> Any:
        """What is called."""
        return self.subject if self.layer is None else self.layer

    def error(self, kind: type[CheckFailed], headline: str, **facts: Any) -> CheckFailed:
        """An error with what every message shows; its program starts from the state that the check started from."""
        self.start.restore()
        check = self.check or (self.kind if issubclass(kind, BadSubject) else kind).check
        return kind(headline, program(check, self.subject, self.xs, **self.options, rng=self.seed), **self.shown(facts))

    def shown(self, facts: dict[str, Any]) -> dict[str, Any]:
        """What a message shows, in its order."""
        what = "layer" if isinstance(self.f, Module) else "op" if isinstance(self.f, Op) else "function"
        return {what: name_of(self.f), "inputs": described(self.names, self.xs), **facts, "seed": self.seed}

    def fail(self, headline: str, cause: BaseException | None = None, **facts: Any) -> NoReturn:
        """Raise the check's error."""
        raise self.error(self.kind, headline, **facts) from cause

    @contextmanager
    def judging(self, headline: str) -> Iterator[None]:
        """What raises inside the block, where the plain call did not, is the check's failure."""
        try:
            yield
        except CheckFailed:
            raise
        except Exception as error:
            self.fail(f"{headline}: {spoken(error)}", error)

    def plain(self) -> Result:
        """The result that others are held to.

        Raises:
            BadSubject: the call raises, or gives NaN or infinity; where its gradients alone raise, it is the check's failure.
        """
        try:
            result = run(self.f, self.xs, self.seed)
        except CheckFailed:
            raise
        except Exception as error:
            kind = BadSubject if self._raises() else self.kind
            raise self.error(kind, f"{name_of(self.f)} raises {spoken(error)}") from error
        for where, a in result.values.items():
            if not np.all(np.isfinite(a)) and all(np.all(np.isfinite(x)) for x in self.xs):
                index = peak(~np.isfinite(a))
                headline = f"{name_of(self.f)} gives {a[index]} for finite inputs"
                raise self.error(BadSubject, headline, where=placed(where, index))
        return result

    def hold(
        self,
        actual: Result,
        expected: Result,
        headline: str,
        labels: Labels,
        allowed: Callable[[HostArray], float] = rounding,
    ) -> None:
        """Fail unless two results are equal, within what `allowed` makes of the expected arrays of floats."""
        if len(actual.outputs) != len(expected.outputs):
            counts: dict[str, Any] = {k: len(r.outputs) for k, r in zip(labels, (actual, expected), strict=True)}
            self.fail(f"{headline}: another number of outputs", **counts)
        for where, e in expected.values.items():
            self.hold_array(where, actual.values[where], e, headline, labels, allowed)

    def hold_array(
        self,
        where: str,
        a: HostArray,
        e: HostArray,
        headline: str,
        labels: Labels,
        allowed: Callable[[HostArray], float] = rounding,
    ) -> None:
        """As `hold`, for one array."""
        if a.shape != e.shape or a.dtype != e.dtype:
            kinds: dict[str, Any] = {k: f"{v.shape} {v.dtype}" for k, v in zip(labels, (a, e), strict=True)}
            self.fail(headline, where=where, **kinds)
        margin = allowed(e) if e.dtype.kind == "f" else 0.0
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.abs(a.astype(np.float64) - e.astype(np.float64))
        error = np.where((a == e) | ((a != a) & (e != e)), 0.0, np.nan_to_num(error, nan=np.inf))
        if not np.any(error > margin):
            return
        index = peak(error)
        values = dict(zip(labels, (a[index].item(), e[index].item()), strict=True))
        if margin:
            values["allowed"] = f"± {margin:.2g}"
        self.fail(headline, where=placed(where, index), **values)


def peak(a: HostArray) -> tuple[int, ...]:
    """The index of the largest element; in a mask, of the first that is true."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(a)), a.shape))


def placed(where: str, index: tuple[int, ...]) -> str:
    """``output[0, 1]``."""
    return f"{where}[{', '.join(map(str, index))}]" if index else where


def spoken(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"[:200]


def laid_out(layout: str, x: Any, seed: int) -> tuple[Tensor, HostArray]:
    """A Tensor that shares the memory of an array in a layout, and its values, which are others where strides are zero."""
    array = LAYOUTS[layout](tensor(x).data, np.random.default_rng(seed))
    made = tensor(array, requires_grad=x.dtype.kind == "f", copy=False)
    return made, np.array(made.numpy(), order="C")


def batch_of(xs: Sequence[HostArray]) -> tuple[int, list[bool]]:
    """The first input's length, 0 if it has no axis, and which inputs are as long."""
    count = len(xs[0]) if xs and xs[0].ndim else 0
    return count, [x.ndim > 0 and len(x) == count for x in xs]


# -- laws --------------------------------------------------------------------------------------------------------------


class Calls(Case):
    """A case of a law. Calling it calls the subject, from the state that it had when this was made.

    Attributes:
        law: how its failures begin.
        xs: the inputs on the host, those of floats in float64.
        parameters: those of a layer that require a gradient, by name.
        state: parameters and buffers of the layers that it is or holds.
        coarse: whether a call went through a dtype below float64.
        rng: for the gradients that arrive.
    """

    def __init__(self, check: Callable[..., None], law: str, f: Any, xs: Sequence[Any], rng: int) -> None:
        super().__init__(LawBroken, f, [in_float64(x) for x in xs], rng, check=check.__name__, given=xs)
        self.law, self.rng = law, np.random.default_rng(rng)
        self.parameters, self.state, self.coarse = parameters_of(f), self.start.state, False

    def leaves(self, wanted: Sequence[str] | None = None, xs: Sequence[Any] | None = None) -> list[Any]:
        """Fresh Tensors of the inputs; those of floats require a gradient, or only those that are named in `wanted`."""
        named = zip(self.names, self.xs if xs is None else xs, strict=True)
        return [leaf(x, wanted is None or name in wanted) for name, x in named]

    def __call__(self, leaves: Sequence[Any] | None = None, wanted: Sequence[str] | None = None) -> Run:
        """Call the subject, with inputs given or fresh, as if for the first time."""
        inputs = self.leaves(wanted) if leaves is None else list(leaves)
        self.start.restart(self.seed)
        for name, p in self.parameters.items():
            p.requires_grad = wanted is None or name in wanted
        run = called(self.f, inputs)
        nodes = reachable([y._edge for y in run.outputs])
        dtypes = [r[2] for node in nodes for r in node.routes if type(r) is tuple]
        self.coarse = self.coarse or any(d.itemsize < 8 for d in dtypes)
        return run

    def arriving(self, run: Run) -> list[HostArray]:
        """Random gradients in [-1, 1] for the outputs of floats."""
        return [np.asarray(self.rng.uniform(-1, 1, y.shape), str(y.dtype)) for y in run.floats]

    def hold_gradients(
        self, headline: str, found: Gradients, expected: Gradients, blame: Callable[[], dict[str, str]] = dict
    ) -> None:
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
                facts: dict[str, Any] = blame() | {"gradient_by": placed(name, index)}
                ratio = f"{got / wanted:.6g}" if wanted else "-"
                self.fail(headline, **facts, found=got, expected=wanted, ratio=ratio)

    def fail(self, headline: str, cause: BaseException | None = None, **facts: Any) -> NoReturn:
        """Raise `LawBroken`, whose message begins with the law."""
        super().fail(f"{self.law}: {headline}", cause, **facts)

    def shown(self, facts: dict[str, Any]) -> dict[str, Any]:
        inputs = described(self.names, self.xs)
        return {"subject": name_of(self.f), **facts, "inputs": inputs, "seed": self.seed}


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
    a = on_host(x)
    return np.array(a, np.float64 if is_floats(a) else a.dtype) if isinstance(a, np.ndarray) else a
