"""What the checks of behaviour share: a subject called with its gradients, and how a check fails."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from minigan.autodiff import Op, Tensor, grad, tensor
from minigan.autodiff.trace import recording
from minigan.backends import HostArray, by_type
from minigan.nn.module import Module
from minigan.testing.failures import BadSubject, CheckFailed, program
from minigan.testing.layouts import LAYOUTS
from minigan.testing.seal import Snapshot, module_of, parameters_of, untouched

Outputs = tuple[Tensor, ...]
Labels = tuple[str, str]

# What the same sums in another order may differ by, relative to the largest element or 1: a few thousand roundings, more
# than the layers of a test add up, while a value from the wrong place is off by far more.
ROUNDINGS = 4096


def name_of(f: Any) -> str:
    """What messages call a subject: ``conv2d``, ``Dense(3, 2, bias=True)``."""
    if isinstance(f, functools.partial):
        return name_of(f.func)
    if isinstance(f, Module):
        shown = " ".join(repr(f).split())
        return shown if len(shown) <= 60 else type(f).__name__
    return str(f.name if isinstance(f, Op) else getattr(f, "__name__", type(f).__name__))


def input_names(f: Any, count: int) -> list[str]:
    """The names that a subject gives its first inputs, other than those of its state; x0, x1, ... where it gives none."""
    module = module_of(f)
    taken = {name for name, _ in module.named_state()} if module is not None else set()
    try:
        parameters = list(inspect.signature(f.forward if isinstance(f, Module) else f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = (names + [f"x{i}" for i in range(len(names), count)])[:count]
    return [f"input {name}" if name in taken else name for name in names]


def is_floats(x: Any) -> bool:
    """Whether this is a host array of floats."""
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def on_host(x: Any) -> Any:
    """The values of a Tensor, of a backend's array or of a list of numbers; a tuple of them; anything else stays."""
    if isinstance(x, (tuple, list)) and any(isinstance(a, (Tensor, np.ndarray)) for a in x):
        return tuple(map(on_host, x))
    if isinstance(x, Tensor):
        return x.numpy()
    if type(x) in by_type:
        return by_type[type(x)].to_host(x)
    return np.asarray(x) if isinstance(x, (np.ndarray, list)) else x


def host(xs: Sequence[Any]) -> list[HostArray]:
    """Copies on the host, in C order, of arrays, Tensors, lists or numbers."""
    return [np.array(x.numpy() if isinstance(x, Tensor) else x, order="C") for x in xs]


