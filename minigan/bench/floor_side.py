"""The floor's side of a bench: the matrix products of a step and nothing else. Runs in `worker`, without minigan."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

TRIALS = 10  # of which the best counts


class Side:
    """The products of a step, on arrays that are made beforehand; equal shapes share their arrays."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.xp: Any = import_module(job["backend"])
        arrays: dict[tuple[int, ...], Any] = {}

        def array(role: int, *shape: int) -> Any:
            key = (role, *shape)
            if key not in arrays:
                arrays[key] = self.xp.full(shape, 0.5, "float32")
            return arrays[key]

        self.products = []
        for rows, inner, columns, transposed, *_ in job["products"]:
            a = array(0, inner, rows).T if transposed == "a" else array(0, rows, inner)
            b = array(1, columns, inner).T if transposed == "b" else array(1, inner, columns)
            self.products.append((a, b, array(2, rows, columns)))

    def facts(self) -> dict[str, Any]:
        """What the report says of this side."""
        return {"products": len(self.products)}

    def step(self) -> None:
        """All products once."""
        for a, b, y in self.products:
            self.xp.matmul(a, b, out=y)

    def rates(self, sizes: dict[str, int]) -> dict[str, float]:
        """What this machine reaches with nothing else to do: `bytes` moved a second, and `operations` of a product.

        Args:
            sizes: `copied`, float32 numbers of an array that is copied, read and written; `side` of square matrices.
        """
        x = self.xp.full(sizes["copied"], 0.5, "float32")
        y = self.xp.empty_like(x)
        moved = 2 * x.nbytes / self.best(partial(self.xp.copyto, y, x))
        side = sizes["side"]
        a, b, c = (self.xp.full((side, side), 0.5, "float32") for _ in range(3))
        return {"bytes": moved, "operations": 2 * side**3 / self.best(partial(self.xp.matmul, a, b, out=c))}

    def best(self, work: Callable[[], Any]) -> float:
        """Seconds of the fastest trial."""
        times = []
        for _ in range(TRIALS):
            started = time.perf_counter()
            work()
            self.finish()
            times.append(time.perf_counter() - started)
        return min(times)

    def finish(self) -> None:
        """Wait until everything is computed."""
        if self.xp.__name__ == "cupy":
            self.xp.cuda.get_current_stream().synchronize()
