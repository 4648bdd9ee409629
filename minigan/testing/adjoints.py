"""Functions that are linear in one argument: their gradients are adjoints."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends import HostArray
from minigan.testing.cases import peak, placed
from minigan.testing.failures import AdjointWrong, BadSubject, NotLinear
from minigan.testing.reports import Report, gradients_of, ratio, rule_facts
from minigan.testing.subjects import Evaluation, dense

# Two sums of the same products in two orders differ by eps/2 times their number at most, relative to the sum of |terms|: for
# a million terms 1e-10. Whatever is no adjoint, or not linear, is off by more unless it was built for this test.
SAME_SUM = 1e-10


def check_adjoint(f: Any, *xs: Any, wrt: int | str = 0, rng: int | np.random.Generator = 0) -> None:
    """Check that the gradient of a function that is linear in one argument is its adjoint: <A x, y> = <x, A^T y>.

    A x is f(x) - f(0), so that a bias may be there; A^T y comes from the gradient rule. Both sides are computed in float64
    and may differ by 1e-10 of the sum of their terms' absolute values.

    Args:
        f: a function of Tensors, an op or a layer.
        xs: arrays or Tensors.
        wrt: the argument in which `f` is linear: its number among the variables, or its name.
        rng: a seed.

    Raises:
        AdjointWrong: the sides differ.
        NotLinear: `f` is not linear in the argument.
        BadSubject: no such argument of floats, or values that are not finite.

    >>> mg.testing.check_adjoint(mg.ops.conv2d, np.ones((1, 2, 4, 4)), np.ones((3, 2, 2, 2)), wrt="weight")
    """
    with Report(AdjointWrong, f, xs, rng, {} if wrt == 0 else {"wrt": wrt}) as report, np.errstate(all="ignore"):
        line = _Line(report, wrt)
        _check_linear(report, line)
        x, zero = line.draw(), line.at(0 * line.draw())
        evaluation = line.evaluate(x)
        values = report.finite(evaluation)
        ys = [dense(report.rng, y.shape) for y in values]
        (pulled,) = gradients_of(evaluation, ys, [evaluation.leaves[line.index]])
        backward = np.zeros_like(x) if pulled is None else x * pulled
        left = [v * y for v, y in zip(values, ys, strict=True)]
        right = [z * y for z, y in zip(zero, ys, strict=True)]
        one, other = sum(float(np.sum(a)) for a in left) - sum(float(np.sum(a)) for a in right), float(np.sum(backward))
        size = sum(float(np.sum(np.abs(a))) for a in [*left, *right, backward])
        if abs(one - other) > SAME_SUM * size:
            facts = {"⟨f(x) - f(0), y⟩": f"{one:.10g}", "⟨x, fᵀ y⟩": f"{other:.10g}", "ratio": ratio(other, one)}
            headline = f"the gradient by {line.name} is not the adjoint of f, which is linear in it"
            rule = rule_facts(report.primal, evaluation, line.index)
            raise AdjointWrong(headline, **rule, **facts)


def check_linear(f: Any, *xs: Any, wrt: int | str = 0, rng: int | np.random.Generator = 0) -> None:
    """Check that a function is linear in one argument, but for a constant: f(a x + b y) - f(0) = a (f(x) - f(0)) + b (f(y) - f(0)).

    Computed in float64; an element may be off by 1e-10 of the largest term.

    Args:
        f: a function of Tensors, an op or a layer.
        xs: arrays or Tensors.
        wrt: the argument: its number among the variables, or its name.
        rng: a seed.

    Raises:
        NotLinear: it is not.
        BadSubject: no such argument of floats, or values that are not finite.

    >>> mg.testing.check_linear(mg.ops.matmul, np.ones((2, 3)), np.ones((3, 2)), wrt=1)
    """
    with Report(NotLinear, f, xs, rng, {} if wrt == 0 else {"wrt": wrt}) as report, np.errstate(all="ignore"):
        _check_linear(report, _Line(report, wrt))


class _Line:
    """A function of one of its variables, the others held."""

    def __init__(self, report: Report, wrt: int | str) -> None:
        names = report.primal.names
        if isinstance(wrt, str) and wrt in names:
            self.index = names.index(wrt)
        elif isinstance(wrt, int) and 0 <= wrt < len(names):
            self.index = wrt
        else:
            raise BadSubject(f"wrt={wrt!r} is none of the variables {', '.join(names)}")
        self.report, self.name = report, names[self.index]
        a = report.primal.at[self.index]
        self._shape, self._size = a.shape, float(np.max(np.abs(a), initial=0.0)) or 1.0

    def draw(self) -> HostArray:
        """A random value of the variable, of the size of the one that was given."""
        return self._size * dense(self.report.rng, self._shape)

    def evaluate(self, value: HostArray) -> Evaluation:
        values = list(self.report.primal.at)
        values[self.index] = value
        return self.report.primal(values)

    def at(self, value: HostArray) -> list[HostArray]:
        return self.report.finite(self.evaluate(value))


def _check_linear(report: Report, line: _Line) -> None:
    x, y, a, b = line.draw(), line.draw(), 1.75, -0.625
    at = [line.at(v) for v in (a * x + b * y, x, y, 0 * x)]
    for name, both, one, other, zero in zip(report.primal.outputs, *at, strict=True):
        terms = [both, -a * one, -b * other, (a + b - 1) * zero]
        off = np.abs(sum(terms))
        size = sum(float(np.max(np.abs(t), initial=0.0)) for t in terms)
        if np.max(off, initial=0.0) > SAME_SUM * size:
            index = peak(off)
            raise NotLinear(
                f"f is not linear in {line.name}",
                element=placed(name, index),
                left=f"{(both - zero)[index]:.12g} = f(a x + b y) - f(0)",
                right=f"{(a * (one - zero) + b * (other - zero))[index]:.12g} = a (f(x) - f(0)) + b (f(y) - f(0))",
            )
