"""Work of a device that is recorded once, and launched again as a whole, without the host's share in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

from minigan.errors import CaptureError

Result = TypeVar("Result")


class Graph:
    """What a function launches, to be launched again on the same arrays: a CUDA graph. Made by a backend's `new_graph`.

    A replay calls no function of the host: the host's numbers and choices are frozen in it, and arrays are not, so that it
    reads what lies in them now, and writes where the function wrote. Three calls, in this order::

        graph = xp.new_graph()
        graph.run(function)  # once, as usual: so that nothing is made, compiled or allocated for the first time later
        result = graph.record(function)
        graph.replay()  # `result` changes

    What lives on the host and goes along, such as an optimiser's count of its steps, follows: see `Backend.follow`.

    Attributes:
        recording: whether a function is being recorded.
        refused: why the function that ran here last cannot be recorded, or None.
    """

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.recording, self.refused = False, ""
        self.followers: list[tuple[Callable[[], None], Callable[[int], None]]] = []

    def run(self, function: Callable[[], Result]) -> Result:
        """Call `function`, in the place and on the memory where it is to be recorded; `refused` says if it can't be."""
        with self._open():
            return function()

    def record(self, function: Callable[[], Result]) -> Result:
        """Record what `function` launches, and launch it once: all in all it has been done once.

        Returns:
            What `function` returned. Its arrays lie in the graph's memory: each replay overwrites them.

        Raises:
            CaptureError: `function` reads from the device, brings values there, or does something else that cannot be recorded.
                Nothing has been computed then, and what follows is as it was before.
        """
        self.ready()
        self.recording = True
        try:
            with self._open():
                result = self._record(function)
        except BaseException:
            for _, count in self.followers:
                count(-1)
            raise
        finally:
            self.recording = False
        self._launch()
        return result

    def replay(self) -> None:
        """Launch all of it again.

        Raises:
            CaptureError: as `ready` does; nothing has been computed.
        """
        self.ready()
        self._launch()
        for _, count in self.followers:
            count(1)

    def ready(self) -> None:
        """Have what follows bring over what was set since the last launch.

        Raises:
            CaptureError: something has changed that is frozen.
        """
        for ready, _ in self.followers:
            ready()

    def refuse(self, why: str) -> None:
        """Note that what runs here cannot be recorded, and stop a recording."""
        self.refused = self.refused or why
        if self.recording:
            raise CaptureError(f"{why}, which cannot be recorded")

    @contextmanager
    def _open(self) -> Iterator[None]:
        if self.xp.open_graph is not None:
            raise CaptureError("a graph is recorded, or run, inside of another one; do one after the other")
        self.followers, self.refused = [], ""
        self.xp.open_graph = self
        try:
            with self._place():
                yield
        finally:
            self.xp.open_graph = None

    def _place(self) -> AbstractContextManager[Any]:
        """Where functions run, record and are launched."""
        return nullcontext()

    def _record(self, function: Callable[[], Result]) -> Result:
        """Note what `function` launches, without computing anything."""
        raise NotImplementedError

    def _launch(self) -> None:
        """Compute what was noted."""
        raise NotImplementedError
