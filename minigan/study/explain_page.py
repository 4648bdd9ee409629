"""`explain` as a page: the same table with typeset formulas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from minigan.study import formula
from minigan.study.explain import addends, arrivals, formulas, headline, idle_leaves, number, shown, whereto
from minigan.study.record import Record, Row, Size

HEAD = ("#", "op, then its inputs", "shape", "norm", "mean", "largest", "to", "formula")
ROOM = files("minigan.study")


def page(found: Record) -> str:
    """The table as a page of its own."""
    return whole(headline(found), fragment(found))


def whole(title: str, body: str) -> str:
    """A page that fetches nothing."""
    template = Template(ROOM.joinpath("explain.html").read_text(encoding="utf-8"))
    return template.substitute(title=escape(title), body=body)


def fragment(found: Record) -> str:
    """The table with its style, for a notebook or a page."""
    style = ROOM.joinpath("explain.css").read_text(encoding="utf-8")
    last = len(found.rows)
    body = [line for i, row in shown(found) for line in (_row(found, i, row) if row else [_wide(f"{i:,} ops more")])]
    resting = [(i, leaf) for i, leaf in enumerate(found.leaves, last) if leaf.total]
    body += ["<tr class=op><td></td><td colspan=7><b>At rest</b></td></tr>"] if resting else []
    for i, leaf in resting:
        body += [_cells("input", "", escape(leaf.name), leaf.total, found), *_sum(found, i)]
    if idle := idle_leaves(found):
        body.append(_wide(f"Not asked for: {', '.join(idle)}"))
    head = "".join(f"<th{_number(h)}>{h}</th>" for h in HEAD)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f"<style>{style}</style><div class=explain><h2>{escape(headline(found))}</h2><div class=table>{table}</div></div>"


def _row(found: Record, i: int, row: Row) -> Iterator[str]:
    where = f'<code title="{escape(row.file)}:{row.line}">{escape(row.source or Path(row.file).name)}</code>'
    title = f"<b>{escape(row.op)}</b> {escape(row.module)}"
    if not row.computed:
        yield f"<tr class=op><td class=number>{i}</td><td>{title}</td><td colspan=6 class=quiet>not computed</td></tr>"
        return
    for y, size in arrivals(row):
        yield _cells("op", i if title else "", title or escape(y), size, found, where if title else "")
        title = ""
        if message := found.message(i, y):
            yield _wide("∂L/∂X: all that {} tells {}".format(*message), "message")
        yield from _sum(found, i, y)
    for s in row.sent:
        typeset = "<br>".join(map(_typeset, formulas(row, s)))
        yield _cells("input", "", f"→ {escape(s.input)}", s.size, found, typeset, escape(whereto(found, s)), s.why)


def _sum(found: Record, to: int, output: str = "") -> list[str]:
    terms = " + ".join(f"{who} ({number(size.norm)})" for who, size in addends(found, to, output))
    return [_wide(f"= {terms}")] if terms else []


def _cells(
    kind: str, i: int | str, what: str, size: Size | None, found: Record, note: str = "", to: str = "", why: str = ""
) -> str:
    if size is None:
        cells = f"<td colspan=6 class=quiet>{escape(why)}</td>"
    else:
        share = f' style="--share: {_share(size.norm, found):.0f}%"'
        cells = f"<td class=shape>{size.shape}</td><td class='number norm'{share}>{number(size.norm)}</td>"
        cells += "".join(f"<td class=number>{number(value)}</td>" for value in (size.mean, size.largest))
        cells += f"<td>{to}</td><td class=wide>{note}</td>"
    return f"<tr class={kind}><td class=number>{i}</td><td>{what}</td>{cells}</tr>"


def _share(norm: float, found: Record) -> float:
    """The length of a norm's bar in percent: by its logarithm, from a millionth of the largest."""
    if not 0 < norm < math.inf or not found.largest:
        return 0.0
    return min(100.0, max(2.0, 100 + 100 / 6 * math.log10(norm / found.largest)))


def _wide(text: str, kind: str = "quiet") -> str:
    return f"<tr class={kind}><td></td><td colspan=7>{escape(text)}</td></tr>"


def _number(head: str) -> str:
    return " class=number" if head in ("norm", "mean", "largest") else ""


@cache
def _typeset(latex: str) -> str:
    return formula.mathml(latex)
