"""Hypothesis strategies: shapes, arrays that are safe to differentiate at, geometry of convolutions.

All are valid by construction, so that nothing is thrown away. Shapes and settings are drawn before values, which makes
hypothesis shrink them first; values are short numbers and shrink, one by one, to shorter ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minigan.backends import HostArray
from minigan.testing.layouts import LAYOUTS

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise ImportError('the strategies of minigan.testing need hypothesis: pip install "minigan[testing]"') from error

Shape = tuple[int, ...]

MARGIN = 0.1  # the least distance of a value from every kink
SMALL = 48  # so many elements are drawn one by one; what comes after them follows from them

seeds = st.integers(0, 2**16 - 1)
_digits = st.binary(min_size=SMALL, max_size=SMALL)  # of one length: they stay as they are when the shape shrinks


# -- arrays ------------------------------------------------------------------------------------------------------------


def shapes(
    min_dims: int = 0, max_dims: int = 4, min_side: int = 0, max_side: int = 4
) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes, from 0-d and size 0 on; they shrink to few and short sides.

    Args:
        min_dims, max_dims: the number of axes.
        min_side, max_side: the length of each.

    >>> from hypothesis import find
    >>> from minigan.testing import shapes
    >>> find(shapes(), lambda shape: len(shape) == 2 and shape[0] > 1)
    (2, 0)
    """
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


def arrays(
    shape: Shape | st.SearchStrategy[Shape],
    dtype: Any = "float64",
    kinks: Iterable[float] = (0.0,),
    unique: bool = False,
    layout: str = "any",
    magnitude: float = 2.0,
) -> st.SearchStrategy[HostArray]:
    """Arrays whose values are short numbers within ±magnitude, nowhere near a kink and, if asked for, without ties.

    Floats are multiples of a power of two, 1/8 for a magnitude of 2, and so the same number in every dtype. Integers and
    booleans have no gradient and know no kinks.

    Args:
        shape: a tuple, or a strategy of them.
        dtype: of floats, integers or booleans.
        kinks: where the function has no derivative: every float is at least 0.1 from each.
        unique: all elements differ, so that maxima and sorting have no ties: floats by that power of two, or by the
            largest one at which so many fit within ±magnitude; integers go beyond ±magnitude where they must.
        layout: a name in `LAYOUTS`, or ``"any"`` to have it drawn, without ``"broadcast"`` if unique.
        magnitude: the largest absolute value.

    Raises:
        ValueError: a layout that is unknown or repeats values that must be unique; a dtype of another kind, or without
            so many different values; kinks that leave no room. The last two may come when an array is drawn.

    >>> from hypothesis import find
    >>> from minigan.testing import arrays
    >>> find(arrays((2, 2), unique=True), lambda a: True)
    array([[ 1., -1.],
           [ 2., -2.]])
    >>> find(arrays((2,), kinks=()), lambda a: a.sum() > 0.6)
    array([1., 0.])
    """
    dtype, kinks = np.dtype(dtype), tuple(map(float, kinks))
    if dtype.kind not in "fiub":
        raise ValueError(f"arrays: dtype must be of floats, integers or booleans, got {dtype}")
    if layout != "any" and layout not in LAYOUTS:
        raise ValueError(f"arrays: unknown layout {layout!r}; there is: any, {', '.join(LAYOUTS)}")
    if unique and layout == "broadcast":
        raise ValueError("arrays: the layout 'broadcast' repeats values, which unique=True forbids; leave one out")
    if not 0 < magnitude <= (float(np.finfo(dtype).max) if dtype.kind == "f" else 2**62):
        raise ValueError(f"arrays: magnitude must be positive and a number that {dtype} has, got {magnitude}")
    _values(dtype, kinks, magnitude, 1)
    names = [name for name in LAYOUTS if layout in (name, "any") and not (unique and name == "broadcast")]
    return _arrays(shape, dtype, kinks, unique, tuple(names), magnitude)


@st.composite
def _arrays(
    draw: st.DrawFn,
    shape: Shape | st.SearchStrategy[Shape],
    dtype: np.dtype[Any],
    kinks: tuple[float, ...],
    unique: bool,
    layouts: tuple[str, ...],
    magnitude: float,
) -> HostArray:
    sides: Shape = draw(shape) if isinstance(shape, st.SearchStrategy) else tuple(shape)
    layout, arrangement = draw(st.sampled_from(layouts)), draw(seeds)
    digits = draw(_digits)[::-1]  # shrinking clears the first first: they go to the last elements, so that these can go
    count = math.prod(sides)
    values = _values(dtype, kinks, magnitude, count if unique else 1)
    if not unique:
        block, place = divmod(np.arange(count), SMALL)  # a later block turns the digits over, and leaves zeros alone
        drawn = values[np.array(list(digits))[place] * (1 + 2 * block) % len(values)]
    elif count > SMALL:
        drawn = np.random.default_rng(int.from_bytes(digits)).choice(values, count, replace=False)
    else:
        left = values.tolist()
        drawn = np.array([left.pop(digit % len(left)) for digit in digits[:count]], dtype)
    return LAYOUTS[layout](drawn.reshape(sides), np.random.default_rng(arrangement))


@lru_cache(maxsize=256)
def _values(dtype: np.dtype[Any], kinks: tuple[float, ...], magnitude: float, count: int) -> HostArray:
    """At least `count` different values; if few, the simplest first: whole numbers, then halves, ..., small before large."""
    if dtype.kind == "b":
        values = np.array([False, True])
    else:
        values = (_floats if dtype.kind == "f" else _integers)(dtype, kinks, magnitude, count)
    if len(values) < count:
        raise ValueError(
            f"arrays: {dtype} has no {count} different values within ±{magnitude} and {MARGIN} from the kinks {kinks}; "
            "use a larger magnitude, a wider dtype or a smaller shape"
        )
    if count <= SMALL:
        values = np.array(sorted(values.tolist(), key=lambda v: (v.as_integer_ratio()[1], abs(v), v < 0)))
    return values.astype(dtype)


