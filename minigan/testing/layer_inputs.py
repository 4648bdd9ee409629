"""The inputs of `check_layer`: arrays for shapes, or many from a strategy, of which the smallest that fails is reported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.backends import HostArray
from minigan.testing.calls import on_host
from minigan.testing.cases import spoken
from minigan.testing.failures import BadSubject, OnKink

SEEDS = 5  # points to try where differences say nothing, as on a kink, which random values hit almost never

Judge = Callable[[Sequence[HostArray]], None]


def at_points(judge: Judge, input: Any, rng: int) -> None:
    """Judge one point; another where differences say nothing there."""
    for attempt in range(SEEDS):
        try:
            return judge(_drawn(input, np.random.default_rng((rng, attempt))))
        except OnKink:
            if attempt == SEEDS - 1:
                raise


def _drawn(input: Any, rng: np.random.Generator) -> list[HostArray]:
    """Arrays for shapes; arrays stay.

    Raises:
        BadSubject: neither.
    """
    if isinstance(input, (np.ndarray, Tensor)) or _is_shape(input):
        input = (input,)
    if not isinstance(input, tuple):
        raise _no_input(input)
    xs = []
    for part in input:
        if _is_shape(part):
            xs.append(_values(part, rng))
        elif isinstance(part, (np.ndarray, Tensor)):
            xs.append(np.array(on_host(part)))
        else:
            raise _no_input(input)
    return xs


def _is_shape(value: Any) -> bool:
    sizes = isinstance(value, tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in value)
    if sizes and any(n < 0 for n in value):
        raise _no_input(value)
    return sizes


def _no_input(value: Any) -> BadSubject:
    return BadSubject(
        f"input is a shape such as (2, 3, 4, 4), an array, a tuple of these, or a hypothesis strategy of arrays; got {value!r:.80}"
    )


def _values(shape: tuple[int, ...], rng: np.random.Generator) -> HostArray:
    """Numbers of both signs from 0.25 to 2, no two of the same size, in float32 as layers are."""
    size = int(np.prod(shape))
    values = rng.permutation(np.linspace(0.25, 2.0, size)) * rng.choice((-1.0, 1.0), size)
    return values.reshape(shape).astype(np.float32)


def is_strategy(input: Any) -> bool:
    strategies = sys.modules.get("hypothesis.strategies")  # where nobody has loaded it there is none
    return strategies is not None and isinstance(input, strategies.SearchStrategy)


def explore(judge: Judge, strategy: Any, rng: int) -> None:
    """Judge many inputs; raises the failure of the smallest one that fails.

    Raises:
        BadSubject: the strategy gives nothing, or no arrays.
    """
    import hypothesis
    from hypothesis import errors

    failure: Exception | None = None
    kink: OnKink | None = None

    def judged(drawn: Any) -> None:
        nonlocal failure, kink
        try:
            judge(_arrays(drawn))
        except OnKink as error:
            kink = error
            hypothesis.reject()
        except Exception as error:
            failure = error
            raise

    @hypothesis.seed(rng)
    @hypothesis.settings(
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def explored(drawn: Any) -> None:
        judged(drawn)

    try:
        explored()
    except Exception as error:
        if failure is None:
            if not isinstance(error, (errors.Unsatisfiable, errors.InvalidArgument)):
                raise
            if kink is not None:
                raise kink from None
            raise BadSubject(f"the strategy {strategy!r:.80} generates no input: {spoken(error)}") from None
    if failure is not None:
        raise _bare(failure, judged.__code__)


def _bare(failure: Exception, start: CodeType) -> Exception:
    """A failure as it was where it arose, without what hypothesis put around it."""
    if hasattr(failure, "__notes__"):
        failure.__notes__.clear()
    trace = failure.__traceback__
    while trace is not None and trace.tb_frame.f_code is not start:
        trace = trace.tb_next
    return failure.with_traceback(trace)


def _arrays(drawn: Any) -> list[HostArray]:
    parts = drawn if isinstance(drawn, tuple) else (drawn,)
    for part in parts:
        if not isinstance(part, (np.ndarray, Tensor)):
            raise BadSubject(f"the strategy has to give arrays or tuples of arrays, and gave {part!r:.80}")
    return _drawn(tuple(parts), np.random.default_rng(0))
