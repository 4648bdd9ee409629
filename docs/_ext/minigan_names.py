"""How minigan's names come into the reference: an op with its gradients, and links by the names that docstrings use."""

import inspect
import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from minigan.autodiff.protocol import Op

MARKED = re.compile(r"(``.+?``|:[\w:]+:`.+?`|`.+?`|(?<!\S)\*\w+\*(?!\S))")
SLASHED = re.compile(r"\\partial L\s*/\s*\\partial (\\\w+\{.+?\}|\w)")  # a derivative in one line


def document(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with names in backquotes; an op's ends with its rules."""
    try:
        own = {*inspect.signature(obj).parameters, *getattr(obj, "outputs", ())}
    except (TypeError, ValueError):
        own = set()
    example = False
    for i, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if not example:
            lines[i] = "".join(marked(part, own) for part in MARKED.split(line))
    op = inspect.unwrap(obj) if callable(obj) else obj
    for rule in op.rules if isinstance(op, Op) else ():
        for formula in re.split(r"[;,]\\;\s*", rule.formula):
            lines += ["", ".. math::", "", "   " + SLASHED.sub(r"\\frac{\\partial L}{\\partial \1}", formula), ""]


def colons(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Hide an attribute's colons from napoleon, which takes what stands before the first for a type; or show them again."""
    if what == "attribute":
        swap = (":", "\N{RATIO}") if "\N{RATIO}" not in "".join(lines) else ("\N{RATIO}", ":")
        lines[:] = [line.replace(*swap) for line in lines]


def marked(part: str, own: set[str]) -> str:
    """A part of a docstring's line in reStructuredText: stars and bars are arithmetic, and a name of its own is no link."""
    if not MARKED.fullmatch(part):
        return re.sub(r"([*|])", r"\\\1", part)
    name = part.strip("`")
    is_code = part.startswith("`") and (name in own or not re.fullmatch(r"[\w.]+", name))
    return f"``{name}``" if is_code else part


def link(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> nodes.reference | None:
    """A name alone, such as `Tensor`, leads to the one name in the reference that ends with it."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].removeprefix("mg.").removeprefix("minigan.")
    domain = env.domains.python_domain
    found = [full for full in domain.objects if full == f"minigan.{target}" or full.endswith(f".{target}")]
    shortest = min((len(full.split(".")) for full in found), default=0)
    found = [full for full in found if len(full.split(".")) == shortest]
    if len(found) != 1:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found[0], node, content)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", document, priority=400)  # napoleon has 500
    app.connect("autodoc-process-docstring", colons, priority=450)
    app.connect("autodoc-process-docstring", colons, priority=550)
    app.connect("missing-reference", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
