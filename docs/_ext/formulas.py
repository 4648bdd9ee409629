"""Formulas as MathML, made when the pages are built: no script, no font and no network when they are read."""

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx


def mathml(latex: str, display: str) -> str:
    """MathML of a formula, with a name of several letters as one word and a space between a function and what it is of."""
    word = lambda style: lambda m: rf"\{style}{{{m[1]}}}".replace(r"\_", "_")
    latex = re.sub(r"\\mathit\{([^}]*)\}", word("textit"), latex)
    latex = re.sub(r"\\operatorname\{([^}]*)\}", word("text"), latex)
    latex = re.sub(r"(\\text\{\w+\}(?:_\{\w+\})?|\\(?:log|exp|sin|cos)\b) *(?=[\\\[\w])", r"\1\\,", latex)
    return convert(latex, display=display)


def inline(self: Any, node: nodes.math) -> None:
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
