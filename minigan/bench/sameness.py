"""Whether two sides compute the same: losses, and every gradient element by element."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

ROUNDING = {
    "fp32": {"loss": 1e-4, "mean square": 1e-2, "element": 5e-2},
    "tf32": {"loss": 2e-3, "mean square": 3e-1, "element": 1.0},
}
"""What rounding explains: of a loss; of a gradient's root mean square; of its largest element, in any one element. Sums of
float32 in another order change all of them by 1e-6 to 1e-5. But where rounding puts one of DCGAN-64's millions of values on
the other side of a ReLU's kink, a whole term of some sums comes or goes: PyTorch's two memory formats differ from each other
by 4e-4 of a mean square and 2e-3 of an element there, and from minigan by 1.3e-3 and 7e-3. A term that is left out, scaled
or taken twice changes some mean square by 5e-2 and more. TF32 hides that: operands cut to 10 bits, rounded on one side and
truncated on the other, move a loss by up to 5e-4, a mean square by 7e-2 and an element by 0.27 (DCGAN-64's first layer), a
quarter of what is allowed, which still finds a product that is not the wanted one. So sides are compared in float32 first."""
NEGLIGIBLE = 1e-6  # of the largest gradient of all: below lies rounding alone, as in a critic's last bias


def difference(
    losses: list[float],
    grads: Mapping[str, Any],
    wanted_losses: list[float],
    wanted: Mapping[str, Any],
    precision: str = "fp32",
) -> str | None:
    """What differs most between two sides' losses and gradients, element by element; None where only rounding does.

    Args:
        losses, grads: of one side; gradients by name.
        wanted_losses, wanted: of the other.
        precision: of both sides' products, a key of `ROUNDING`.
    """
    rounding = ROUNDING[precision]
    if grads.keys() != wanted.keys():
        return f"there are gradients of {', '.join(sorted(grads.keys() ^ wanted.keys()))} on one side only"
    found = [
        _apart("loss", f"loss {i}", np.array(a), np.array(b), 0.0, rounding)
        for i, (a, b) in enumerate(zip(losses, wanted_losses, strict=True))
    ]
    least = NEGLIGIBLE * max(float(np.abs(a).max()) for a in wanted.values())
    for name, b in wanted.items():
        if grads[name].shape != b.shape:
            return f"the gradient of {name} has shape {grads[name].shape} on one side and {b.shape} on the other"
        for kind in ("element", "mean square"):
            found.append(_apart(kind, f"the gradient of {name}", grads[name], b, least, rounding))
    worst, reason = max(found)
    return None if worst <= 1 else reason


def _apart(kind: str, name: str, a: Any, b: Any, least: float, rounding: Mapping[str, float]) -> tuple[float, str]:
    """How many times what rounding explains `a` is off `b`, and that in words; NaN is infinitely far from all."""
    off, scale = _size(kind, np.subtract(a, b, dtype="float64")), max(_size(kind, b.astype("float64")), least)
    share = off / scale if scale else off
    what = {"loss": "", "element": " in some element", "mean square": " in the root of its mean square"}[kind]
    reason = f"{name} is off by {off:.2g}{what}, where it is {scale:.2g}; rounding explains {rounding[kind]:g} of that"
    return (share / rounding[kind] if math.isfinite(share) else math.inf), reason


def _size(kind: str, x: Any) -> float:
    """The root of the mean square, or the largest element."""
    return float(np.sqrt(np.mean(x * x)) if kind == "mean square" else np.abs(x).max())
