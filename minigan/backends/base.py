"""What a backend is: an array module and a short table of hot kernels under one roof, called ``xp``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from minigan.backends.plain import PlainKernels

HostArray: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class Backend(PlainKernels):
    """One array library. ``xp.tanh`` is the library's own function, ``xp.conv2d`` a hot kernel.

    The hot kernels are written once against the array module (`PlainKernels`); a backend may
    override any of them. ``fast_rules`` holds its fused versions of gradient rules; they are
    accelerators: each computes what the plain rule of the op computes, and a property test says so.

    Args:
        name: the name that users give, such as ``"numpy"``.
        module: the array module.
        array_type: the class of its arrays.
    """

    large_parameter: float = math.inf
    """Values from which on optimisers update a parameter by itself: one call more, and a copy of its gradient less."""

    def __init__(self, name: str, module: Any, array_type: type) -> None:
        self.name = name
        self.module = module
        self.array_type = array_type
        self.fast_rules: dict[tuple[str, tuple[str, ...]], Callable[..., Any]] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.module, name)
        setattr(self, name, value)  # the next look-up finds it without coming here
        return value

    def __reduce__(self) -> Any:  # a copy of a Tensor stays on the same backend
        from minigan.backends import get

        return get, (self.name,)

    def __repr__(self) -> str:
        return f"<minigan backend {self.name}>"

    def fast_rule(self, op: str, *inputs: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a fused version of the rule of `op` for `inputs`; its parameters are the rule's, with ``xp`` for ``F``."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.fast_rules[op, inputs] = function
            return function

        return register

    def indices(self, index: Any) -> Any:
        """`index` as this backend's arrays take it."""
        return index

    def free_memory(self) -> None:
        """Give memory back that is kept for later arrays."""

    def from_host(self, array: HostArray) -> Any:
        """Copy a NumPy array into this backend."""
        raise NotImplementedError

    def to_host(self, array: Any) -> HostArray:
        """The values of `array` as a NumPy array: a view where memory is shared, else a copy."""
        raise NotImplementedError


def storage(array: Any) -> Any:
    """The array that owns the memory of `array`: itself, or the one it is a view of."""
    while array.base is not None and hasattr(array.base, "base"):
        array = array.base
    return array
