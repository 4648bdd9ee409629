"""What a picture of a gradient's flow says in words."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePath
from typing import NamedTuple

from minigan.study.layout import Box, Edge
from minigan.study.record import Record, Size

MISSING = "not computed"
NO_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Caption(NamedTuple):
    """Of a box: its name, the most important thing about it, all that is known, and the outermost module that it is of."""

    name: str
    text: str
    title: str
    owner: str


def caption(record: Record, box: Box) -> Caption:
    """Of an op, a leaf, or what holds many."""
    if box.members:
        return _of_many(record, box)
    if box.kind == "leaf":
        return _of_leaf(record, box)
    row = record.rows[box.number]
    size = next(filter(None, row.arrives.values()), None)
    module = " of ".join(dict.fromkeys((row.layer, row.module))) if row.module else ""
    title = f"{row.op}{module and f', {module}'}\narrives: {facts(size)}\n{PurePath(row.file).name}:{row.line}: {row.source}"
    name = " = ".join([*row.names.values(), row.op])
    return Caption(name, str(size.shape) if size else MISSING, title, _owner(box))


def crossing(edge: Edge) -> Caption:
    """Of the only edge between two modules."""
    text = f"{edge.size.shape} · norm {edge.size.norm:.3g}" if edge.size else MISSING
    return Caption("∂L/∂X", text, f"∂L/∂X: {facts(edge.size)}", "")


def title(record: Record, edge: Edge) -> str:
    """All that is known of an edge."""
    if len(edge.sent) > 1:
        return f"{len(edge.sent):,} gradients; the largest: {facts(edge.size)}"
    sent, source = edge.sent[0], edge.way[0]
    op = f" of {record.rows[source.number].op}" if source.kind == "op" else ""
    return f"∂L/∂{sent.input}{op}: {facts(edge.size)}{', summed to its shape' if sent.summed else ''}"


def facts(size: Size | None) -> str:
    """A gradient in numbers."""
    if size is None:
        return MISSING
    return f"shape {size.shape}, norm {size.norm:.4g}, mean {size.mean:.4g}, largest {size.largest:.4g}"


def many(count: int, what: str) -> str:
    """A number with its noun."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def plain(text: str) -> str:
    """A text without the characters that neither a page nor a file can hold."""
    return NO_XML.sub("�", text)


def _of_leaf(record: Record, box: Box) -> Caption:
    leaf = record.leaves[box.number - len(record.rows)]
    name = leaf.name.removeprefix(".".join(box.path) + ".")
    text = f"norm {leaf.total.norm:.3g}" if leaf.total else MISSING
    kind, owner = ("parameter", leaf.name.partition(".")[0]) if leaf.parameter else ("variable", "")
    return Caption(name, text, f"{leaf.name}, a {kind}\n{facts(leaf.total)}", owner)


def _of_many(record: Record, box: Box) -> Caption:
    rows, inside = record.rows, list(box.inside())
    ops = Counter(rows[b.number].op for b in inside if b.kind == "op")
    counts = ", ".join(f"{op} ×{n:,}" for op, n in ops.most_common())
    if box.kind == "run":
        name = many(ops.total(), "more op") if ops else f"{len(inside):,} more leaves"
        text = counts
    else:
        layer = next((rows[b.number].layer for b in box.members if b.kind == "op"), "")
        name, text = " ".join(dict.fromkeys((".".join(box.path), layer))).strip(), many(ops.total(), "op")
    return Caption(name, text, f"{name}\n{many(ops.total(), 'op')}: {counts}", _owner(box))


def _owner(box: Box) -> str:
    return box.path[0] if box.path else ""
