"""`graph`: the way of a gradient as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from minigan.autodiff import Tensor
from minigan.nn import Module
from minigan.study import drawing
from minigan.study.captions import plain
from minigan.study.layout import Box, Layout, tree
from minigan.study.record import Record, caller_names, record


def graph(
    loss: Tensor,
    inputs: Tensor | Sequence[Tensor] | None = None,
    gradient: Any = None,
    names: Mapping[str, Module | Tensor] | None = None,
) -> Graph:
    """Draw the way of a gradient back from `loss`: an op a box, in the boxes of its modules, and lines as wide as it is large.

    The loss stands at the top, so that the gradient flows down. A line's width goes by the logarithm of the norm. A gradient
    of zeros has a thin line of another colour, one that was not computed a dashed line, and a constant none. The only
    line between two of the outermost modules is marked as ∂L/∂X. In a notebook the result shows itself.

    Up to 60 ops are all shown at first, of more the outermost modules. Of more than 60 neighbours those in the middle are
    one box, "9,992 more ops: mul ×4,996, tanh ×4,996", and 500 boxes is what a picture holds: what would go beyond that cannot
    be unfolded.

    Args:
        loss: a scalar; or any tensor, with `gradient`.
        inputs: the tensors whose gradients are wanted, so that nothing else is computed; all leaves without it.
        gradient: what arrives at `loss`, of its shape; 1 for a scalar.
        names: modules and tensors by the names that they are to be shown under; the caller's variables without it.

    Raises:
        TypeError: `loss` is not a Tensor.
        MissingGradient: no gradient can flow from `loss`; the message says why.
        FreedGraph: an earlier pass freed what this one needs.
        ShapeError: `loss` is not a scalar, and no gradient for it was given.

    >>> G, D = mg.nn.Dense(2, 3, rng=0), mg.nn.Dense(3, 1, rng=1)
    >>> loss = mg.gan.losses.non_saturating(D(G(mg.tensor([[1.0, -1.0]]))))
    >>> "∂L/∂X" in mg.study.graph(loss).svg()
    True
    """
    named = caller_names(2) if names is None else names
    return Graph(record(loss, inputs, gradient, named, "graph"))


@dataclass(frozen=True)
class Graph:
    """A backward pass to look at: what `graph` makes.

    Attributes:
        record: what it shows.
    """

    record: Record

    @cached_property
    def _layout(self) -> Layout:
        return Layout(self.record)

    def svg(self) -> str:
        """The picture as it is at first: an ``<svg>`` element that fetches nothing, for a file or for any page."""
        return self._drawn(everything=False)

    def html(self) -> str:
        """A page in which modules fold and unfold, by mouse and by keyboard. It fetches nothing."""
        page = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
        return page.replace("<!-- the picture -->", self._drawn(everything=True))

    def dot(self) -> str:
        """All ops in the language of Graphviz, with modules as clusters; a line each for nodes and edges."""
        nodes = [*_nodes(self.record, tree(self.record)), *_leaves(self.record)]
        return "\n".join(["digraph gradient {", "  node [shape=box];", *nodes, *_arrows(self.record), "}"]) + "\n"

    def _repr_html_(self) -> str:
        return self.svg()

    def _drawn(self, everything: bool) -> str:
        return drawing.Picture(self.record, self._layout, self._layout.small, everything).svg()


def _nodes(record: Record, group: Box, indent: str = "  ") -> Iterator[str]:
    """The ops of a module, each module in it as a cluster."""
    for box in group.members:
        if box.members:
            yield f"{indent}subgraph cluster_{next(box.inside()).number}_{len(box.path)} {{"
            yield f"{indent}  label={_quoted('.'.join(box.path))};"
            yield from _nodes(record, box, indent + "  ")
            yield indent + "}"
        else:
            row = record.rows[box.number]
            size = next(filter(None, row.arrives.values()), None)
            yield f"{indent}n{box.number} [label={_quoted(row.op, *([str(size.shape)] if size else []))}];"


def _leaves(record: Record) -> Iterator[str]:
    for number, leaf in enumerate(record.leaves, len(record.rows)):
        norm = f"norm {leaf.total.norm:.3g}" if leaf.total else "not computed"
        yield f"  n{number} [label={_quoted(leaf.name, norm)}, style=rounded];"


def _arrows(record: Record) -> Iterator[str]:
    edges = [(i, sent) for i, row in enumerate(record.rows) for sent in row.sent if sent.to is not None]
    scale = drawing.Scale(sent.size.norm for _, sent in edges if sent.size)
    for i, sent in edges:
        if sent.size is None:
            look = "style=dashed, color=gray"
        elif sent.size.norm == 0:
            look = "color=orange"
        else:
            look = f"penwidth={scale(sent.size.norm):.2f}"
        facts = f"norm {sent.size.norm:.4g}" if sent.size else "not computed"
        yield f"  n{i} -> n{sent.to} [{look}, tooltip={_quoted(f'∂L/∂{sent.input}', facts)}];"


def _quoted(*lines: str) -> str:
    """Lines as a string of the language."""
    flat = (" ".join(plain(line).splitlines()) for line in lines)
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in flat) + '"'