# -- calls -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """One call, on the host.

    Attributes:
        outputs: every output.
        gradients: of <outputs, arriving>, by the variables' names.
        arriving: at the outputs that gradients flow from.
    """

    outputs: tuple[HostArray, ...]
    gradients: dict[str, HostArray]
    arriving: tuple[Any, ...]

    @property
    def values(self) -> dict[str, HostArray]:
        """Outputs and gradients by what messages call them: ``output``, ``gradient of x``."""
        names = ["output"] if len(self.outputs) == 1 else [f"output {i}" for i in range(len(self.outputs))]
        gradients = {f"gradient of {name}": g for name, g in self.gradients.items()}
        return dict(zip(names, self.outputs, strict=True)) | gradients


def leaves(xs: Sequence[Any]) -> list[Tensor]:
    """Fresh Tensors of arrays, with a gradient where they are of floats; Tensors stay."""
    return [x if isinstance(x, Tensor) else tensor(x, requires_grad=x.dtype.kind == "f") for x in xs]


def forward(f: Any, xs: Sequence[Any]) -> Outputs:
    """The outputs, recorded.

    Raises:
        BadSubject: they are no Tensors.
    """
    with recording(True):
        y = f(*xs)
    return tuple(_flat(y, f))


def _flat(result: Any, f: Any) -> Iterator[Tensor]:
    if isinstance(result, (tuple, list)):
        for part in result:
            yield from _flat(part, f)
    elif isinstance(result, Tensor):
        yield result
    else:
        raise BadSubject(f"{name_of(f)} returned {type(result).__name__}; a Tensor or a tuple of Tensors is expected")


def tracked(outputs: Outputs) -> Outputs:
    """The outputs that gradients flow from."""
    return tuple(y for y in outputs if y.requires_grad)


def arrivals(outputs: Outputs, seed: int) -> tuple[HostArray, ...]:
    """Gradients from N(0, 1) for the outputs that gradients flow from."""
    rng = np.random.default_rng(seed)
    return tuple(np.asarray(rng.standard_normal(y.shape), str(y.dtype)) for y in tracked(outputs))


def variables_of(f: Any, xs: Sequence[Tensor]) -> dict[str, Tensor]:
    """What gradients are wanted of: inputs and parameters, by name."""
    named = zip(input_names(f, len(xs)), xs, strict=True)
    return {name: x for name, x in named if x.requires_grad} | parameters_of(f)


def backward(
    outputs: Outputs, variables: Mapping[str, Tensor], arriving: Sequence[Any], create_graph: bool = False
) -> dict[str, HostArray]:
    """Gradients of <outputs, arriving>, zeros where nothing depends on a variable; the graph is kept."""
    ys = tracked(outputs)
    grads: Sequence[Any] = [None] * len(variables)
    if ys and variables:
        grads = grad(ys, list(variables.values()), arriving, create_graph, retain_graph=True, allow_unused=True)
    pairs = zip(variables.items(), grads, strict=True)
    return {name: np.zeros(t.shape, str(t.dtype)) if g is None else np.array(g.numpy()) for (name, t), g in pairs}


def evaluate(
    f: Any, xs: Sequence[Any], seed: int = 0, arriving: Sequence[Any] | None = None, create_graph: bool = False
) -> Result:
    """Call a subject and take the gradients; what that changes stays changed."""
    inputs = leaves(xs)
    outputs = forward(f, inputs)
    arriving = arrivals(outputs, seed) if arriving is None else arriving
    gradients = backward(outputs, variables_of(f, inputs), arriving, create_graph)
    return Result(tuple(np.array(y.numpy()) for y in outputs), gradients, tuple(arriving))


def run(
    f: Any, xs: Sequence[Any], seed: int = 0, arriving: Sequence[Any] | None = None, create_graph: bool = False
) -> Result:
    """`evaluate` with a freshly seeded generator, leaving nothing behind."""
    with untouched(f, seed):
        return evaluate(f, xs, seed, arriving, create_graph)


# -- verdicts ----------------------------------------------------------------------------------------------------------


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

    Attributes:
        kind: the error that the check raises.
        subject: what the user gave: a function, an op, a layer or a factory.
        xs: the inputs on the host.
        seed: where random numbers come from.
        options: the check's other arguments.
        layer: what a factory made.
    """

    kind: type[CheckFailed]
    subject: Any
    xs: list[HostArray]
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    layer: Module | None = None

    def __post_init__(self) -> None:
        self._start = Snapshot(self.f)

    @property
    def f(self) -> Any:
        """What is called."""
        return self.subject if self.layer is None else self.layer

    @property
    def names(self) -> list[str]:
        """The inputs' names."""
        return input_names(self.f, len(self.xs))

    def error(self, kind: type[CheckFailed], headline: str, **facts: Any) -> CheckFailed:
        """An error with what every message shows; its program starts from the state that the check started from."""
        self._start.restore()
        what = "layer" if isinstance(self.f, Module) else "op" if isinstance(self.f, Op) else "function"
        geometry = ", ".join(f"{n} {x.shape} {x.dtype}" for n, x in zip(self.names, self.xs, strict=True))
        made = program(self.kind.check, self.subject, self.xs, **self.options, rng=self.seed)
        return kind(headline, made, **{what: name_of(self.f), "inputs": geometry}, **facts, seed=self.seed)

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
            BadSubject: the call raises, or gives NaN or infinity.
        """
        try:
            result = run(self.f, self.xs, self.seed)
        except CheckFailed:
            raise
        except Exception as error:
            raise self.error(BadSubject, f"{name_of(self.f)} raises {spoken(error)}") from error
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