def _floats(dtype: np.dtype[Any], kinks: tuple[float, ...], magnitude: float, count: int) -> HostArray:
    """Multiples of a power of two, as coarse as will do; too few where there is no room."""
    step = 2.0 ** math.floor(math.log2(magnitude / 16))
    while True:
        most = math.floor(magnitude / step)
        values = np.arange(-most, most + 1) * step
        values = values[(np.abs(np.subtract.outer(values, kinks)) >= MARGIN).all(axis=1)]
        step /= 2
        if len(values) >= count or step < np.finfo(dtype).eps * magnitude or most > 64 * count + 1024:
            return values


def _integers(dtype: np.dtype[Any], kinks: tuple[float, ...], magnitude: float, count: int) -> HostArray:
    """All within ±magnitude, or evenly many where that is wide; further ones where it is narrow."""
    limits = np.iinfo(dtype)
    most = max(int(magnitude), count // 2 if dtype.kind == "i" else count - 1)
    low, high = max(-most, int(limits.min)), min(most, int(limits.max))
    step = max(1, (high - low) // max(256, 2 * count))
    return np.arange(-(-low // step), high // step + 1) * step


# -- convolutions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ConvGeometry:
    """Shapes and settings that fit together in a convolution or a transposed one.

    Attributes:
        x_shape: (N, C, H, W).
        weight_shape: (O, C/groups, kH, kW); transposed: (C, O/groups, kH, kW).
        bias_shape: (O,), or None for no bias.
        output_shape: what must come out, (N, O, P, Q).
        options: the op's keyword arguments: stride, padding, dilation, groups, and output_padding if transposed.
    """

    x_shape: Shape
    weight_shape: Shape
    bias_shape: Shape | None
    output_shape: Shape
    options: dict[str, Any]


def conv_geometry(ndim: int = 2, transposed: bool = False, groups: bool = True) -> st.SearchStrategy[ConvGeometry]:
    """Everything that `mg.ops.conv2d` and `mg.ops.conv_transpose2d` take, an empty batch included.

    The output's shape is found by counting windows and the pixels that they reach, by no formula of the library's.

    Args:
        ndim: 2; or 1 for images, kernels and settings of height 1, as minigan convolves in two dimensions only.
        transposed: for `mg.ops.conv_transpose2d`.
        groups: draw the number of groups too.

    Raises:
        ValueError: another ndim.

    >>> from hypothesis import find
    >>> from minigan.testing import conv_geometry
    >>> g = find(conv_geometry(), lambda g: g.output_shape[2:] == (2, 1))
    >>> g.x_shape, g.weight_shape, g.output_shape, g.options["stride"]
    ((1, 1, 2, 1), (1, 1, 1, 1), (1, 1, 2, 1), 1)
    """
    if ndim not in (1, 2):
        raise ValueError(
            f"conv_geometry: ndim must be 2, or 1 for images of height 1, got {ndim}; minigan convolves in 2-D"
        )
    return _conv_geometry(ndim, transposed, groups)


class Axis(NamedTuple):
    """One axis of a convolution or a pooling."""

    size: int = 1
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    dilation: int = 1
    output: int = 1


@st.composite
def windows(draw: st.DrawFn, pooling: bool = False) -> Axis:
    """An axis that at least one window fits into; pooling is never dilated, and padded by at most half the kernel."""
    k, s = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    p, d = draw(st.integers(0, k // 2 if pooling else 2)), draw(st.integers(1, 1 if pooling else 3))
    n = max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, s + 1))
    return Axis(n, k, s, p, 0, d, output=len(range(d * (k - 1), n + 2 * p, s)))  # where a window's last pixel may lie


@st.composite
def spread(draw: st.DrawFn) -> Axis:
    """An axis of a transposed convolution that gives at least one pixel."""
    k, s = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    p, d = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    extra = draw(st.integers(0, max(s, d) - 1))
    lacking = 2 * p - d * (k - 1) - extra  # so many pixels are cut away beyond those of the first window
    n = 1 + max(0, -(-lacking // s)) + draw(st.integers(0, 1))
    last = max(i * s + j * d for i in range(n) for j in range(k))  # the last pixel that a window reaches
    return Axis(n, k, s, p, extra, d, output=last + 1 - 2 * p + extra)


@st.composite
def _conv_geometry(draw: st.DrawFn, ndim: int, transposed: bool, groups: bool) -> ConvGeometry:
    n, bias = draw(st.sampled_from((1, 2, 3, 0))), draw(st.booleans())
    g = draw(st.integers(1, 2)) if groups else 1
    c, o = draw(st.integers(1, 2)), draw(st.integers(1, 2))  # channels of a group
    axis = spread() if transposed else windows()
    axes = (Axis() if ndim == 1 else draw(axis), draw(axis))
    sides = {name: tuple(getattr(a, name) for a in axes) for name in Axis._fields}
    names = ("stride", "padding", *(("output_padding",) if transposed else ()), "dilation")
    return ConvGeometry(
        x_shape=(n, g * c, *sides["size"]),
        weight_shape=(g * c, o, *sides["kernel"]) if transposed else (g * o, c, *sides["kernel"]),
        bias_shape=(g * o,) if bias else None,
        output_shape=(n, g * o, *sides["output"]),
        options={name: setting(sides[name]) for name in names} | {"groups": g},
    )


def setting(pair: tuple[int, ...]) -> int | tuple[int, ...]:
    """A number for both axes, or one for each."""
    return pair[0] if pair[0] == pair[1] else pair
