"""Proving layers and ops: what minigan's own tests use, for users' too."""

from minigan.backends import register
from minigan.testing.strict import STRICT, StrictArray, StrictError

register(STRICT)

__all__ = ["STRICT", "StrictArray", "StrictError"]
