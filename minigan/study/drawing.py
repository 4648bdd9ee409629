"""A gradient's flow as inline SVG, which needs nothing beside itself; the page's script moves what it draws."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from itertools import groupby, pairwise

from minigan.study.captions import MISSING, caption, crossing, many, plain, title
from minigan.study.layout import (
    ASIDE,
    GAP,
    HEAD,
    PAD,
    SIZES,
    SPACE,
    Box,
    Edge,
    Layout,
    Place,
    compact,
    parted,
)
from minigan.study.record import Record, Size

LEAST = 344  # the width of a picture
THIN, THICK = 1.4, 7.0  # lines of the smallest norm and of the largest
COLOURS = 6  # of the outermost modules
LETTERS = 7.4, 6.7  # the width that most letters take, in bold and not
SIGN = "M-23 8h10l-5 6z"  # of what folds
FOLDS = ("folds folded", "folds")
HIDDEN = ' display="none"'

STYLE = """
.minigan-graph { --page: #fff; --ink: #1b1f23; --quiet: #5c6670; --flow: #6f8296; --zero: #b25a00; --wild: #d0021b;
  --x: #a3126d; --c: #5c6670; background: var(--page); font: 12px system-ui, sans-serif; }
.minigan-graph .c0 { --c: #1f6f8b; } .minigan-graph .c1 { --c: #c2384b; } .minigan-graph .c2 { --c: #6a4fb3; }
.minigan-graph .c3 { --c: #2c7a3f; } .minigan-graph .c4 { --c: #8a6d00; } .minigan-graph .c5 { --c: #a0458f; }
@media (prefers-color-scheme: dark) {
  .minigan-graph { --page: #15181b; --ink: #e4e7ea; --quiet: #9aa4ad; --flow: #8496a8; --zero: #f0a050; --wild: #ff5c5c;
    --x: #ff85cc; --c: #9aa4ad; }
  .minigan-graph .c0 { --c: #6bbad6; } .minigan-graph .c1 { --c: #f08492; } .minigan-graph .c2 { --c: #b09bf0; }
  .minigan-graph .c3 { --c: #7cc68d; } .minigan-graph .c4 { --c: #d8bb55; } .minigan-graph .c5 { --c: #e29bd4; }
}
.minigan-graph text { fill: var(--ink); stroke: var(--page); stroke-width: 3px; paint-order: stroke; }
.minigan-graph .quiet { fill: var(--quiet); }
.minigan-graph .name { font-weight: 600; }
.minigan-graph rect { fill: var(--page); stroke: var(--c); }
.minigan-graph g text { stroke: none; }
.minigan-graph .folds text { stroke: var(--page); }
.minigan-graph .folds .frame, .minigan-graph .closed .frame { fill: var(--c); fill-opacity: .07; }
.minigan-graph .folds .name { fill: var(--c); }
.minigan-graph .folds:not(.folded) .more, .minigan-graph:not(.foldable) .sign { display: none; }
.minigan-graph .sign { fill: var(--c); stroke: none; }
.minigan-graph .folded .sign { transform: rotate(-90deg); transform-origin: -18px 11px; }
.minigan-graph .head { fill: transparent; stroke: none; }
.minigan-graph .closed .frame { stroke-dasharray: 2 2; }
.minigan-graph .leaf rect { rx: 10px; fill: var(--c); fill-opacity: .14; }
.minigan-graph .label rect { stroke: var(--x); stroke-width: 2; }
.minigan-graph .label .name { fill: var(--x); }
.minigan-graph path { fill: none; stroke: var(--flow); }
.minigan-graph .zero { stroke: var(--zero); }
.minigan-graph .wild { stroke: var(--wild); }
.minigan-graph .missing { stroke: var(--quiet); stroke-dasharray: 4 4; }
.minigan-graph .dx { stroke: var(--x); }
"""


class Scale:
    """From norms to the widths of lines, by the logarithm; two powers of ten at least lie between the ends."""

    def __init__(self, norms: Iterable[float]) -> None:
        powers = [math.log10(norm) for norm in norms if 0 < norm < math.inf]
        self.known = bool(powers)
        self.high = max(powers, default=0.0)
        self.low = min([*powers, self.high - 2])

    def __call__(self, norm: float) -> float:
        if norm == 0:
            return THIN
        power = math.log10(norm) if norm < math.inf else self.high
        return THIN + (THICK - THIN) * (power - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """At most four round norms between the ends: powers of ten, and 3 times each where those are few."""
        steps = (1, 3) if self.high - self.low < 2.5 else (1,)
        powers = range(math.floor(self.low), math.floor(self.high) + 1) if self.known else range(0)
        found = [n * 10.0**p for p in powers for n in steps if self.low <= p + math.log10(n) <= self.high]
        return found[:: math.ceil(len(found) / 4) or 1]


class Picture:
    """A layout as it is drawn.

    Args:
        record: what it shows.
        layout: of the record.
        unfolded: whether modules show what is in them, or are one box each.
        everything: draw what is hidden as well, with all that the page's script needs to show it.
    """

    def __init__(self, record: Record, layout: Layout, unfolded: bool, everything: bool) -> None:
        self.record, self.layout, self.unfolded, self.everything = record, layout, unfolded, everything
        self.places, self.full = layout.places(unfolded), layout.places(True)
        tops = dict.fromkeys(filter(None, (row.network for row in record.rows)))
        self.colours = {name: f" c{i % COLOURS}" for i, name in enumerate(tops)}
        self.scale = Scale(edge.size.norm for edge in layout.edges if edge.size)
        self.labels = {box: edge for edge in layout.edges if edge.label for box in edge.way if box.kind == "label"}
        known = [box for group in layout.root.groups() for box in (*group.members, *group.bends) if box.kind != "bend"]
        self.boxes = sorted(known, key=lambda box: not box.members)  # modules first, for they lie below the edges
        self.numbers = {box: i for i, box in enumerate(self.boxes)} | {layout.root: -1}

    def svg(self) -> str:
        legend, least, top = self._legend()
        root = self.places[self.layout.root]
        width, height = max(root.width, least), root.height + top
        numbers = (top, least, HEAD, PAD, GAP, SPACE, ASIDE, *SIZES["op"])
        sizes = f' data-sizes="{" ".join(map(str, numbers))}"'
        groups = sum(bool(box.members) for box in self.boxes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="minigan-graph" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" aria-label="The flow of a gradient back through '
            f'{many(len(self.record.rows), "op")}"{sizes if self.everything else ""}><style>{STYLE}</style>{legend}'
            f'<g transform="translate(0 {top})">{"".join(map(self._box, self.boxes[:groups]))}'
            f"{''.join(map(self._edge, sorted(self.layout.edges, key=self._width)))}"
            f"{''.join(map(self._box, self.boxes[groups:]))}</g></svg>"
        )

    def _legend(self) -> tuple[str, int, int]:
        """What lines mean, in numbers; and its width and height."""
        rows = self.record.rows
        source = next(iter(rows[0].names.values()), rows[0].op) if rows else self.record.leaves[0].name
        value = "" if self.record.value is None else f" = {self.record.value:.4g}"
        drawn = [
            f'<text class="name" x="{PAD}" y="20">↓ The gradient of {_cut(source, LETTERS[0], 120)}{value} flows down</text>'
        ]
        seen = {_kind(edge.size) for edge in self.layout.edges}
        others = (("zero", "zero"), ("missing", MISSING), ("wild", "not finite"))
        widths = [("flow", self.scale(norm), f"{norm:g}") for norm in self.scale.ticks()]
        right, y = LEAST, 20
        for name, samples in (("norm", widths), ("", [(kind, THIN, said) for kind, said in others if kind in seen])):
            x, y = PAD + 9 * len(name), y + 20 if samples else y
            if samples:
                drawn.append(f'<text class="quiet" x="{PAD}" y="{y + 4}">{name}</text>')
            for kind, width, said in samples:
                drawn.append(f'<path class="{kind}" stroke-width="{width:.2f}" d="M{x} {y}h22"/>')
                drawn.append(f'<text x="{x + 27}" y="{y + 4}">{said}</text>')
                x += 35 + round(LETTERS[1] * len(said))
            right = max(right, x)
        return "".join(drawn), right, y + 14

    # -- boxes ----------------------------------------------------------------------------------------------------------

    def _box(self, box: Box) -> str:
        """Its element, with its origin where the line of edges meets its top; hidden, or none, where it is folded away."""
        shown = box in self.places
        if not shown and not self.everything:
            return ""
        at, full, data = (self.places if shown else self.full)[box], self.full[box], ""
        if self.everything:
            up = self.numbers[box.parent] if box.parent else -1
            data = f' data-box="{up} {full.x} {full.y} {full.width} {full.height} {full.line}"'
        folds = bool(box.members) and not box.closed
        said = crossing(self.labels[box]) if box in self.labels else caption(self.record, box)
        rect, sign = f'x="{at.x - at.line}" width="{at.width}"', ""
        if folds:
            sign = f'<rect class="head" {rect} height="{HEAD}"/><path class="sign" d="{SIGN}"/>'
        kind = FOLDS[self.unfolded] if folds else "closed" if box.closed else box.kind
        x, first, second = (10, 15, 31) if folds else (-10, 13, 27) if kind == "leaf" else (-18, 15, 31)
        width, _, line = compact(box)
        name, text = map(_cut, (said.name, said.text), LETTERS, (width - line - x,) * 2)
        return (
            f'<g class="{kind}{self.colours.get(said.owner, "")}" transform="translate({at.line} {at.y})"'
            f"{'' if shown else HIDDEN}{data}><title>{_xml(said.title)}</title>"
            f'<rect class="frame" {rect} height="{at.height}"/>{sign}<text class="name" x="{x}" y="{first}">{name}</text>'
            f'<text class="quiet more" x="{x}" y="{second}">{text}</text></g>'
        )

    # -- edges ----------------------------------------------------------------------------------------------------------

    def _width(self, edge: Edge) -> float:
        return self.scale(edge.size.norm) if edge.size else THIN

    def _edge(self, edge: Edge) -> str:
        points = self._points(edge, self.places)
        if not points and not self.everything:
            return ""
        data = ""
        if self.everything:
            ends = self.numbers[edge.way[0]], self.numbers[edge.way[-1]]
            numbers = [*ends, edge.shift, *(n for point in self._points(edge, self.full) for n in point)]
            data = f' data-edge="{" ".join(map(str, numbers))}"'
        return (
            f'<path class="edge {_kind(edge.size)}{" dx" if edge.label else ""}" stroke-width="{self._width(edge):.2f}" '
            f'd="{_path(points)}"{"" if points else HIDDEN}{data}><title>{_xml(title(self.record, edge))}</title></path>'
        )

    def _points(self, edge: Edge, places: dict[Box, Place]) -> list[tuple[int, int]]:
        """Where it goes: from box to box down to the end of a row, across the gap below it, and on; nowhere inside a box."""
        shown = (next(b for b in reversed(box.lineage()) if b in places) for box in edge.way)
        stops = [box for box, _ in groupby(shown)]
        if len(stops) == 1:
            return []
        first, last = places[stops[0]], places[stops[-1]]
        points, level = [(first.line, first.y + first.height)], None
        for p, q in pairwise(stops):
            group, a, b = parted(p, q)
            start, end = (places[p].line, places[a[0]].bottom), (places[q].line, places[b[0]].y)
            if p.kind == "bend" and group is level and points[-2][0] == start[0] == end[0]:  # straight on
                points[-1] = end
            else:
                points += [start, end]
            level = group
        return [(x + edge.shift, y) for x, y in [*points, (last.line, last.y)]]


def _path(points: list[tuple[int, int]]) -> str:
    """Straight down, and in a curve from line to line."""
    drawn = [f"M{x} {y}" for x, y in points[:1]]
    for (a, b), (x, y) in pairwise(points):
        middle = (b + y) / 2
        drawn.append(f"V{y}" if x == a else f"C{a} {middle:g} {x} {middle:g} {x} {y}")
    return "".join(drawn)


def _kind(size: Size | None) -> str:
    if size is None:
        return "missing"
    return "zero" if size.norm == 0 else "flow" if math.isfinite(size.norm) else "wild"


def _cut(text: str, letter: float, room: float) -> str:
    """As much of a text as there is room for."""
    most = int(room / letter)
    return _xml(text if len(text) <= most else text[: most - 1] + "…")


def _xml(text: str) -> str:
    return escape(plain(text))
