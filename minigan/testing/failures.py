"""What a check says when a property does not hold: one error class a check, and a program that fails in the same way."""

from __future__ import annotations

import functools
import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigan.autodiff import Op, Tensor

LITERAL = 64  # arrays up to so many elements are written out in a repro; larger ones as bytes


class CheckFailed(AssertionError):
    """A property that does not hold.

    Args:
        headline: what is wrong, in one sentence.
        repro: a program that fails in the same way.
        facts: what a reader needs to see first, in this order.

    Attributes:
        repro: the program, to be pasted into a file and run.
    """

    def __init__(self, headline: str, repro: str = "", **facts: Any) -> None:
        self.headline, self.repro, self.facts = headline, repro, facts
        width = max(map(len, facts), default=0)
        lines = [f"{self.check}: {headline}", *(f"  {k.replace('_', ' '):{width}}  {v}" for k, v in facts.items())]
        if repro:
            lines += ["  repro:", textwrap.indent(repro.rstrip(), "    ")]
        super().__init__("\n".join(lines))

    check = "check"


class GradientWrong(CheckFailed):
    """An analytic gradient differs from the numeric one."""

    check = "check_grads"


class AdjointWrong(CheckFailed):
    """⟨A x, y⟩ is not ⟨x, Aᵀ y⟩."""

    check = "check_adjoint"


class NotLinear(CheckFailed):
    """f(a x + b y) is not a f(x) + b f(y)."""

    check = "check_linear"


class ShapeWrong(CheckFailed):
    """An output or a gradient has another shape than it should."""

    check = "check_shape_inference"


class DTypeWrong(CheckFailed):
    """A dtype comes out as another."""

    check = "check_dtype"


class LayoutMatters(CheckFailed):
    """The result depends on how the memory is laid out."""

    check = "check_layouts"


class InputMutated(CheckFailed):
    """An input or an incoming gradient was written to."""

    check = "check_no_mutation"


class SamplesCoupled(CheckFailed):
    """A sample's result depends on the others of its batch, or on its place there."""

    check = "check_batch_equivariance"


class NotDeterministic(CheckFailed):
    """Two equal calls give different results."""

    check = "check_deterministic"


class ModesMixed(CheckFailed):
    """Training and evaluation are not kept apart."""

    check = "check_train_eval"


class StateLost(CheckFailed):
    """A layer does not come back from its state dict, or shares its state."""

    check = "check_state_dict"


class BackendsDiffer(CheckFailed):
    """Two backends, or two ways to call a rule, give different results."""

    check = "check_backends"


class LawBroken(CheckFailed):
    """A law of the engine does not hold for this function."""

    check = "check_laws"


class BadSubject(CheckFailed):
    """What was given to be checked cannot be: a factory that raises, no layer, NaN, an empty strategy."""

    check = "check_layer"


# -- programs ----------------------------------------------------------------------------------------------------------


def program(check: str, subject: Any, arrays: Sequence[Any], seed: int | None = None, **options: Any) -> str:
    """A file that runs a check on a subject and arrays, as far as the subject can be written down.

    Args:
        check: the check's name in `minigan.testing`.
        subject: a function, an op, a factory or a layer.
        arrays: host arrays; strided and read-only ones come back as they were.
        seed: of minigan's generator before the subject is made or called.
        options: the check's keyword arguments.
    """
    imports = {"import numpy as np", "import minigan as mg", f"from minigan.testing import {check}"}
    definition, name = written(subject, imports)
    lines = [*sorted(imports, key=lambda line: (line.startswith("from"), line)), "", *definition]
    lines += [f"mg.seed({seed})"] if seed is not None else []
    lines += [f"x{i} = {literal(a)}" for i, a in enumerate(arrays)]
    arguments = [name, *(f"x{i}" for i in range(len(arrays))), *(f"{k}={v!r}" for k, v in options.items())]
    return "\n".join([*lines, f"{check}({', '.join(arguments)})", ""])


def written(subject: Any, imports: set[str]) -> tuple[list[str], str]:
    """Lines that define a subject, and an expression for it; what it needs is added to `imports`."""
    if isinstance(subject, functools.partial):
        lines, name = written(subject.func, imports)
        imports.add("from functools import partial")
        rest = [name, *map(repr, subject.args), *(f"{k}={v!r}" for k, v in subject.keywords.items())]
        return lines, f"partial({', '.join(rest)})"
    if isinstance(subject, Op) and subject.own:
        return [], f"mg.ops.{subject.name}"
    module, name = getattr(subject, "__module__", None), getattr(subject, "__qualname__", "")
    if isinstance(subject, Op):
        name = subject.name
    if str(module).startswith("minigan.nn"):
        return [], f"mg.nn.{name}" if name else repr(subject)
    found = functools.reduce(lambda o, n: getattr(o, n, None), name.split("."), sys.modules.get(str(module)))
    if name and found is subject and module != "__main__":
        imports.add(f"from {module} import {name.split('.')[0]}")
        return [], name
    return _source(subject)


def _source(subject: Callable[..., Any]) -> tuple[list[str], str]:
    """A local function by its own source, where it has one and names nothing from around it."""
    try:
        source = textwrap.dedent(inspect.getsource(subject)).rstrip()
    except (OSError, TypeError):
        source = ""
    name = getattr(subject, "__name__", "")
    if source.startswith(f"def {name}(") and not inspect.getclosurevars(subject).nonlocals:
        return [source, ""], name
    shown = textwrap.indent(source or repr(subject), "#   ")
    return [
        "# put here the function under test, which stands where it cannot be imported from:",
        shown,
        "f = ...",
        "",
    ], "f"


def literal(array: Any) -> str:
    """An expression that makes an equal host array, in the same memory layout as far as strides tell."""
    a = array.numpy() if isinstance(array, Tensor) else np.asarray(array)
    if a.size <= LITERAL:
        made = f"np.array({a.tolist()!r}, np.{a.dtype.name})" + (f".reshape({a.shape})" if a.size == 0 else "")
    else:
        values = np.ascontiguousarray(a)
        made = f"np.frombuffer(bytes.fromhex({values.tobytes().hex()!r}), np.{a.dtype.name}).reshape({a.shape}).copy()"
    if a.ndim > 1 and a.size and a.flags.f_contiguous and not a.flags.c_contiguous:
        made = f"np.asfortranarray({made})"
    return made
