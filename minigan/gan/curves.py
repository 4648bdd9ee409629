"""Curves of a run as inline SVG: plain text, the same for the same figures, coloured by the page that they stand in."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT = 400, 230  # as wide as a phone, where a unit is about a pixel
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 24, 36
DIGIT = 6.5  # a digit's width
MOST = 200  # places on the x axis that a curve is drawn at
DOTS = 30  # a curve of no more points has each of them marked
LARGEST, SMALLEST = 1e100, 1e-100  # no arithmetic on what lies between overflows

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """What is drawn together.

    Attributes:
        title: above it.
        axis: what y is, with its unit.
        lines: names of figures in ``metrics.jsonl``, and what the legend calls them.
        dashed: those among them that the others are to be held against, each in the colour of its counterpart.
        log: draw positive values that lie far apart on a logarithmic axis.
        unit: draw all of [0, 1] where every value is in it.
    """

    title: str
    axis: str
    lines: Mapping[str, str]
    dashed: tuple[str, ...] = ()
    log: bool = False
    unit: bool = False


CHARTS = (
    Chart("Losses", "mean loss of ten steps", {"loss_d": "discriminator", "loss_g": "generator"}),
    Chart("Discriminator", "D's mean output, as a logit", {"d_real": "D(x), real", "d_fake": "D(G(z)), generated"}),
    Chart("Gradients", "gradient norm", {"grad_d": "discriminator", "grad_g": "generator"}, log=True),
    Chart(
        "Judge",
        "the judge's Fréchet distance, not Inception FID",
        {"judge_frechet": "samples", "judge_frechet_real": "real digits"},
        dashed=("judge_frechet_real",),
        log=True,
    ),
    Chart(
        "What was asked for",
        "share of images, by the judge",
        {"asked_for": "samples", "asked_for_real": "real digits"},
        dashed=("asked_for_real",),
    ),
    Chart(
        "Modes",
        "share of points; width over true width",
        {"high_quality_share": "within 3 sigma of a mode", "spread_ratio": "width of a mode"},
    ),
    Chart(
        "Precision and recall",
        "share of images",
        {
            "precision": "precision",
            "recall": "recall",
            "precision_real": "of real digits",
            "recall_real": "of real digits",
        },
        dashed=("precision_real", "recall_real"),
        unit=True,
    ),
)


def number(value: Any) -> float | None:
    """A value that can be drawn, or None.

    >>> from minigan.gan import curves
    >>> [curves.number(value) for value in (1, 0.5, float("nan"), True, "1")]
    [1.0, 0.5, None, None, None]
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < LARGEST:
        return None
    return float(value) if abs(value) > SMALLEST else 0.0


def figure(chart: Chart, rows: Sequence[Mapping[str, Any]]) -> str:
    """A chart as HTML, with its legend and its text alternative; empty where the rows have nothing of it."""
    curves = {key: _points(rows, key) for key in chart.lines}
    curves = {key: points for key, points in curves.items() if points}
    if not curves:
        return ""
    every = [point for points in curves.values() for point in points]
    xs, ys = [x for x, _ in every], [y for _, y in every]
    log = chart.log and min(ys) > 0 and max(ys) / min(ys) > 100
    x_axis = _Axis(_room(min(0.0, *xs), max(xs)), LEFT, WIDTH - RIGHT, 4)
    y_axis = _Axis(_range(ys, chart.unit, log), HEIGHT - BOTTOM, TOP, 5, log)
    drawn, legend, described = [], [], []
    for key, points in curves.items():
        alike = [k for k in chart.lines if (k in chart.dashed) == (key in chart.dashed)]
        colour = f"line c{alike.index(key)}" + (" dashed" if key in chart.dashed else "")
        place = [(x_axis(x), y_axis(y)) for x, y in _thinned(points)]
        drawn.append(f'<path class="{colour}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in place)}"/>')
        if len(place) <= DOTS and key not in chart.dashed:
            drawn += (f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in place)
        name, values = escape(chart.lines[key]), [y for _, y in points]
        swatch = f'<svg class="swatch" viewBox="0 0 24 8" aria-hidden="true"><path class="{colour}" d="M1 4H23"/></svg>'
        legend.append(f"<li>{swatch}{name} <b>{values[-1]:.3g}</b></li>")
        described.append(
            f"{name}: {points[0][1]:.3g} at step {points[0][0]:,.0f}, {points[-1][1]:.3g} at step {points[-1][0]:,.0f}, "
            f"between {min(values):.3g} and {max(values):.3g}"
        )
    name = f"chart-{chart.title.lower().replace(' ', '-')}"
    axis = escape(chart.axis) + (", logarithmic" if log else "")
    return (
        f'<figure class="chart"><figcaption><h3>{escape(chart.title)}</h3><ul class="legend">{"".join(legend)}</ul>'
        f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{escape(chart.title)}: {axis} against the step</title>'
        f'<desc id="{name}-text">{"; ".join(described)}.</desc>'
        f"{_grid(x_axis, y_axis)}"
        f'<text class="axis" x="{LEFT}" y="13">{axis}</text>'
        f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">step</text>'
        f"{''.join(drawn)}</svg></figure>"
    )


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> Points:
    """(step, value) of the rows that have both, in the order of the steps."""
    found = ((number(row.get("step")), number(row.get(key))) for row in rows)
    return sorted((x, y) for x, y in found if x is not None and y is not None)


