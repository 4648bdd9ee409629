"""Ops by name. Operators, methods and rules look them up here, so that the engine need not import them."""

from __future__ import annotations

from functools import cache
from typing import Any

OPS: dict[str, Any] = {}
"""minigan's own ops."""

USER_OPS: dict[str, Any] = {}
"""Users' ops: rules reach them by name too, but they never hide one of minigan's."""


def find(name: str) -> Any:
    """The op called `name`; AttributeError if there is none."""
    found = OPS.get(name) or USER_OPS.get(name)
    if found is None:
        raise AttributeError(f"there is no op {name!r}")
    return found


class RawOps:
    """``F`` for raw arrays: ops by name, on one backend, recording nothing."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        function = find(name).raw(self._xp)
        if name in OPS:  # users' ops may be defined again
            setattr(self, name, function)
        return function


class TracedOps:
    """``F`` for Tensors: the same ops by name, recorded as they run."""

    def __getattr__(self, name: str) -> Any:
        return find(name)


@cache
def raw_ops(xp: Any) -> RawOps:
    """``F`` for the raw arrays of the backend `xp`."""
    return RawOps(xp)


TRACED_OPS = TracedOps()
