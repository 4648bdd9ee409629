"""Directional derivatives from central differences at many steps, each with an estimate of its own error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigan.backends import HostArray
from minigan.testing.cases import peak
from minigan.testing.failures import BadSubject
from minigan.testing.kinks import branches, crossed, precision
from minigan.testing.subjects import Evaluation, Function, dense

FIRST, RATIO = 1e-2, 4.0  # the largest step, as a part of the variables' size, and what each next one is divided by
DOWN = 14  # steps down to 1.5e-10 of that size: between inputs 1e-9 from a kink and the kink
# The estimated error is a difference of two extrapolations plus a bound on rounding, and mostly far above the true error.
# A factor of 5 leaves room for the estimates that are too small by chance, of some hundred in a table.
SAFETY = 5.0
# Differences are worth something if a factor of 1.0003 would show: their error must be a third of that at most.
DECIDES = 1e-4
# ... or if the derivative is so small that changing the variables by their own size moves the outputs, in the direction's
# units, by a millionth of their size: next to nothing, and what is left of an exact 0 after rounding. Outputs that are
# rounding themselves, as sum(batch_norm(x)), have no size; what cancels in them has, to be seen from their noise. There the
# analytic derivative must be 0 but for the error of the differences, too, so that no factor of a small one is passed over.
NOTHING = 1e-6
# A gradient so small beside the function's outputs comes from numbers such as 1 - tanh(x)^2 in the tails, of which 8 digits
# and more are lost: where differences of it disagree with its derivative, nobody is to blame.
VANISHED = 1e-8
ROUNDINGS = 50  # what an output's noise may be in units of its last place, before it is weighed by its noise


class Step(NamedTuple):
    """Differences at one step h.

    Attributes:
        h: the step.
        slope: the central difference.
        bend: right-hand minus left-hand difference, in absolute value for each output; of a smooth function it shrinks with h.
        noise: what rounding may do to the slope.
    """

    h: float
    slope: float
    bend: float
    noise: float


class Verdict(NamedTuple):
    """What differences say about an analytic derivative.

    Attributes:
        agrees: whether it is within the tolerance and the estimated error; always, where nothing can be said.
        value, error: the derivative from differences.
        h: the step that it comes from.
        trouble: why nothing can be said, or "".
    """

    agrees: bool
    value: float
    error: float
    h: float
    trouble: str


class Point:
    """A function at one point: its outputs there, their sizes, the branches that it took, and how much rounding moves them.

    Args:
        function: of the variables in ``function.at``.
        rng: for rounding-sized changes of the variables.

    Raises:
        BadSubject: outputs that are not finite, or not the same in two calls.
    """

    def __init__(self, function: Function, rng: np.random.Generator) -> None:
        self.function, self.at = function, function.at
        self.sizes = [float(np.sqrt(np.mean(np.square(a)))) or 1.0 if a.size else 1.0 for a in self.at]
        self.base = function(self.at)
        self.outputs = [y.numpy().copy() for y in self.base.outputs]
        for name, y in zip(function.outputs, self.outputs, strict=True):
            if not np.isfinite(y).all():
                index = peak(~np.isfinite(y))
                raise BadSubject(f"the output {name} is {y[index]} at {index}")
        peaks = [float(np.max(np.abs(y), initial=0.0)) for y in self.outputs]
        largest = max(peaks, default=0.0)
        self.vanished = largest * max(self.sizes, default=1.0) < VANISHED * function.origin
        self.branches = branches(self.base.roots)
        self.eps = precision(self.base.roots)
        self._rng = rng
        self._noise = self._measured()
        # what is mostly rounding, such as a gradient of 0, must not count for more than the others' roundings together
        floors = [float(np.max(n, initial=0.0)) / (ROUNDINGS * self.eps) if n.size else 0.0 for n in self._noise]
        self.peaks = [max(peak, floor) or 1.0 for peak, floor in zip(peaks, floors, strict=True)]

    def _measured(self) -> list[HostArray]:
        """How much the outputs change when they are computed again, and a rounding error beside the point."""
        again = self._values(self.function(self.at))
        for name, y, z in zip(self.function.outputs, self.outputs, again, strict=True):
            if np.max(np.abs(y - z), initial=0.0) > DECIDES * np.max(np.abs(y), initial=0.0):
                raise BadSubject(
                    f"the output {name} differs between two calls with the same inputs and the same state of every "
                    "generator; draw from minigan's own, which mg.seed restarts, or keep the generator as an attribute",
                )
        noise = [self.eps * np.abs(y) + np.abs(y - z) for y, z in zip(self.outputs, again, strict=True)]
        for _ in range(2):
            moved = self._values(self.function(self.beside()))
            noise = [np.fmax(n, np.abs(y - z)) for n, y, z in zip(noise, self.outputs, moved, strict=True)]
        return noise

    def beside(self) -> list[HostArray]:
        """The variables, each number a rounding error off."""
        return [np.asarray(a * (1 + self.eps * dense(self._rng, a.shape))) for a in self.at]

    def _values(self, e: Evaluation) -> list[HostArray]:
        outputs = [y.numpy() for y in e.outputs]
        if [y.shape for y in outputs] != [y.shape for y in self.outputs]:
            shapes = [y.shape for y in self.outputs], [y.shape for y in outputs]
            raise BadSubject(f"the outputs' shapes change between calls: {shapes[0]} and {shapes[1]}")
        return outputs

    def moved(self, direction: Sequence[HostArray | None], t: float) -> list[HostArray] | str:
        """The outputs at the point + t * direction; or the name of what keeps it from being compared."""
        e = self.function([a if d is None else np.asarray(a + t * d) for a, d in zip(self.at, direction, strict=True)])
        passed = crossed(self.branches, branches(e.roots))
        if passed:
            return ", ".join(passed)
        outputs = self._values(e)
        return outputs if all(np.isfinite(y).all() for y in outputs) else ""

    def step(self, direction: Sequence[HostArray | None], weights: Sequence[HostArray], h: float) -> Step | str:
        """Differences of <weights, outputs> along a direction; or the name of the kink between, "" for what is not finite."""
        right = self.moved(direction, h)
        left = right if isinstance(right, str) else self.moved(direction, -h)
        if isinstance(right, str) or isinstance(left, str):
            return str(left)
        slope = bend = noise = 0.0
        for w, p, m, y, n in zip(weights, right, left, self.outputs, self._noise, strict=True):
            slope += float(np.sum(w * (p - m)))
            bend += float(np.sum(np.abs(w * (p - y - (y - m)))))
            noise += float(np.sum(np.abs(w) * n))
        return Step(h, slope / (2 * h), bend / h, noise / h) if np.isfinite(slope + bend) else ""


def judge(
    point: Point,
    direction: Sequence[HostArray | None],
    weights: Sequence[HostArray],
    analytic: float,
    doubt: float,
    scale: float,
    tolerance: float,
) -> Verdict:
    """Hold an analytic derivative of <weights, outputs> along a direction to differences.

    Args:
        point: where.
        direction: an array for each variable, in units of its size; None for what is not moved.
        weights: an array for each output.
        analytic: the derivative.
        doubt: its rounding error.
        scale: the size of such a derivative, were there no cancellation.
        tolerance: the part of the scale by which it may be off, besides the error of the differences.
    """
    size = sum(float(np.sum(np.abs(w * y))) for w, y in zip(weights, point.outputs, strict=True))
    cancelled = sum(float(np.sum(np.abs(w))) * peak for w, peak in zip(weights, point.peaks, strict=True))
    if not np.isfinite(size + abs(analytic) + scale):
        return Verdict(True, 0.0, np.inf, 0.0, "outputs or gradients overflow when they are summed")
    steps: list[Step] = []
    passed = None
    for k in range(DOWN):
        step = point.step(direction, weights, FIRST * RATIO**-k)
        if isinstance(step, str):
            steps, passed = [], step
            continue
        steps.append(step)
        value, error, h = extrapolated(steps)
        if len(steps) > 2 and max(error, abs(analytic - value)) <= tolerance * max(scale, abs(value)):
            return Verdict(True, value, error, h, "")
    if not steps:
        why = f"the inputs lie on a kink of {passed}" if passed else "the inputs lie at the edge of where f is finite"
        return Verdict(True, 0.0, np.inf, 0.0, why)
    value, error, h = extrapolated(steps)
    room = tolerance * max(scale, abs(value)) + SAFETY * (error + doubt)
    difference = abs(analytic - value)
    if difference <= room:
        unsure, found = SAFETY * (error + doubt), max(scale, abs(value))
        decided = unsure <= max(DECIDES * found, NOTHING * size) or found <= unsure <= NOTHING * cancelled
        why = f"the differences are uncertain: {value:.2g} ± {error:.1g}"
        coarse = " (f computes in less than float64)" if point.eps > np.finfo(np.float64).eps else ""
        return Verdict(True, value, error, h, "" if decided else why + coarse)
    if point.vanished:
        return Verdict(True, value, error, h, "the gradient vanishes beside the outputs, and its changes are rounding")
    moving = [s for s in steps if s.bend or s.slope]
    estimates = [e for e in table(steps) if abs(e[0] - value) > SAFETY * (e[1] + error)]
    estimates += [extrapolated(moving)] if 0 < len(moving) < len(steps) else []  # the others see rounding's flat stairs
    for other, rough, _ in estimates:
        if SAFETY * rough < max(scale, abs(other)) and abs(analytic - other) <= tolerance * scale + SAFETY * rough:
            why = f"the differences contradict each other, {value:.2g} and {other:.2g}: rounding hides how f changes"
            return Verdict(True, value, error, h, why)
    if _bends(steps, difference):
        return Verdict(True, value, error, h, "the inputs lie on a kink or a jump inside a kernel")
    return Verdict(False, value, error, h, "")


def extrapolated(steps: Sequence[Step]) -> tuple[float, float, float]:
    """The slope for h -> 0, its estimated error and its smallest step: the entry of the table with the least error."""
    return min(table(steps), key=lambda entry: entry[1])


def table(steps: Sequence[Step]) -> list[tuple[float, float, float]]:
    """Neville's scheme in h^2, with the errors as Ridders (1982) estimates them; the last slope alone has no estimate."""
    entries = [(steps[-1].slope, np.inf, steps[-1].h)]
    row: list[float] = []
    for j, step in enumerate(steps):
        above, row = row, [step.slope]
        for m in range(1, j + 1):
            factor = (steps[j - m].h / step.h) ** 2
            row.append((factor * row[m - 1] - above[m - 1]) / (factor - 1))
            error = max(abs(row[m] - row[m - 1]), abs(row[m] - above[m - 1])) + 2 * step.noise
            entries.append((row[m], error, step.h))
    return entries


def _bends(steps: Sequence[Step], difference: float) -> bool:
    """Whether the one-sided slopes differ in a way that does not shrink with h, by enough to explain a difference.

    Where a function is smooth the bend is h f'' and shrinks by 64 over four steps; across a kink it stays, at a jump it grows.
    """
    for run in zip(steps, steps[1:], steps[2:], steps[3:], strict=False):
        bends = [s.bend for s in run]
        clear = all(b > 8 * s.noise for b, s in zip(bends, run, strict=True))
        if clear and 4 * bends[3] > bends[0] and 2 * max(bends) >= difference:
            return True
    return False
