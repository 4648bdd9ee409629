"""The generator that is kept: an average over training, which is calmer than its last step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from minigan import backends
from minigan.autodiff.trace import bump
from minigan.errors import CaptureError, ShapeError
from minigan.nn import Module


class EMA:
    """An exponential moving average of a module: average = d average + (1 - d) value, with d near 1.

    Yazici et al. (2019) for generators. Until it has seen enough, d = (1 + t) / (10 + t) after t updates, so that the
    first weights are soon forgotten. Batch norm's running statistics are averaged as parameters are, integers copied. On a
    device t is counted there too, so that a recorded step (`Captured`) counts on.

    Args:
        module: what is averaged; it is never changed, and shares no array with its average.
        decay: d in the long run.

    Attributes:
        module: the average, a copy of the module in evaluation mode, whose parameters require no gradient.
        decay: d in the long run.
        count: the number of updates so far.

    Raises:
        ValueError: a decay outside [0, 1).

    >>> G = mg.nn.Dense(1, 1, bias=False, rng=0)
    >>> _ = G.weight.assign_(0.0)
    >>> ema = mg.gan.EMA(G)
    >>> _ = G.weight.assign_(1.0)
    >>> ema.update()  # d = 0.1 at first
    >>> print(ema.module.weight.numpy())
    [[0.9]]
    """

    def __init__(self, module: Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        self.decay, self.count = decay, 0
        self._ten_more: Any = None  # 10 + t on a device
        state = {id(value): value for _, value in module.named_state()}  # what is tied is averaged once
        averages = {key: type(value)(value, requires_grad=False, name=value.name) for key, value in state.items()}
        self.module = deepcopy(module, dict(averages)).eval()
        self._pairs = [(averages[key], value) for key, value in state.items()]

    def update(self) -> None:
        """Take the module's present state in; to be called after each of its optimiser's steps.

        >>> G = mg.nn.Dense(2, 3)
        >>> ema = mg.gan.EMA(G, decay=0.99)
        >>> ema.update()
        >>> ema.count
        1
        """
        share = self._share()
        for average, value in self._pairs:
            if average.backend != value.backend:  # the module has moved
                self.module.to(value.backend)
            if average.dtype.kind == "f":
                change = value.data - average.data
                change *= share
                average.data += change
            else:
                average.data[...] = value.data
        self._count(1)
        self._home.follow(self._unchanged(), self._count)

    @property
    def _home(self) -> backends.Backend:
        return backends.get(next((value.backend for _, value in self._pairs), "numpy"))

    def _share(self) -> Any:
        """1 - d for this update; on a device computed there, an array of one."""
        xp = self._home
        if not xp.on_device:
            return 1 - min(self.decay, (1 + self.count) / (10 + self.count))
        if self._ten_more is None or backends.of(self._ten_more) is not xp:
            if xp.recording:
                raise CaptureError("the first update of an average cannot be recorded; make one before")
            self._ten_more = xp.full((), 10.0 + self.count, "float64")
        share = xp.maximum(9 / self._ten_more, 1 - self.decay)
        self._ten_more += 1
        return share

    def _count(self, by: int) -> None:
        """What an update does on the host, or take it back."""
        self.count += by
        for average, _ in self._pairs:
            bump(average._version, f"EMA.update() on {average.label}")

    def _unchanged(self) -> Callable[[], None]:
        """Sees to it that what is recorded now is still what would be computed."""
        count, decay, arrays = self._ten_more, self.decay, [average.data for average, _ in self._pairs]

        def ready() -> None:
            same = all(average.data is array for (average, _), array in zip(self._pairs, arrays, strict=True))
            if self._ten_more is not count or self.decay != decay or not same:
                raise CaptureError("the average's state or decay has been replaced since it was recorded")

        return ready

    def state_dict(self) -> dict[str, Any]:
        """The count, and the average's state: ``{"count": ..., "module": ...}``.

        >>> sorted(mg.gan.EMA(mg.nn.Dense(2, 3)).state_dict())
        ['count', 'module']
        """
        return {"count": self.count, "module": self.module.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave; all or nothing. The decay stays as it is.

        Raises:
            ShapeError: a state of something else, or of another module.

        >>> a, b = (mg.gan.EMA(mg.nn.Dense(2, 3)) for _ in range(2))
        >>> a.update()
        >>> b.load_state_dict(a.state_dict())
        >>> b.count, bool((a.module.weight.numpy() == b.module.weight.numpy()).all())
        (1, True)
        """
        if state.keys() != {"count", "module"}:
            raise ShapeError(f"EMA state must have ['count', 'module'], got {sorted(state)}")
        count = int(state["count"])
        if count < 0:
            raise ShapeError(f"EMA state must have a count of at least 0, got {count}")
        self.module.load_state_dict(state["module"])
        self.count, self._ten_more = count, None
