"""The engine's law on changes in place: what was saved for a gradient and is not what it was is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minigan.autodiff import Tensor
from minigan.errors import InPlaceChange
from minigan.testing.calls import Run
from minigan.testing.cases import Calls


def check_changes_noticed(f: Any, *xs: Any, rng: int = 0) -> None:
    """No gradient is of values that changed in place after the call: it is the old one, or `InPlaceChange` is raised.

    Every input, output, parameter and buffer is changed in its turn, by itself and through `Tensor.detach`.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors.
        rng: seed of the gradients that arrive.

    Raises:
        LawBroken: a gradient is another, and nothing says why.

    >>> mg.testing.check_changes_noticed(mg.ops.tanh, np.ones((2, 3)))
    """
    with Calls(check_changes_noticed, "changes are noticed", f, xs, rng) as calls:
        run = calls()
        arriving = calls.arriving(run)
        expected = run.pull(arriving)
        for what in dict(_held(calls, run)):
            for traced in (False, True):
                run = calls()
                t = dict(_held(calls, run))[what]
                try:
                    t.assign_((t.numpy() * 0.75).astype(str(t.dtype)))
                except ValueError:  # memory that is read-only, or repeats elements
                    continue
                try:
                    found = run.pull(arriving, traced)
                except InPlaceChange:
                    continue
                headline = f"{what} changes after the call, and another gradient comes without a word"
                calls.hold_gradients(headline, found, expected)


def _held(calls: Calls, run: Run) -> Iterator[tuple[str, Tensor]]:
    """What a user may overwrite, by name; what an op made only through a constant that shares its memory."""
    for name, t in zip(calls.names, run.inputs, strict=True):
        if isinstance(t, Tensor) and t.dtype.kind == "f":
            yield f"input {name!r}", t
            yield f"input {name!r}, detached,", t.detach()
    for i, y in enumerate(run.outputs):
        if y.dtype.kind == "f":
            yield f"output {i}, detached,", y.detach()
    for i, t in enumerate(calls.state):
        if t.dtype.kind == "f":
            yield f"{t.name or i!r} of the layer's state", t
