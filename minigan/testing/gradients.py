"""Analytic gradients against differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigan.backends import HostArray
from minigan.testing.cases import peak
from minigan.testing.differences import Point, Verdict, judge
from minigan.testing.failures import BadSubject, GradientWrong, OnKink
from minigan.testing.reports import Report, gradients_of, named, ratio, rule_facts, why
from minigan.testing.subjects import Function, Gradient, dense

# Extrapolated differences of a smooth function in float64 are good to 1e-9 and better, and the analytic derivative to a
# few roundings: a millionth is what is left for functions that are neither, and 300 times less than a factor of 1.0003.
FIRST_ORDER = 1e-6
HIGHER_ORDER = 1e-5  # what is differenced there has gone through a backward pass, which loses a digit where it cancels
JOINT = 2  # directions along all variables together, after one along each
LISTED = 1024  # elements that are looked at one by one when something is wrong, with one difference each
JUDGED = 32  # and of these the ones with all care, until one is found that is wrong and on no kink
COLUMN = 256  # outputs that are looked at one by one, to name the one that shows the wrong element most


class Projection(NamedTuple):
    """<weights, outputs> along a direction.

    Attributes:
        direction: an array for each variable, None for one that stays.
        weights: an array for each output.
        gradients: the analytic ones of <weights, outputs>, None where none arrives.
        doubts: by how much rounding changes them, where that has been measured.
    """

    direction: list[HostArray | None]
    weights: list[HostArray]
    gradients: list[HostArray | None]
    doubts: list[HostArray | None]

    def terms(self, by: list[HostArray | None]) -> list[HostArray]:
        """What each variable's elements add to a derivative."""
        return [np.zeros(0) if d is None or g is None else d * g for d, g in zip(self.direction, by, strict=True)]

    def analytic(self) -> float:
        """The analytic derivative along the direction."""
        return sum(float(np.sum(t)) for t in self.terms(self.gradients))


def check_grads(f: Any, *xs: Any, order: int = 1, rng: int | np.random.Generator = 0) -> None:
    """Check that the analytic derivatives of a function, up to an order, are those that differences show.

    Everything is computed in float64. Random sums of the outputs are differentiated along random directions: each variable's
    own, and all together. At order 2 the function is the gradient, of the variables and of what arrives at the outputs.

    A derivative passes if it is within 1e-6 of the size of its terms, 1e-5 from order 2, besides five times the estimated
    error of the differences. Differences across a kink count for nothing. Not seen are an element whose gradient is below
    that part of its variable's, and whatever is smaller than rounding: a derivative that moves the outputs by less than a
    millionth when the inputs change by their own size; where outputs cancel to rounding, a millionth of what cancels.

    Args:
        f: a function of Tensors, an op, or a layer, whose parameters are variables too.
        xs: arrays or Tensors; those of floats are the variables. Numbers and None stay as they are.
        order: of the derivatives.
        rng: a seed, also of minigan's generator before each call, so that each makes the same draw.

    Raises:
        GradientWrong: a derivative is wrong, and the message names the worst element; or a call or a rule raises, where the
            plain call does not.
        OnKink: the inputs lie on a kink of `f`, or its differences are too rough, so that nothing can be said. So they are
            where outputs cancel to nearly nothing, and the analytic derivative is more than rounding.
        BadSubject: values that are not finite, outputs that are no Tensors, nothing to differentiate, or a function that gives
            other values when it is called again.
        ValueError: an order below 1.

    >>> mg.testing.check_grads(mg.ops.tanh, np.linspace(-1, 1, 5), order=3)
    >>> mg.testing.check_grads(mg.nn.Conv2d(1, 2, 3), np.ones((2, 1, 5, 5)))
    """
    if order < 1:
        raise ValueError(f"check_grads: order must be at least 1, got {order}")
    report = Report(GradientWrong, f, xs, rng, {} if order == 1 else {"order": order})
    function: Function = report.primal
    with report, np.errstate(all="ignore"):
        for n in range(1, order + 1):
            function = function if n == 1 else Gradient(function, report.rng)
            _check_order(report, function, n)


