"""Where everything in a picture of a gradient's flow stands: modules within modules, each a grid of rows and lanes.

A module's box holds ops that were called one right after the other, so that no path leaves a box and comes back to it.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any, NamedTuple

from minigan.study.record import Record, Sent, Size

MANY, ENDS = 60, 4  # of more neighbours than this, all but so many at each end are shown as one
MOST = 500  # boxes of a picture; what goes beyond cannot be unfolded

SIZES = {  # width, height, and how far from the left side edges come in
    "op": (186, 38, 28),
    "leaf": (116, 32, 20),
    "label": (226, 38, 28),
    "bend": (14, 0, 7),
}
YIELDS = {"bend": 1, "leaf": 2}  # to whom, where two want the same place
HEAD, PAD = 22, 8  # above the first row of a module, and at its other sides
GAP, SPACE = 28, 12  # between rows, and between lanes
ASIDE, WIDEST = 12, 36  # between edges that lie side by side, and between the outer ones of them


@dataclass(eq=False)
class Box:
    """What has a place in the grid of the box around it.

    Attributes:
        kind: an "op", a "leaf", a "module", a "run" of neighbours that are shown as one; or a "label" or a "bend" of an edge.
        number: of the op's row in the record, or of the leaf.
        path: of the module that it is, or is in.
        members: of a module or a run, in the order of the walk, leaves last.
        bends: of edges that pass by the members.
        closed: whether its members are too many to be drawn.
        before: what stands before it on the ways of edges.
    """

    kind: str
    number: int = -1
    path: tuple[str, ...] = ()
    members: list[Box] = field(default_factory=list)
    parent: Box | None = None
    bends: list[Box] = field(default_factory=list)
    closed: bool = False
    row: int = 0
    lane: int = 0
    before: list[Box] = field(default_factory=list)

    def add(self, box: Box) -> Box:
        box.parent = self
        self.members.append(box)
        return box

    def inside(self) -> Iterator[Box]:
        """The ops and leaves in it."""
        return (found for m in self.members for found in m.inside()) if self.members else iter((self,))

    def groups(self) -> Iterator[Box]:
        """Itself and the boxes with members in it, outer ones first, as far as they are drawn."""
        if self.members and not self.closed:
            yield self
            for member in self.members:
                yield from member.groups()

    def lineage(self) -> list[Box]:
        """The boxes around it and itself, the outermost first."""
        return [*self.parent.lineage(), self] if self.parent else [self]


@dataclass(frozen=True)
class Edge:
    """What goes from one box to another.

    Attributes:
        sent: what it shows; more than one where many ops are shown as one.
        way: from box to box, through bends.
        shift: how far aside it is of the middle, where the same boxes have several.
        label: whether it is the only one between two modules: dL/dX.
    """

    sent: tuple[Sent, ...]
    way: tuple[Box, ...]
    shift: int
    label: bool

    @property
    def size(self) -> Size | None:
        """The largest of what it shows; None where nothing was computed."""
        sizes = [s.size for s in self.sent if s.size]
        return max(sizes, key=lambda size: math.inf if math.isnan(size.norm) else size.norm, default=None)


class Place(NamedTuple):
    """Of a box: its corner and size, the x of the line of edges through it, and where its row ends."""

    x: int
    y: int
    width: int
    height: int
    line: int
    bottom: int


class Layout:
    """Boxes, and edges between them.

    Attributes:
        root: the box of everything.
        edges: in the order of the walk.
        small: whether it can be looked at with all modules unfolded.
    """

    def __init__(self, record: Record) -> None:
        self.small = len(record.rows) <= MANY
        self.root = tree(record)
        for group in list(self.root.groups()):
            group.members = _shortened(group, group.members)
        stands = {box.number: box for box in self.root.inside()}
        _add_leaves(self.root, record, stands)
        _close(self.root)
        for group in self.root.groups():
            for closed in (m for m in group.members if m.closed):
                stands |= dict.fromkeys((box.number for box in closed.inside()), closed)
        bundles: dict[tuple[Box, Box], list[list[Sent]]] = defaultdict(list)
        for i, row in enumerate(record.rows):
            for sent in row.sent:
                if sent.to is not None and stands[i] is not stands[sent.to]:
                    source, target = stands[i], stands[sent.to]
                    found = bundles[source, target]
                    if found and (source.closed or target.closed):
                        found[0].append(sent)
                    else:
                        found.append([sent])
        marked = {(stands[i], stands[to]) for i, to in only_ways(record)}
        _take_rows(self.root, bundles, marked)
        self.edges: list[Edge] = []
        shared: dict[Any, Box] = {}
        for pair, found in bundles.items():
            way = _way(*pair, pair in marked, shared)
            aside = min(ASIDE, WIDEST // len(found))
            for i, bundle in enumerate(found):
                self.edges.append(Edge(tuple(bundle), way, (2 * i - len(found) + 1) * aside // 2, pair in marked))
        for group in self.root.groups():
            _take_lanes(group)

    def places(self, unfolded: bool) -> dict[Box, Place]:
        """Of all that is visible with every module unfolded, or with every one folded."""
        grids = _grids(self.root, unfolded)
        found = {self.root: Place(0, 0, *_size(self.root, grids), 0)}
        _place(self.root, grids, found)
        return found


def tree(record: Record) -> Box:
    """The ops in the boxes of their modules; a module that is called again later gets another box."""
    root = inner = Box("module")
    for number, row in enumerate(record.rows):
        path = tuple(row.module.split(".")) if row.module else ()
        while inner.parent and path[: len(inner.path)] != inner.path:
            inner = inner.parent
        for depth in range(len(inner.path), len(path)):
            inner = inner.add(Box("module", path=path[: depth + 1]))
        inner.add(Box("op", number, path))
    return root


def only_ways(record: Record) -> set[tuple[int, int]]:
    """The edges, from row to row, that are the only ones from one of the outermost modules to another."""
    found: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    modules = [row.network for row in record.rows] + [""] * len(record.leaves)
    for i, row in enumerate(record.rows):
        for to in (sent.to for sent in row.sent if sent.to is not None):
            if modules[i] and modules[to] and modules[i] != modules[to]:
                found[modules[i], modules[to]].append((i, to))
    return {edges[0] for edges in found.values() if len(edges) == 1}


def _shortened(group: Box, members: Sequence[Box]) -> list[Box]:
    """Members of which those in the middle are put into a run where they are many."""
    if len(members) <= MANY:
        return list(members)
    run = Box("run", path=group.path, parent=group)
    for box in members[ENDS:-ENDS]:
        run.add(box)
    return [*members[:ENDS], run, *members[-ENDS:]]


def _add_leaves(root: Box, record: Record, stands: dict[int, Box]) -> None:
    """Each leaf goes into the innermost box around all that send to it."""
    around: dict[int, list[Box]] = {len(record.rows) + i: [] for i in range(len(record.leaves))}
    for i, row in enumerate(record.rows):
        for sent in row.sent:
            if sent.to in around:
                lineage = stands[i].lineage()[:-1]
                known = around[sent.to] or lineage
                around[sent.to] = [a for a, b in zip(known, lineage, strict=False) if a is b]
    leaves: dict[Box, list[Box]] = defaultdict(list)
    for number, lineage in around.items():
        group = (lineage or [root])[-1]
        stands[number] = Box("leaf", number, group.path, parent=group)
        leaves[group].append(stands[number])
    for group, members in leaves.items():
        group.members += _shortened(group, members)


def _close(root: Box) -> None:
    """Close the inner boxes that hold more than can be drawn."""
    room, waiting = MOST, deque([root])
    while waiting:
        group = waiting.popleft()
        group.closed = len(group.members) > room
        if not group.closed:
            room -= len(group.members)
            waiting += (box for box in group.members if box.members)


def parted(source: Box, target: Box) -> tuple[Box, list[Box], list[Box]]:
    """The innermost box around two, and what leads from there to each."""
    a, b = source.lineage(), target.lineage()
    depth = next(i for i, (p, q) in enumerate(zip(a, b, strict=False)) if p is not q)
    return a[depth - 1], a[depth:], b[depth:]


def _take_rows(root: Box, pairs: Iterable[tuple[Box, Box]], marked: Container[tuple[Box, Box]]) -> None:
    """Each box stands below all that send to it; where the edge has a label, with room for it."""
    above: dict[Box, list[tuple[Box, int]]] = defaultdict(list)
    for pair in pairs:
        _, a, b = parted(*pair)
        above[b[0]].append((a[0], 2 if pair in marked else 1))
    for group in root.groups():
        for box in group.members:
            box.row = max((u.row + rows for u, rows in above[box]), default=0)


def _way(source: Box, target: Box, label: bool, shared: dict[Any, Box]) -> tuple[Box, ...]:
    """From box to box, with a bend in each row between; edges to the same target share their bends."""
    group, a, b = parted(source, target)
    legs: list[tuple[Box, Box | None, Box | None]] = [(group, a[0], b[0])]
    legs = [*((p, q, None) for p, q in reversed([*pairwise(a)])), *legs, *((p, None, q) for p, q in pairwise(b))]
    way = [source]
    for around, first, last in legs:
        start = first.row + 1 if first else 0
        stop = last.row if last else max(box.row for box in around.members) + 1
        bends: list[Box] = []
        for row in range(start, stop):
            key = around, target, row, label
            if key not in shared:
                kind = "label" if label and around is group and row == start else "bend"
                shared[key] = Box(kind, parent=around, row=row)
                around.bends.append(shared[key])
            bends.append(shared[key])
        for p, q in pairwise(box for box in (first, *bends, last) if box):
            q.before.append(p)
        way += bends
    return (*way, target)


def _take_lanes(group: Box) -> None:
    """Each box stands below what comes before it, or in the nearest free lane: a chain is a straight line."""
    rows: dict[int, list[Box]] = defaultdict(list)
    for box in sorted([*group.members, *group.bends], key=lambda box: YIELDS.get(box.kind, 0)):
        rows[box.row].append(box)
    for _, boxes in sorted(rows.items()):
        wanted = {box: _wanted(box) for box in boxes}
        taken: dict[int, Box] = {}
        for box in boxes:
            taken.setdefault(wanted[box], box)
        for box in boxes:
            at = wanted[box]
            if taken[at] is not box:
                lanes = (lane for far in count(1) for lane in (at + far, at - far) if lane >= 0)
                taken[at := next(lane for lane in lanes if lane not in taken)] = box
            box.lane = at


def _wanted(box: Box) -> int:
    """The lane that makes its edges straight; for a leaf, that of an edge from afar, or that beside its op."""
    if box.kind == "leaf":
        bends = [b.lane for b in box.before if b.kind == "bend"]
        return max(bends or [b.lane + 1 for b in box.before], default=0)
    return min((b.lane for b in box.before), default=0)


@dataclass(frozen=True)
class _Grid:
    """Of an unfolded box: the line of each lane, where each row begins and ends, and the size of it all."""

    lines: dict[int, int]
    tops: dict[int, int]
    bottoms: dict[int, int]
    width: int
    height: int


def _grids(root: Box, unfolded: bool) -> dict[Box, _Grid]:
    """Of the root and all boxes that are unfolded."""
    grids: dict[Box, _Grid] = {}
    opened = list(root.groups()) if unfolded else [root]
    for group in reversed(opened):  # inner ones first
        left: dict[int, int] = defaultdict(int)
        right: dict[int, int] = defaultdict(int)
        heights: dict[int, int] = defaultdict(int)
        for box in [*group.members, *group.bends]:
            width, height, line = _size(box, grids)
            left[box.lane] = max(left[box.lane], line)
            right[box.lane] = max(right[box.lane], width - line)
            heights[box.row] = max(heights[box.row], height)
        lines, tops, bottoms = {}, {}, {}
        x, y = PAD, HEAD if group.parent else PAD
        for lane in sorted(left):
            lines[lane] = x + left[lane]
            x = lines[lane] + right[lane] + SPACE
        for row in sorted(heights):
            tops[row], bottoms[row] = y, y + heights[row]
            y = bottoms[row] + GAP
        grids[group] = _Grid(lines, tops, bottoms, x - SPACE + PAD, y - GAP + PAD)
    return grids


def compact(box: Box) -> tuple[int, int, int]:
    """Its width, height and line, from `SIZES`, as long as it is not unfolded."""
    return SIZES["op" if box.members else box.kind]


def _size(box: Box, grids: dict[Box, _Grid]) -> tuple[int, int, int]:
    if box not in grids:
        return compact(box)
    grid = grids[box]
    return grid.width, grid.height, min(grid.lines.values())


def _place(group: Box, grids: dict[Box, _Grid], found: dict[Box, Place]) -> None:
    """Add the places of what is in a box."""
    grid, corner = grids[group], found[group]
    for box in [*group.members, *group.bends]:
        width, height, line = _size(box, grids)
        x, y = corner.x + grid.lines[box.lane], corner.y + grid.tops[box.row]
        found[box] = Place(x - line, y, width, height, x, corner.y + grid.bottoms[box.row])
        if box in grids:
            _place(box, grids, found)
