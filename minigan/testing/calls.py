"""A subject called, with its gradients: what all checks share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minigan.autodiff import Op, Tensor, grad, tensor
from minigan.autodiff.graph import reachable
from minigan.autodiff.trace import recording
from minigan.backends import HostArray, by_type
from minigan.nn.module import Module
from minigan.testing.failures import BadSubject
from minigan.testing.seal import module_of, parameters_of, untouched

Outputs = tuple[Tensor, ...]


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


def described(names: Iterable[str], values: Iterable[Any]) -> str:
    """``x (2, 3) float32, n 2``."""

    def each(name: str, x: Any) -> str:
        if isinstance(x, tuple):
            return described([f"{name}[{i}]" for i in range(len(x))], x)
        x = on_host(x)
        return f"{name} {x.shape} {x.dtype}" if isinstance(x, np.ndarray) else f"{name} {x!r}"

    return ", ".join(map(each, names, values))


# -- calls -------------------------------------------------------------------------------------------------------------


def leaf(x: Any, wanted: bool = True) -> Any:
    """A fresh Tensor of a host array, with a gradient if it is of floats and wanted; of each in a tuple; others stay."""
    if isinstance(x, tuple):
        return tuple(leaf(a, wanted) for a in x)
    return tensor(x, requires_grad=wanted and is_floats(x)) if isinstance(x, np.ndarray) else x


def leaves(xs: Iterable[Any]) -> list[Any]:
    """Fresh Tensors of host arrays; Tensors and numbers stay."""
    return [leaf(x) for x in xs]


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


@dataclass(frozen=True)
class Result:
    """One call with its gradients on the host, to be compared with others; a `Run` can still be walked.

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


def variables_of(f: Any, xs: Sequence[Any]) -> dict[str, Tensor]:
    """What gradients are wanted of, by name: leaves among the inputs, once each, and parameters."""
    found: dict[str, Tensor] = {}
    for name, x in zip(input_names(f, len(xs)), xs, strict=True):
        if isinstance(x, Tensor) and x.is_leaf and x.requires_grad and all(x is not t for t in found.values()):
            found[name] = x
    return found | parameters_of(f)


def called(f: Any, inputs: Sequence[Any]) -> Run:
    """Call a subject with inputs as they are."""
    outputs = list(forward(f, inputs))
    return Run(variables_of(f, inputs), list(inputs), outputs)


def arrivals(run: Run, seed: int) -> list[HostArray]:
    """Gradients from N(0, 1) for the outputs of floats."""
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(y.shape), str(y.dtype)) for y in run.floats]


def evaluate(
    f: Any, xs: Sequence[Any], seed: int = 0, arriving: Sequence[Any] | None = None, create_graph: bool = False
) -> Result:
    """Call a subject and take the gradients; what that changes stays changed."""
    run = called(f, leaves(xs))
    arriving = arrivals(run, seed) if arriving is None else arriving
    found, variables = run.pull(arriving, create_graph), run.variables
    gradients = {n: np.zeros(variables[n].shape, str(variables[n].dtype)) if g is None else g for n, g in found.items()}
    return Result(tuple(np.array(y.numpy()) for y in run.outputs), gradients, tuple(arriving))


def run(
    f: Any, xs: Sequence[Any], seed: int = 0, arriving: Sequence[Any] | None = None, create_graph: bool = False
) -> Result:
    """`evaluate` with a freshly seeded generator, leaving nothing behind."""
    with untouched(f, seed):
        return evaluate(f, xs, seed, arriving, create_graph)
