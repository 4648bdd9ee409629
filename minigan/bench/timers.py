"""Where a step goes, op by op: timers around kernels, rules and optimisers, and none in the engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from minigan.autodiff.registry import OPS

WARM_UP = 2  # steps before the timers count


class Timers:
    """Timers around everything that computes. What runs inside something timed belongs to that.

    Args:
        finish: waits until a device has computed what it was given.
    """

    def __init__(self, finish: Callable[[], None]) -> None:
        self.finish = finish
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self.calls: dict[tuple[str, str], int] = defaultdict(int)
        self._inside = False

    def timed(
        self, function: Callable[..., Any], name: str, phase: str, may_decline: bool = False
    ) -> Callable[..., Any]:
        """`function` with its time and its calls noted; None from what may decline, as fast rules do, is no call."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(*args, **kwargs)
            self._inside, started = True, perf_counter()
            try:
                result = function(*args, **kwargs)
                self.finish()
            finally:
                self._inside = False
                self.seconds[name, phase] += perf_counter() - started
            self.calls[name, phase] += not (may_decline and result is None)
            return result

        return call

    def watch(self, xp: Any, optimizers: Iterable[Any]) -> None:
        """Put timers around every op's kernel and rules, the fast rules of the backend `xp`, and the optimisers."""
        for op in OPS.values():
            op.kernel = self.timed(op.kernel, op.name, "forward")
            for rule in op.rules:
                rule.function = self.timed(rule.function, op.name, "backward")
        for (name, inputs), function in xp.fast_rules.items():
            xp.fast_rules[name, inputs] = self.timed(function, name, "backward", may_decline=True)
        for optimizer in optimizers:
            optimizer.step = self.timed(optimizer.step, "optimiser", "forward")

    def profile(self, step: Callable[[], Any], steps: int) -> dict[str, Any]:
        """Milliseconds and calls a step by op, the largest first; `rest_ms` is what no timer saw: the engine, and Python."""
        for _ in range(WARM_UP):
            step()
        self.finish()
        self.seconds.clear()
        self.calls.clear()
        started = perf_counter()
        for _ in range(steps):
            step()
        self.finish()
        total = perf_counter() - started
        rows = []
        for name in {name for name, _ in self.seconds}:
            row: dict[str, Any] = {"op": name}
            for phase in ("forward", "backward"):
                row[f"{phase}_ms"] = 1e3 * self.seconds[name, phase] / steps
                row[f"{phase}_calls"] = self.calls[name, phase] / steps
            rows.append({**row, "share": (self.seconds[name, "forward"] + self.seconds[name, "backward"]) / total})
        rows.sort(key=lambda row: -row["share"])
        seen = sum(self.seconds.values())
        return {"ops": rows, "step_ms": 1e3 * total / steps, "rest_ms": 1e3 * (total - seen) / steps}
