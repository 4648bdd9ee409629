"""What a check says when a property does not hold: one error class a check, and a program that fails in the same way."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from minigan.autodiff import Op, Tensor
from minigan.nn.module import Module, Sequential

LITERAL = 64  # arrays up to so many elements are written out in a repro; larger ones as bytes
STATE = 4096  # a layer's parameters and buffers up to so many numbers are written out in a repro


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

    def __init__(self, headline: str, repro: str = "", *, check: str = "check_layer", **facts: Any) -> None:
        self.check = check
        super().__init__(headline, repro, **facts)


class OnKink(BadSubject):
    """The inputs lie where differences say nothing: on a kink, a jump or an edge."""


class UnexpectedPass(CheckFailed):
    """A check that was expected to fail, and did not."""

    check = "check_layer"


# -- programs ----------------------------------------------------------------------------------------------------------


def program(
    check: str, subject: Any, arrays: Sequence[Any], seed: int | None = None, make: str = "", **options: Any
) -> str:
    """A file that runs a check on a subject and arrays, as far as the subject can be written down.

    Args:
        check: the check's name in `minigan.testing`.
        subject: a function, an op, a factory or a layer.
        arrays: host arrays; strided and read-only ones come back as they were.
        seed: of minigan's generator before the subject is made or called.
        make: what follows a factory's name to make the layer that is checked, such as ``().eval()``.
        options: the check's keyword arguments; None and the usual ``rng=0`` are left out.
    """
    imports = {"import numpy as np", "import minigan as mg", f"from minigan.testing import {check}"}
    definition, name = written(subject, imports)
    lines = [*sorted(imports, key=lambda line: (line.startswith("from"), line)), "", *definition]
    lines += [f"mg.seed({seed})"] if seed is not None else []
    if make:
        lines, name = [*lines, f"layer = {name}{make}"], "layer"
    lines += [f"x{i} = {literal(a)}" for i, a in enumerate(arrays)]
    given = {k: v for k, v in options.items() if v is not None and (k, v) != ("rng", 0)}
    arguments = [name, *(f"x{i}" for i in range(len(arrays))), *(f"{k}={v!r}" for k, v in given.items())]
    return "\n".join([*lines, f"{check}({', '.join(arguments)})", ""])


def written(subject: Any, imports: set[str]) -> tuple[list[str], str]:
    """Lines that define a subject, and an expression for it; what it needs is added to `imports`."""
    if isinstance(subject, functools.partial):
        lines, name = written(subject.func, imports)
        imports.add("from functools import partial")
        rest = [name, *map(repr, subject.args), *(f"{k}={v!r}" for k, v in subject.keywords.items())]
        return lines, f"partial({', '.join(rest)})"
    if isinstance(subject, Module):
        return _layer(subject, imports)
    if isinstance(subject, Op) and subject.own:
        return [], f"mg.ops.{subject.name}"
    name = getattr(subject, "__qualname__", "")
    if str(getattr(subject, "__module__", None)).startswith("minigan.nn") and name:
        return [], f"mg.nn.{name}"
    return ([], name) if (name := _imported(subject, imports)) else _source(subject, imports)


def _imported(value: Any, imports: set[str]) -> str:
    """The name of something that its module has under its own name, or ""."""
    module = str(getattr(value, "__module__", None))
    name = str(value.name if isinstance(value, Op) else getattr(value, "__qualname__", ""))
    found = functools.reduce(lambda o, n: getattr(o, n, None), name.split("."), sys.modules.get(module))
    if not name or found is not value or module == "__main__":
        return ""
    if module != "builtins":
        imports.add(f"from {module} import {name.split('.')[0]}")
    return name


def _layer(layer: Module, imports: set[str]) -> tuple[list[str], str]:
    """A layer as the call that its repr shows, and what it has learnt."""

    def made(m: Module) -> str:
        cls = (
            "mg.nn." + type(m).__name__ if type(m).__module__.startswith("minigan.nn") else _imported(type(m), imports)
        )
        children = [child for _, child in m.children()]
        if type(m) is Sequential:
            return f"{cls}({', '.join(map(made, children))})"
        needed = [p for p in inspect.signature(type(m)).parameters.values() if p.default is p.empty]
        if children or not cls or (needed and not m.settings()):
            raise LookupError
        return f"{cls}({m.settings()})"

    try:
        lines = [f"f = {made(layer)}"]
    except LookupError:
        return _placeholder(repr(layer)), "f"
    state = layer.state_dict()
    if sum(a.size for a in state.values()) <= STATE:
        lines += (
            [f"f.load_state_dict({{{', '.join(f'{k!r}: {literal(a)}' for k, a in state.items())}}})"] if state else []
        )
    if not layer.training:
        lines.append("f.eval()")
    return lines, "f"


def _source(subject: Any, imports: set[str]) -> tuple[list[str], str]:
    """A local function or op by its own source, where it has one and all that it names can be had."""
    name = "f" if (lambda_ := getattr(subject, "__name__", "") == "<lambda>") else getattr(subject, "__name__", "")
    parts = [subject.kernel, *(r.function for r in subject.rules)] if isinstance(subject, Op) else [subject]
    try:
        source = "\n".join(textwrap.dedent(inspect.getsource(part)).rstrip() for part in parts)
        source = f"f = {_lambda(source)}" if lambda_ else source
        return [*_surroundings(source, inspect.unwrap(parts[0]).__globals__, imports), *source.split("\n"), ""], name
    except (OSError, TypeError, SyntaxError, ValueError, LookupError, AttributeError):
        return _placeholder(repr(subject)), "f"


def _lambda(source: str) -> str:
    """The one lambda in some lines of code, which may be part of a statement."""
    start, *others = (found.start() for found in re.finditer(r"\blambda\b", source))
    for end in range(len(source), start, -1):
        with suppress(SyntaxError):
            if not others and isinstance(ast.parse(f"({source[start:end]}\n)", mode="eval").body, ast.Lambda):
                return source[start:end]
    raise LookupError("lambda")


def _surroundings(source: str, names: Mapping[str, Any], imports: set[str]) -> list[str]:
    """Lines that define what a source names of its module; LookupError if some of it cannot be written."""
    nodes = list(ast.walk(ast.parse(source)))
    own = {n.arg for n in nodes if isinstance(n, ast.arg)} | {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
    own |= {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    lines = []
    for name in sorted({n.id for n in nodes if isinstance(n, ast.Name)} - own - set(dir(builtins))):
        value = names[name]
        if inspect.ismodule(value):
            imports.add(f"import {value.__name__}" + (f" as {name}" if value.__name__ != name else ""))
        elif isinstance(value, (bool, int, float, str)):
            lines.append(f"{name} = {value!r}")
        elif _imported(value, imports) != name:
            raise LookupError(name)
    return lines


def _placeholder(shown: str) -> list[str]:
    return [
        "# put here the function under test, which stands where it cannot be imported from:",
        textwrap.indent(shown, "#   "),
        "f = ...",
        "",
    ]


def literal(array: Any) -> str:
    """An expression that makes an equal host array, in the same memory layout as far as strides tell."""
    if array is None or isinstance(array, (bool, int, float)):
        return repr(array)
    if isinstance(array, tuple):
        return f"({', '.join(map(literal, array))},)"
    a = array.numpy() if isinstance(array, Tensor) else np.asarray(array)
    if a.size <= LITERAL and np.isfinite(a).all():
        made = f"np.array({a.tolist()!r}, np.{a.dtype.name})" + (f".reshape({a.shape})" if a.size == 0 else "")
    else:
        values = np.ascontiguousarray(a)
        made = f"np.frombuffer(bytes.fromhex({values.tobytes().hex()!r}), np.{a.dtype.name}).reshape({a.shape}).copy()"
    if a.ndim > 1 and a.size and a.flags.f_contiguous and not a.flags.c_contiguous:
        made = f"np.asfortranarray({made})"
    return made
