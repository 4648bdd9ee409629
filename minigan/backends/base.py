"""What a backend is: an array module and a short table of hot kernels under one roof, called ``xp``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from minigan.backends.graph import Graph
from minigan.backends.plain import PlainKernels
from minigan.errors import CaptureError

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

    precisions: tuple[str, ...] = ("fp32",)
    """How float32 can be multiplied here."""

    precision = "fp32"
    """How it is: one of `precisions`; may be set at any time."""

    on_device = False
    """Whether arrays live outside the host's memory, so that what changes from step to step is better counted there."""

    can_record = False
    """Whether `new_graph` makes one."""

    open_graph: Graph | None = None  # the one that runs or records something now

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

    # -- recording -------------------------------------------------------------------------------------

    def new_graph(self) -> Graph:
        """What records work of this backend, and launches it again as a whole."""
        raise CaptureError(f"the backend {self.name!r} cannot record what it computes")

    @property
    def recording(self) -> bool:
        """Whether what is computed now is recorded, and computed later."""
        return self.open_graph is not None and self.open_graph.recording

    def follow(self, ready: Callable[[], None], count: Callable[[int], None]) -> None:
        """Go along with what is being recorded now, if anything is.

        Args:
            ready: called before each launch; brings to the device what has changed on the host, and raises `CaptureError` if
                that cannot be had without recording anew.
            count: called with 1 after each replay, to do on the host what the recorded function did there; with -1 where a
                recording failed, to take that back.
        """
        if self.open_graph is not None:
            self.open_graph.followers.append((ready, count))

    def refuse(self, why: str) -> None:
        """Say of what happens now that no recording can hold it: `CaptureError` while there is one."""
        if self.open_graph is not None:
            self.open_graph.refuse(why)

    def from_host(self, array: HostArray) -> Any:
        """Copy a NumPy array into this backend."""
        raise NotImplementedError

    def to_host(self, array: Any) -> HostArray:
        """The values of `array` as a NumPy array: a view where memory is shared, else a copy."""
        raise NotImplementedError


def memory_order(array: Any) -> list[int]:
    """An array's axes, those first along which neighbours are farthest apart in memory."""
    return sorted(range(array.ndim), key=lambda i: -array.strides[i])


def inverse(order: Sequence[int]) -> list[int]:
    """The permutation that takes another one back."""
    return sorted(range(len(order)), key=order.__getitem__)


def storage(array: Any) -> Any:
    """The array that owns the memory of `array`: itself, or the one it is a view of."""
    while array.base is not None and hasattr(array.base, "base"):
        array = array.base
    return array
