"""What is recorded beside the numbers: grad mode, source lines, and why a value has no gradient."""

from __future__ import annotations

import linecache
import sys
import threading
from types import CodeType, TracebackType
from typing import Any, NamedTuple

_ENGINE = ("minigan.autodiff", "minigan.ops", "minigan.nn", "minigan.optim")


class Where(NamedTuple):
    """A place in the user's source, kept as code and instruction because the line number costs more to find."""

    code: CodeType
    instruction: int

    def __str__(self) -> str:
        line = next((n for a, b, n in self.code.co_lines() if a <= self.instruction < b and n), self.code.co_firstlineno)
        text = linecache.getline(self.code.co_filename, line).strip()
        return f"{self.code.co_filename}:{line}" + (f" ({text})" if text else "")


def caller() -> Where:
    """Where the nearest code outside the engine stands that led here."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_ENGINE):
        frame = frame.f_back
    return Where(frame.f_code, frame.f_lasti)


class Version:
    """How often a storage was changed in place; one object for an array and all its views."""

    __slots__ = ("count", "change")

    def __init__(self) -> None:
        self.count = 0
        self.change: tuple[str, Where] | None = None

    def bump(self, what: str) -> None:
        """Note a change; `what` says by whom, as in ``"Adam.step() on 'D.0.weight'"``."""
        self.count += 1
        self.change = (what, caller())


class Cause(NamedTuple):
    """Why a tensor is a constant: ``"detach()"`` or ``"no_grad()"``, and where."""

    kind: str
    where: Where

    def __str__(self) -> str:
        return f"{self.kind} at {self.where}"


class _Mode(threading.local):
    enabled = True


mode = _Mode()


class no_grad:
    """``with mg.no_grad():`` records nothing inside the block; also a decorator."""

    def __enter__(self) -> None:
        self._before: list[bool] = [*getattr(self, "_before", []), mode.enabled]
        mode.enabled = False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        mode.enabled = self._before.pop()

    def __call__(self, function: Any) -> Any:
        from functools import wraps

        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with no_grad():
                return function(*args, **kwargs)

        return wrapped
