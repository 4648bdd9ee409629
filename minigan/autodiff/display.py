"""A Tensor in a notebook: what it is, the range of its values, and a look at some of them."""

from __future__ import annotations

from html import escape
from typing import Any

from minigan import backends
from minigan.autodiff.tensor import Tensor

# the notebook's own colours, light or dark; only lines are drawn, in a grey that shows on both
FRAME = "border-left:3px solid #8888;padding:2px 10px;margin:4px 0"


def html(x: Tensor) -> str:
    """Facts, minimum, mean and maximum, and a preview of at most one matrix of the values; self-contained HTML.

    The range is of the finite values; how many are not finite is said beside it.
    """
    facts = [str(x.dtype), f"shape {x.shape}", x.backend]
    if x._edge is not None:
        facts.append(f"from {x._edge[0].plan.op.name}")
    elif x.requires_grad:
        facts.append("requires_grad")
    values = x.numpy()
    head = f"<b>{type(x).__name__}</b>" + (f" <code>{escape(x.name)}</code>" if x.name else "")
    lines = [f"{head} {escape(' · '.join(facts))}", *_range(values)]
    corner = (0,) * (x.ndim - 2) if x.size else ()  # of more than two axes the first matrix
    label = f"x[{', '.join(map(str, corner))}] = " if corner else ""
    shown = backends.get("numpy").array2string(
        values[corner] if corner else values, precision=4, threshold=60, edgeitems=3, max_line_width=100, prefix=label
    )
    preview = f'<pre style="margin:4px 0;background:none;color:inherit">{escape(label + shown)}</pre>'
    return f'<div style="{FRAME}">{"<br/>".join(lines)}{preview}</div>'


def _range(values: Any) -> list[str]:
    """min, mean and max in one line; none of nothing."""
    host = backends.get("numpy")
    finite = values[host.isfinite(values)]
    facts = []
    if finite.size:
        with host.errstate(over="ignore"):  # the mean of huge values is inf, and that is what is shown
            facts = [f"min {finite.min():.5g}", f"mean {finite.mean(dtype='float64'):.5g}", f"max {finite.max():.5g}"]
    if finite.size < values.size:
        facts.append(f"<b>{values.size - finite.size} not finite</b>")
    return [" · ".join(facts)] if facts else []
