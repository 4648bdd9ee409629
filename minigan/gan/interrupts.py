"""Ctrl-C at a moment that suits: between two steps, or once a process that was started has been noted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def held() -> Iterator[list[Any]]:
    """Ctrl-C comes at the end of the block; a second one comes at once. The list is empty until the first."""
    came: list[Any] = []

    def note(*args: Any) -> None:
        came.append(args)
        if len(came) > 1 and callable(before):
            before(*args)

    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # outside the main thread, where none comes
        yield came
        return
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)
        if came and callable(before):
            before(*came[0])
