"""What is recorded beside the numbers: grad mode, source lines, versions, and why a value has no gradient."""

from __future__ import annotations

import linecache
import sys
import threading
from functools import wraps
from types import CodeType, TracebackType
from typing import Any, NamedTuple

ENGINE = (
    "minigan.autodiff", "minigan.backends", "minigan.ops", "minigan.nn", "minigan.optim", "minigan.gan.captured",
    "minigan.gan.ema", "minigan.gan.noise",
)  # fmt: skip

Where = tuple[CodeType, int]  # code and instruction: the line number would cost more to find than the op takes
Version = list[Any]  # [how often a storage was changed in place, what changed it last]; shared by an array's views


class _Inside(dict[str, bool]):
    """Whether a module, by its name, belongs to the engine; a name is looked at once."""

    def __missing__(self, name: str) -> bool:
        self[name] = inside = name.startswith(ENGINE)
        return inside


_inside = _Inside()


def caller(depth: int = 2) -> Where:
    """Where the nearest code outside the engine stands that led here."""
    frame = sys._getframe(depth)
    while _inside[frame.f_globals.get("__name__", "")] and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def located(where: Where) -> tuple[str, int, str]:
    """A recorded place: the file, the line, and what stands there, which is empty where the source is not at hand."""
    code, instruction = where
    line = next((n for a, b, n in code.co_lines() if a <= instruction < b and n), code.co_firstlineno)
    return code.co_filename, line, linecache.getline(code.co_filename, line).strip()


def place(where: Where) -> str:
    """A recorded place as ``file:line (source)``."""
    file, line, text = located(where)
    return f"{file}:{line}" + (f" ({text})" if text else "")


def bump(version: Version, what: str) -> None:
    """Note that a storage was changed in place; `what` says by whom, as in ``"Adam.step() on 'D.0.weight'"``."""
    version[0] += 1
    version[1] = what, caller()


class Cause(NamedTuple):
    """Why a tensor is a constant: ``"detach()"`` or ``"no_grad()"``, and where."""

    kind: str
    where: Where

    def __str__(self) -> str:
        return f"{self.kind} at {place(self.where)}"


class _Mode(threading.local):
    def __init__(self) -> None:
        self.enabled = True
        self.before: list[bool] = []
        self.module: Any = None  # a weak reference to the innermost module whose forward() runs


class recording:
    """A block in which ops are recorded, or not; the state before comes back at its end, in each thread its own."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __enter__(self) -> None:
        mode.before.append(mode.enabled)
        mode.enabled = self.enabled

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        mode.enabled = mode.before.pop()


mode = _Mode()


class no_grad(recording):
    """``with mg.no_grad():`` records nothing inside the block; ``@mg.no_grad()`` makes it a decorator.

    >>> x = mg.tensor(1.0, requires_grad=True)
    >>> with mg.no_grad():
    ...     y = 2 * x
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(False)

    def __call__(self, function: Any) -> Any:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with no_grad():
                return function(*args, **kwargs)

        return wrapped
