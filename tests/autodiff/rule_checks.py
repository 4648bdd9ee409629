"""What a rule may do, read from its syntax tree, and what its formula may say, read from its LaTeX."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from minigan.autodiff.registry import OPS

# -- purity ----------------------------------------------------------------------------------------------------------

FORBIDDEN_NAMES = {"type", "hasattr", "getattr", "setattr", "delattr", "vars", "eval", "exec", "globals", "locals"}
FORBIDDEN_ATTRIBUTES = {
    "data",
    "numpy",
    "item",
    "grad",
    "detach",
    "assign_",
    "fill",
    "put",
    "sort",
    "flags",
    "base",
    "at",
}
PLAIN = {"int", "tuple", "list", "str", "bool"}  # settings; never what tells an array from a Tensor


def helpers(function: FunctionType) -> list[FunctionType]:
    """The function and every function of minigan that it calls by name, and they call."""
    found, stack = [], [function]
    while stack:
        f = stack.pop()
        if f not in found:
            found.append(f)
            called = (node.func.id for node in calls(f) if isinstance(node.func, ast.Name))
            values = (f.__globals__.get(name) for name in called)
            stack += [
                v for v in values if isinstance(v, FunctionType) and v.__module__.startswith((f.__module__, "minigan"))
            ]
    return found


def tree(function: Callable[..., Any]) -> ast.AST:
    """The function's body, without its decorators."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef)
    return ast.Module(definition.body, [])


def calls(function: Callable[..., Any]) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree(function)) if isinstance(node, ast.Call))


def purity_faults(function: FunctionType) -> list[str]:
    """What a rule and its helpers do that only a branch on types, or a write in place, could need."""
    return [
        f"{f.__name__} of {f.__module__}: {fault}"
        for f in helpers(function)
        for node in ast.walk(tree(f))
        for fault in _faults(node, plain_settings=f is not function)
    ]


def _faults(node: ast.AST, plain_settings: bool) -> Iterator[str]:
    match node:
        case ast.Import() | ast.ImportFrom():
            yield "imports"
        case ast.AugAssign():
            yield f"writes in place: {ast.unparse(node)}"
        case ast.Global() | ast.Nonlocal():
            yield "keeps state"
        case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
            yield f"writes into {ast.unparse(node)}"
        case ast.Attribute(attr=name) if name in FORBIDDEN_ATTRIBUTES or name.startswith("_"):
            yield f"reads .{name}"
        case ast.Name(id=name) if name in FORBIDDEN_NAMES:
            yield f"uses {name}"
        case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
            names = {n.id for n in ast.walk(kinds) if isinstance(n, ast.Name)}
            if not plain_settings or not names <= PLAIN:
                yield f"branches on types: {ast.unparse(node)}"
        case ast.keyword(arg="out"):
            yield "writes to out="


# -- formulas --------------------------------------------------------------------------------------------------------

NAME = r"(?:\\mathit\{((?:[^{}\\]|\\_)+)\}|([a-zA-Z]))"
TOKENS = [
    ("derivative", rf"\\partial L/\\partial\s*{NAME}"),
    ("function", r"\\operatorname\{((?:[^{}\\]|\\_)+)\}|\\(sin|cos|log|exp|tanh|max|min|sigma)(?![a-zA-Z])"),
    ("symbol", NAME),
    ("subscript", r"_(?:\{[a-z]+\}|[a-z])"),
    ("layout", r"\\(?:tfrac|frac|sqrt|top|lnot|land|lor|le|ge|ne|in|cdot|odot|quad|left|right|[,;:!])(?![a-zA-Z])"),
    ("number", r"\d+(?:\.\d+)?"),
    ("open", r"[(\[{]"),
    ("close", r"[)\]}]"),
    ("equals", r"="),
    ("other", r"[-+*/^<>,;.|]"),
    ("space", r"\s+"),
]
CALLED = {"sigma": "sigmoid"}  # functions under another name than the op's
WORDS = {"sum", "mean", "broadcast", "sigmoid"}  # functions that need not be the op of that name


def tokens(formula: str) -> list[tuple[str, str]]:
    """(kind, name or text) of each token; ValueError at what is not of the subset that rules use."""
    found, at = [], 0
    while at < len(formula):
        for kind, pattern in TOKENS:
            match = re.compile(pattern).match(formula, at)
            if match:
                text = next((g for g in match.groups() if g), match.group())
                found.append((kind, text.replace(r"\_", "_")))
                at = match.end()
                break
        else:
            raise ValueError(f"cannot read {formula[at : at + 20]!r}")
    return [token for token in found if token[0] not in ("space", "subscript")]


def formula_faults(op: Any, rule: Any) -> list[str]:
    """Where a rule and its formula speak of different things."""
    try:
        read = tokens(rule.formula)
    except ValueError as error:
        return [str(error)]
    depth, defined, used = 0, [], set()
    for i, token in enumerate(read):
        depth += {"open": 1, "close": -1}.get(token[0], 0)
        follows = read[i + 1][0] if i + 1 < len(read) else ""
        if token[0] in ("derivative", "symbol") and follows == "equals" and depth == 0:
            defined.append(token)
        else:
            used.add(token)
    parameters, arrays = set(rule.parameters), {*op.inputs, *op.outputs}
    arriving = {y for y in op.outputs if f"d{y}" in parameters}
    names = lambda kind, of: {name for k, name in of if k == kind}
    local = names("symbol", defined)
    symbols, functions = names("symbol", used), names("function", used)
    own = {node.func.attr for f in helpers(rule.function) for node in calls(f) if isinstance(node.func, ast.Attribute)}
    complaints = {
        "brackets do not match": {"("} if depth else set(),
        "derivatives of other inputs": names("derivative", defined) ^ set(rule.inputs),
        "defined twice": {name for (_, name), n in Counter(defined).items() if n > 1},
        "gradients that do not arrive": names("derivative", used) - arriving,
        "arriving gradients left out": arriving - names("derivative", used),
        "symbols that are no parameter": symbols - local - parameters - {"n"},
        "symbols defined for nothing": local - symbols,
        "parameters defined anew": local & parameters,
        "arrays left out": (parameters & arrays) - symbols,
        "functions that are no op": {f for f in functions if CALLED.get(f, f) not in OPS} - WORDS,
        "ops that the rule does not call": {
            f for f in functions if CALLED.get(f, f) in OPS and CALLED.get(f, f) not in own
        }
        - WORDS,
    }
    return [f"{what}: {', '.join(sorted(names))}" for what, names in complaints.items() if names]