def _check_order(report: Report, function: Function, order: int) -> None:
    point = Point(function, report.rng)
    if not point.at:
        raise BadSubject("there is nothing to differentiate: no input is an array of floats")
    if not point.outputs:
        if order > 1:
            return  # no gradient depends on anything, as order 1 has seen
        raise BadSubject("there is nothing to differentiate: no output is of floats")
    moving = [i for i, a in enumerate(point.at) if a.size]
    together = [moving] * JOINT if moving else []
    projections = [_projection(report, point, chosen) for chosen in [*([i] for i in moving), *together]]
    tolerance = FIRST_ORDER if order == 1 else HIGHER_ORDER
    proved: set[int] = set()
    trouble = ""
    for p in projections:
        verdict = _judged(point, p, tolerance)
        if not verdict.agrees:
            p = _doubted(point, p)
            verdict = _judged(point, p, tolerance)
        unsaid = verdict.trouble if verdict.agrees else _fail(report, point, p, order, tolerance, verdict)
        if unsaid:
            trouble = unsaid
        else:
            proved |= {i for i, d in enumerate(p.direction) if d is not None}
    unproved = [function.names[i] for i in moving if i not in proved]
    if unproved and any(y.size for y in point.outputs):
        raise OnKink(
            f"{trouble}; differences say nothing there about {', '.join(unproved)}: give other inputs, "
            "away from where f bends, jumps or ends by 1e-6 of their size or more"
        )


def _projection(report: Report, point: Point, chosen: Sequence[int]) -> Projection:
    """Random weights and a random direction along some variables, with the analytic gradients there.

    Weights are relative to the outputs' sizes, so that no output drowns in the rounding of another.
    """
    weights = [dense(report.rng, y.shape) / peak for y, peak in zip(point.outputs, point.peaks, strict=True)]
    gradients = gradients_of(point.base, weights, point.base.leaves)
    for name, g in zip(point.function.names, gradients, strict=True):
        if g is not None and not np.isfinite(g).all():
            index = peak(~np.isfinite(g))
            raise BadSubject(f"the gradient by {name} is {g[index]} at {index}")
    direction = [
        size * dense(report.rng, a.shape) if i in chosen else None
        for i, (a, size) in enumerate(zip(point.at, point.sizes, strict=True))
    ]
    return Projection(direction, weights, gradients, [None] * len(gradients))


def _judged(point: Point, p: Projection, tolerance: float) -> Verdict:
    scale = math.hypot(*(float(np.linalg.norm(t)) for t in p.terms(p.gradients)))
    doubt = sum(float(np.sum(np.abs(t))) for t in p.terms(p.doubts))
    return judge(point, p.direction, p.weights, p.analytic(), doubt, scale, tolerance)


def _doubted(point: Point, p: Projection) -> Projection:
    """The projection with its gradients' own rounding errors, from those a rounding error beside the point."""
    doubts = [None if g is None else np.zeros_like(g) for g in p.gradients]
    for _ in range(3):
        e = point.function(point.beside())
        for doubt, g, h in zip(doubts, p.gradients, gradients_of(e, p.weights, e.leaves), strict=True):
            if doubt is not None and g is not None and h is not None:
                np.fmax(doubt, np.abs(g - h), out=doubt)
    return p._replace(doubts=doubts)