def _thinned(points: Points) -> Points:
    """At most three times `MOST` points: the lowest, the highest and the last of as many together as that takes."""
    together = -(-len(points) // MOST)
    if together <= 2:
        return points
    parts = (points[i : i + together] for i in range(0, len(points), together))
    ends = ({min(part, key=_y), max(part, key=_y), part[-1]} for part in parts)
    return [point for part in ends for point in sorted(part)]


def _y(point: tuple[float, float]) -> float:
    return point[1]


def _range(ys: Sequence[float], unit: bool, log: bool) -> tuple[float, float]:
    """Where the y axis begins and ends."""
    low, high = min(ys), max(ys)
    if unit and low >= 0 and high <= 1:
        return 0.0, 1.0
    if log:  # whole decades
        return 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high))
    return _room(0.0 if 0 <= low < high / 2 else low, high)


def _room(low: float, high: float) -> tuple[float, float]:
    """The range itself; where it is hardly one, a tenth more on both sides."""
    most = max(abs(low), abs(high))
    if high - low > 1e-6 * most:
        return low, high
    return low - (most / 10 or 1.0), high + (most / 10 or 1.0)


class _Axis:
    """From values to places in the picture, with ticks at round values."""

    def __init__(self, limits: tuple[float, float], start: float, end: float, about: int, log: bool = False) -> None:
        self.start, self.end, self.log = start, end, log
        self.low, self.high = map(math.log10, limits) if log else limits
        every = _step((self.high - self.low) / about)
        if log:
            every = max(1.0, math.ceil(every))
        ends = math.ceil(self.low / every - 1e-9), math.floor(self.high / every + 1e-9)
        self.ticks = [10 ** (i * every) if log else i * every for i in range(ends[0], ends[1] + 1)]

    def __call__(self, value: float) -> float:
        share = ((math.log10(value) if self.log else value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def _step(least: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is not below `least`."""
    power: float = 10.0 ** math.floor(math.log10(least))
    steps = [power, 2 * power, 5 * power, 10 * power]
    return steps[min(bisect_left(steps, least), 3)]


def _grid(x_axis: _Axis, y_axis: _Axis) -> str:
    """Ticks with their values, and a line across at each of y's."""
    bottom = HEIGHT - BOTTOM
    lines = [f'<path class="frame" d="M{LEFT} {bottom}H{WIDTH - RIGHT}"/>']
    for value in y_axis.ticks:
        y = y_axis(value)
        lines.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>')
    for value in x_axis.ticks:
        x = x_axis(value)
        lines.append(f'<path class="frame" d="M{x:.1f} {bottom}v4"/>')
        label = f"{value:,.0f}" if abs(value) < 1e7 and value == round(value) else f"{value:.3g}"
        middle = min(x, WIDTH - DIGIT * len(label) / 2)
        lines.append(f'<text x="{middle:.1f}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    return "".join(lines)
