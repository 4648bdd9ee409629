"""Recording on a GPU: a CUDA graph, captured from a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from minigan.backends.graph import Graph, Result
from minigan.errors import CaptureError


class CudaGraph(Graph):
    """A graph with a stream and memory of its own.

    The stream does not wait for the default one, which cannot be captured, and events keep the order between the two. The
    memory goes to nobody else while the graph lives, because each launch writes to it again.
    """

    def __init__(self, xp: Any) -> None:
        super().__init__(xp)
        self._cuda = xp.module.cuda
        self._stream, self._pool = self._cuda.Stream(non_blocking=True), self._cuda.MemoryPool()
        self._before, self._behind = (self._cuda.Event(disable_timing=True) for _ in range(2))
        self._captured: Any = None

    @contextmanager
    def _place(self) -> Iterator[None]:
        """The own stream and memory; after all that has been asked for outside, and before all that will be."""
        outside = self._cuda.get_current_stream()
        outside.record(self._before)
        self._stream.wait_event(self._before)
        try:
            with self._stream, self._cuda.using_allocator(self._pool.malloc):
                yield
        finally:
            self._stream.record(self._behind)
            outside.wait_event(self._behind)

    def _record(self, function: Callable[[], Result]) -> Result:
        self._stream.begin_capture()
        try:
            result = function()
        except BaseException as error:
            with suppress(RuntimeError):  # what is left of it may be no graph
                self._stream.end_capture()
            if isinstance(error, CaptureError) or not isinstance(error, RuntimeError):
                raise
            raise CaptureError(f"CuPy cannot capture what is computed: {error}") from error
        try:
            self._captured = self._stream.end_capture()
        except RuntimeError as error:
            raise CaptureError(f"CuPy cannot capture what was computed: {error}") from error
        return result

    def _launch(self) -> None:
        with self._place():
            self._captured.launch(self._stream)
