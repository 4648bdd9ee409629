"""Recording on the strict backend: what a CUDA graph does, on a machine that has no CUDA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.backends.graph import Graph


class StrictGraph(Graph):
    """Notes what would be launched, each with the memory that it reads and writes, and does it all when it is launched.

    As in a capture on a GPU, nothing is computed while it is noted: what is in new arrays then means nothing, and other
    arrays stay as they are. Numbers of the host are those of the recording ever after.

    Attributes:
        noted: functions that write into arrays that there are.
    """

    def __init__(self, xp: Any) -> None:
        super().__init__(xp)
        self.noted: list[Callable[[], Any]] = []

    def _record(self, function: Callable[[], Any]) -> Any:
        self.noted = []
        with np.errstate(all="ignore"):  # shapes come from what is in memory by chance
            return function()

    def _launch(self) -> None:
        self.xp.launches += 1  # all of it at once
        for work in self.noted:
            work()
