"""The one pool of threads that is at work in the process.

Two pools spoil each other, for threads that wait for work spin. So either BLAS's threads serve, for the products, and all else
is done in the calling thread; or minigan's do: a hot kernel cuts its work into parts, one a thread, and BLAS keeps to one
thread inside. Products alone are faster in BLAS's threads, everything else in minigan's: the first large convolution takes
over, for good. ``docs/decisions/0007-threads.md`` has the figures.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from operator import itemgetter
from queue import SimpleQueue
from typing import Any

import numpy as np

from minigan.errors import BackendError

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Work = Callable[[slice], Any]
Answers = SimpleQueue[tuple[int, Any, BaseException | None]]


def usable() -> int:
    """How many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _from_environment() -> int:
    """All usable processors, or fewer where one of the usual variables asks for it."""
    asked = [int(value) for name in VARIABLES if (value := os.environ.get(name, "")).isdecimal()]
    return max(1, min([usable(), *asked]))


class _Pool:
    def __init__(self) -> None:
        self.size = _from_environment()
        self.serving = False  # or else BLAS's threads do
        self.wait: Callable[[Any, int], None] = lambda counter, seen: None
        self.restart()

    def restart(self) -> None:
        """Start without threads, as a process does that was just forked."""
        self.tasks: SimpleQueue[tuple[contextvars.Context, Work, slice, Answers]] = SimpleQueue()
        self.started = 1  # the calling thread takes a part, too
        self.asked, self.answered = np.zeros((2, 8), np.int64)  # hints for those who wait; a cache line each
        self.here = threading.local()

    def serve(self) -> None:
        """What each thread does for ever."""
        self.here.busy = True
        while True:
            seen = int(self.asked[0])
            if self.tasks.empty():
                self.wait(self.asked, seen)
            context, work, part, answers = self.tasks.get()
            try:
                answers.put((part.start, context.run(work, part), None))
            except BaseException as error:
                answers.put((part.start, None, error))
            self.answered[0] += 1
            del context, work, part, answers  # arrays are not to be held while waiting

    def next_of(self, answers: Answers) -> tuple[int, Any, BaseException | None]:
        """The next answer, waited for."""
        seen = int(self.answered[0])
        if answers.empty():
            self.wait(self.answered, seen)
        return answers.get()


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.restart)


def threads() -> int:
    """How many threads the hot kernels use: one for each processor, unless `set_threads` or the environment says fewer.

    >>> mg.backends.threads() >= 1
    True
    """
    return _pool.size


def set_threads(n: int) -> None:
    """Use `n` threads from now on.

    Raises:
        BackendError: less than one, or more than this process has processors.

    >>> before = mg.backends.threads()
    >>> mg.backends.set_threads(1)
    >>> mg.backends.threads()
    1
    >>> mg.backends.set_threads(before)
    """
    if not isinstance(n, int) or not 1 <= n <= usable():
        raise BackendError(f"threads must be from 1 to {usable()}, the processors that this process may use, got {n!r}")
    _pool.size = n
    for library in _blas():
        library.set_num_threads(n)


def serving() -> bool:
    """Whether minigan's threads serve, and not BLAS's."""
    return _pool.serving


def take_over() -> None:
    """Let minigan's threads serve from now on."""
    _pool.serving = True


@contextmanager
def own_threads(yes: bool) -> Iterator[None]:
    """Let minigan's own threads serve for a while, or BLAS's until the first large convolution.

    Sums may be rounded in another order by the one than by the other: this makes a computation's rounding independent of
    what ran before it in the process.

    >>> with mg.backends.own_threads(True):
    ...     y = mg.tensor(np.ones((64, 100))) @ mg.tensor(np.ones((100, 20)))
    """
    before, _pool.serving = _pool.serving, yes
    try:
        yield
    finally:
        _pool.serving = before


def wait_by(wait: Callable[[Any, int], None]) -> None:
    """Before a thread sleeps, it calls ``wait(counter, seen)``, which may return as soon as the counter changes.

    To wake a thread that sleeps takes some 25 microseconds, so that it is worth waiting for that long.
    """
    _pool.wait = wait


def run(work: Work, count: int, least: int = 1) -> list[Any]:
    """Call `work` with slices that make up ``range(count)``, one a thread and each of at least `least`; its results in order."""
    if not _pool.serving or getattr(_pool.here, "busy", False):
        return [work(part) for part in parts(0, count, 1)]
    mine, *rest = parts(0, count, min(_pool.size, count // least)) or [slice(0, 0)]
    while _pool.started <= len(rest):
        threading.Thread(target=_pool.serve, name="minigan", daemon=True).start()
        _pool.started += 1
    answers: Answers = SimpleQueue()
    with one_blas_thread:
        for part in rest:
            _pool.tasks.put((contextvars.copy_context(), work, part, answers))
        _pool.asked[0] += 1
        _pool.here.busy = True
        try:
            results = [work(mine)] if count else []
        finally:
            _pool.here.busy = False
            others = sorted((_pool.next_of(answers) for _ in rest), key=itemgetter(0))
    for _, result, error in others:
        if error is not None:
            raise error
        results.append(result)
    return results


def parts(start: int, stop: int, number: int) -> list[slice]:
    """`number` slices of nearly equal length; one where `number` is 0, none where there is nothing to do."""
    number = max(1, number)
    ends = [start + (stop - start) * i // number for i in range(number + 1)]
    return [slice(a, b) for a, b in pairwise(ends) if a < b]


def blocks(part: slice, most: int) -> list[slice]:
    """Slices of nearly equal length that make up a part, none longer than `most`."""
    return parts(part.start, part.stop, -(-(part.stop - part.start) // max(1, most)))


class _OneThread:
    """``with one_blas_thread:`` products of matrices start no threads; several threads may be inside at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.before: list[int] = []

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.before = [library.num_threads for library in _blas()]
                for library in _blas():
                    library.set_num_threads(1)

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                for library, n in zip(_blas(), self.before, strict=True):
                    library.set_num_threads(n)


one_blas_thread = _OneThread()


@cache
def _blas() -> list[Any]:
    """The BLAS libraries in the process whose threads can be set."""
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)
