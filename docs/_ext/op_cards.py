"""A card for every op: what it computes, its gradient, the rule's source, numbers beside differences, the tests that prove it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Sequence
from textwrap import indent
from types import FunctionType
from typing import Any

import numpy as np
from docutils import nodes
from docutils.statemachine import StringList
from minigan_names import MARKED, marked
from proofs import proofs
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from worked import Worked, work

import minigan as mg
from minigan.autodiff.protocol import Op


class Card(SphinxDirective):
    """``{op} tanh([-1.0, 0.5])`` with the reason why its gradient is what it is: the rest of the page is made of the code."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        worked = work(self.arguments[0])
        if not worked.agrees:
            raise self.error(f"{worked.name}: the rule and differences disagree in {self.arguments[0]}")
        name, function = worked.name, inspect.unwrap(getattr(mg.ops, worked.name))
        self.env.note_dependency(inspect.getsourcefile(getattr(function, "kernel", function)))
        return [
            *self.parsed(f"```{{eval-rst}}\n.. autofunction:: minigan.ops.{name}\n```", nodes.Element()).children,
            self.section("Why", "\n".join(self.content)),
            self.section("The rule", rule(function, worked)),
            self.section("With numbers", numbers(self.arguments[0], worked)),
            self.section("What proves it", "\n".join(f"- {said}: `{test}`" for said, test in proofs()[name])),
        ]

    def section(self, title: str, text: str) -> nodes.Element:
        section = nodes.section("", nodes.title(title, title), names=[nodes.fully_normalize_name(title)])
        self.state.document.note_implicit_target(section, section)
        return self.parsed(text, section)

    def parsed(self, text: str, into: nodes.Element) -> nodes.Element:
        self.state.nested_parse(StringList(text.splitlines(), self.env.docname), self.content_offset, into)
        return into


class Link(SphinxDirective):
    """``card:: tanh``: a link to the op's card, with the first line of what it says."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        function = getattr(mg.ops, name)
        summary, own = inspect.getdoc(function).partition("\n\n")[0], set(inspect.signature(function).parameters)
        said = "".join(marked(part, own) for part in MARKED.split(summary))
        return self.parse_text_to_nodes(f":py:func:`~minigan.ops.{name}` {said}")


def rule(function: Any, worked: Worked) -> str:
    """The source of the rules with their helpers; of a function made of ops, which those are."""
    module = inspect.getmodule(getattr(function, "kernel", function)).__name__
    place = f"From `{module.replace('.', '/')}.py`"
    if not isinstance(function, Op):
        links = ", ".join(f"{{py:func}}`~minigan.ops.{name}`" for name in worked.used)
        return f"It has none of its own: the gradient comes back through {links}. {place}:\n\n{code(source(function))}"
    if not function.rules:
        return "None: it is a constant as far as gradients go, and nothing comes back to its inputs."
    functions = [r.function for r in function.rules]
    return f"{place}:\n\n" + code("\n\n".join(map(source, [*helpers(functions), *functions])))


def code(text: str) -> str:
    return f"```python\n{text}\n```"


def source(function: Any) -> str:
    """Its text, but for a docstring of several lines, as the card begins with one."""
    lines = inspect.getsource(function).splitlines()
    first = ast.parse("\n".join(lines)).body[0].body[0]
    if isinstance(first, ast.Expr) and first.end_lineno > first.lineno:
        del lines[first.lineno - 1 : first.end_lineno]
    return "\n".join(lines).strip()


def helpers(functions: Iterable[FunctionType]) -> list[FunctionType]:
    """Functions of minigan that these call."""
    named = (f.__globals__.get(name) for f in functions for name in f.__code__.co_names)
    return list(dict.fromkeys(v for v in named if isinstance(v, FunctionType) and v.__module__.startswith("minigan")))


def numbers(call: str, worked: Worked) -> str:
    """The example: what goes in and comes out, and each gradient beside differences."""
    rows = [(f"`{name}`", shown(a, 4)) for name, a in [*worked.inputs.items(), *worked.outputs.items()]]
    rows += [(f"$\\partial L/\\partial {latex(y)}$, which arrives", shown(dy, 4)) for y, dy in worked.arriving.items()]
    text = f"In float64, computed when this page was made:\n\n{code('mg.ops.' + broken(call))}\n\n"
    text += table(("", "Value"), rows) + "\n\n"
    if not worked.arriving:
        return text
    rows = [
        (f"$\\partial L/\\partial {latex(x)}$", shown(g, 7), shown(numeric, 7), f"{worked.off(x):.0e}")
        for x, (g, numeric) in worked.gradients.items()
    ]
    return text + table(("", "By the rule", "By central differences", "Off by at most"), rows)


def broken(call: str) -> str:
    """A long call with a line for each argument."""
    tree = ast.parse(call, mode="eval").body
    assert isinstance(tree, ast.Call)
    if len(call) < 60:
        return call
    given = [*map(ast.unparse, tree.args), *(f"{k.arg}={ast.unparse(k.value)}" for k in tree.keywords)]
    return f"{ast.unparse(tree.func)}(\n" + "".join(f"    {argument},\n" for argument in given) + ")"


def latex(name: str) -> str:
    return name if len(name) == 1 else rf"\mathit{{{name.replace('_', chr(92) + '_')}}}"


def shown(a: np.ndarray, digits: int) -> str:
    text = np.array2string(a + 0.0 if a.dtype.kind == "f" else a, precision=digits, suppress_small=True)
    return f"```\n{text}\n```"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown."""

    def lines() -> Iterator[str]:
        for row in (header, *rows):
            for i, cell in enumerate(row):
                yield ("    - " if i else "  * - ") + indent(cell, "      ").lstrip()

    return "::::{list-table}\n:header-rows: 1\n:class: card\n:align: left\n\n" + "\n".join(lines()) + "\n::::"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("op", Card)
    app.add_directive("card", Link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