def _fail(report: Report, point: Point, p: Projection, order: int, tolerance: float, found: Verdict) -> str:
    """Raise `GradientWrong` for the element that is furthest off; or name the kink that elements lie on.

    Along a direction the bends of several kinks may cancel; of an element alone they don't.
    """
    places = [(i, j) for i, d in enumerate(p.direction) if d is not None for j in range(d.size)]
    while len(places) > LISTED:
        halves = places[: len(places) // 2], places[len(places) // 2 :]
        places = max(halves, key=lambda half: _off(point, _restricted(p, half), found.h))
    places.sort(key=lambda place: _off(point, _restricted(p, [place]), found.h), reverse=True)
    kink = ""
    for place in places[:JUDGED]:
        q = _restricted(p, [place])
        verdict = _judged(point, q, tolerance)
        if not verdict.agrees:
            raise _wrong(report, point, order, place, *_entry(point, q, verdict, tolerance))
        kink = kink or verdict.trouble
    if not kink:  # each is off by too little to tell, all together are not
        raise _wrong(report, point, order, places[0], p, found, "⟨w, outputs⟩, w random,")
    return kink


def _entry(point: Point, p: Projection, found: Verdict, tolerance: float) -> tuple[Projection, Verdict, str]:
    """The output that shows a wrong element most, with its verdict and name; a random sum of all where they are many."""
    places = [(k, i) for k, y in enumerate(point.outputs) for i in range(y.size)]
    right, left = point.moved(p.direction, found.h), point.moved(p.direction, -found.h)
    if len(places) <= COLUMN and not isinstance(right, str) and not isinstance(left, str):
        entries = []
        for k, i in places:
            weights = [np.zeros_like(y) for y in point.outputs]
            weights[k].flat[i] = 1.0
            q = p._replace(weights=weights, gradients=gradients_of(point.base, weights, point.base.leaves))
            slope = float(right[k].flat[i] - left[k].flat[i]) / (2 * found.h)
            entries.append((abs(q.analytic() - slope), k, i, q))
        _, k, i, q = max(entries, key=lambda entry: entry[0])
        verdict = _judged(point, q, tolerance)
        if not verdict.agrees:
            return q, verdict, named(point.function.outputs[k], i, point.outputs[k].shape)
    return p, found, "⟨w, outputs⟩, w random,"


def _wrong(
    report: Report, point: Point, order: int, place: tuple[int, int], p: Projection, verdict: Verdict, output: str
) -> GradientWrong:
    i, j = place
    direction, gradient = p.direction[i], p.gradients[i]
    unit = 1.0 if direction is None else float(direction.flat[j])
    numeric, error = verdict.value / unit + 0.0, abs(verdict.error / unit)  # no -0
    element = named(point.function.names[i], j, point.at[i].shape)
    if gradient is None:
        headline = f"no gradient arrives at {point.function.names[i]}, on which {output} depends"
        said = why(point.base, i, p.weights) | {"analytic": "none", "numeric": f"{numeric:.9g} ± {error:.1g}"}
    else:
        analytic = float(gradient.flat[j])
        headline = f"the derivative of {output} by {element} is {analytic:.6g}, differences give {numeric:.6g}"
        said = rule_facts(report.primal, point.base, i)
        said |= {"analytic": f"{analytic:.9g}", "numeric": f"{numeric:.9g} ± {error:.1g}"}
        said |= {"ratio": ratio(analytic, numeric)}
    return GradientWrong(headline, **said, order=order)


def _restricted(p: Projection, places: Sequence[tuple[int, int]]) -> Projection:
    """The part of a projection's direction that moves some elements: pairs of a variable and a place in it."""
    direction: list[HostArray | None] = [None] * len(p.direction)
    for i in {i for i, _ in places}:
        whole, index = p.direction[i], [j for k, j in places if k == i]
        if whole is not None:
            part = np.zeros_like(whole)
            part.flat[index] = whole.flat[index]
            direction[i] = part
    return p._replace(direction=direction)


def _off(point: Point, p: Projection, h: float) -> float:
    """By how much the analytic derivative along a direction differs from one central difference."""
    step = point.step(p.direction, p.weights, h)
    return 0.0 if isinstance(step, str) else abs(p.analytic() - step.slope)
