"""The backward pass as a table: what arrives at each op, by which formula it goes on, and where gradients add up."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import shorten, wrap
from typing import Any

from minigan.autodiff import Tensor
from minigan.nn import Module
from minigan.study import formula
from minigan.study.record import Record, Row, Sent, Size, caller_names, record

WIDTH = 100  # of the text, in characters
SHOWN = 400  # ops; of a longer pass the first and the last


def explain(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor] | None = None,
    gradient: Any = None,
    names: Mapping[str, Module | Tensor] | None = None,
) -> Explanation:
    """Where every gradient behind `output` comes from: the ops in the order of the backward walk.

    Nothing is freed and no ``grad`` is changed, so that a backward pass may follow.

    Args:
        output: a scalar, such as a loss; or any tensor, with `gradient`.
        inputs: the tensors whose gradients are wanted, so that nothing else is computed; all leaves without it.
        gradient: what arrives at `output`, of its shape; 1 for a scalar.
        names: modules and tensors by the names that they are to be shown under; the caller's variables without it.

    Returns:
        An `Explanation`: ``print`` shows it as text, a notebook as a table with typeset formulas.

    Raises:
        TypeError: `output` is not a Tensor.
        MissingGradient: no gradient can flow from `output`; the message says why.
        FreedGraph: an earlier pass freed what this one needs.
        ShapeError: `output` is not a scalar, and no gradient for it was given.

    >>> x = mg.tensor([0.0, 1.0], requires_grad=True)
    >>> table = str(mg.study.explain(x.tanh().sum()))
    >>> [line.strip() for line in table.splitlines() if "∂L/∂x" in line]
    ['∂L/∂x = broadcast(∂L/∂y)', '∂L/∂x = ∂L/∂y · (1 − y²)']
    """
    return Explanation(record(output, inputs, gradient, caller_names(2) if names is None else names, "explain"))


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; ``str`` of it is a table in text.

    Attributes:
        record: the same as data.
    """

    record: Record

    def __str__(self) -> str:
        found, last = self.record, len(self.record.rows)
        lines = [headline(found), "", _line("#", "op, then its inputs", "shape", "norm", "mean", "largest")]
        source = ""
        for i, row in shown(found):
            lines += self._row(i, row, source) if row else [f"     ({i:,} ops more; .json() has them all)"]
            source = row.source if row else ""
        resting = [(i, leaf) for i, leaf in enumerate(found.leaves, last) if leaf.total]
        if resting:
            lines += ["", "At rest"]
        for i, leaf in resting:
            lines += [_line("", leaf.name, *_cells(leaf.total)), *self._sum(i)]
        if idle := idle_leaves(found):
            lines += ["", *wrap(f"Not asked for: {', '.join(idle)}", WIDTH, subsequent_indent="  ")]
        return "\n".join(line.rstrip() for line in lines)

    def _row(self, i: int, row: Row, above: str) -> Iterator[str]:
        if not row.computed:
            yield _line(i, f"{row.op}  {row.module}", "not computed")
            return
        title = f"{row.op}  {row.module}"
        for y, size in arrivals(row):
            yield _line(i, title if title else f"  {y}", *_cells(size), f"{Path(row.file).name}:{row.line}")
            if title and row.source != above:
                yield f"     {row.source}"[:WIDTH]
            title = ""
            if message := self.record.message(i, y):
                yield "     ∂L/∂X: all that {} tells {}".format(*message)
            yield from self._sum(i, y)
        for s in row.sent:
            yield _line(
                "",
                f"→ {s.input}",
                *_cells(s.size, shorten(s.why, WIDTH - 32, placeholder=" …")),
                whereto(self.record, s),
            )
            for part in formulas(row, s):
                yield from wrap(formula.text(part), WIDTH, initial_indent=" " * 5, subsequent_indent=" " * 9)

    def _sum(self, to: int, output: str = "") -> list[str]:
        terms = " + ".join(f"{who} ({number(size.norm)})" for who, size in addends(self.record, to, output))
        return wrap(f"= {terms}", WIDTH, initial_indent=" " * 5, subsequent_indent=" " * 9) if terms else []

    def json(self) -> str:
        """The same as JSON: `Record`'s fields, every formula also as text, numbers that are not finite as strings.

        >>> import json
        >>> x = mg.tensor([0.0, 1.0], requires_grad=True)
        >>> [row["op"] for row in json.loads(mg.study.explain(x.tanh().sum()).json())["rows"]]
        ['sum', 'tanh']
        """
        return json.dumps(_plain(asdict(self.record)), indent=2, ensure_ascii=False)

    def html(self) -> str:
        """The same as one self-contained page, with typeset formulas.

        >>> x = mg.tensor([0.0, 1.0], requires_grad=True)
        >>> mg.study.explain(x.tanh().sum()).html().splitlines()[0]
        '<!DOCTYPE html>'
        """
        from minigan.study.explain_page import page

        return page(self.record)

    def _repr_html_(self) -> str:
        from minigan.study.explain_page import fragment

        return fragment(self.record)


def headline(found: Record) -> str:
    """What was differentiated, in one line."""
    value = "" if found.value is None else f"L = {number(found.value)}, "
    return f"{value}{'back' if value else 'Back'} through {len(found.rows):,} op{'s' * (len(found.rows) != 1)}"


def shown(found: Record) -> Iterator[tuple[int, Row | None]]:
    """The rows with their numbers; between the first and the last of a long pass, how many are left out, and None."""
    last = len(found.rows)
    left_out = range(SHOWN // 2, last - SHOWN // 2)
    for i, row in enumerate(found.rows):
        if i not in left_out:
            yield i, row
        elif i == left_out[0]:
            yield len(left_out), None


def arrivals(row: Row) -> list[tuple[str, Size]]:
    """The results of a row that a gradient came to."""
    return [(y, size) for y, size in row.arrives.items() if size is not None]


def formulas(row: Row, sent: Sent) -> list[str]:
    """What a rule computes for one input, in LaTeX: its own formula, and those that this one leans on."""
    name = sent.input.partition("[")[0]
    latex = next((latex for inputs, latex in row.rules if name in inputs), "") if sent.size else ""
    found = {formula.text(part.partition("=")[0]): part for part in formula.parts(latex)} if latex else {}
    own = found.get(f"∂L/∂{name}")
    if own is None:  # written in another way
        return list(found.values())
    terms = re.findall(r"\w+", formula.text(own))
    return [own, *(part for left, part in found.items() if left in terms)]


def whereto(found: Record, sent: Sent) -> str:
    """Where a gradient goes, in words."""
    if sent.size is None or sent.to is None:
        return ""
    rest = sent.to - len(found.rows)
    name = found.leaves[rest].name if rest >= 0 else str(sent.to)
    return f"to {name}" + ", summed to its shape" * sent.summed


def addends(found: Record, to: int, output: str = "") -> list[tuple[str, Size]]:
    """What adds up at a row's result or at a leaf: who sent it, and how much; empty where one gradient came alone."""
    sent = found.contributions(to, output)
    return [(f"{found.rows[i].op} {i}, {s.input}", s.size) for i, s in sent if s.size] if len(sent) > 1 else []


def idle_leaves(found: Record) -> list[str]:
    """Names of the leaves whose gradients nobody asked for."""
    return [leaf.name for leaf in found.leaves if leaf.total is None]


def _cells(size: Size | None, why: str = "") -> tuple[str, ...]:
    return (why,) if size is None else (str(size.shape), *map(number, (size.norm, size.mean, size.largest)))


def number(value: float | None) -> str:
    """Four digits of it."""
    return "" if value is None else f"{value + 0.0:.4g}"  # and no sign before a zero


def _line(number: Any, what: str, *cells: str) -> str:
    """Its cells are shape, norm, mean, largest and a note, as many as there are."""
    shape, norm, mean, largest, note = (*cells, *[""] * (5 - len(cells)))
    return f"{number!s:>4} {what:<26} {shape:<17} {norm:>10} {mean:>10} {largest:>10}  {note}"


def _plain(value: Any) -> Any:
    """For JSON: no NaN, and formulas with their text."""
    if isinstance(value, dict):
        return {k: _rules(v) if k == "rules" else _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _rules(rules: Any) -> list[dict[str, Any]]:
    return [
        {"inputs": inputs, "latex": latex, "text": [formula.text(part) for part in formula.parts(latex)]}
        for inputs, latex in rules
    ]
