"""The floor's side of a bench: the matrix products of a step and nothing else. Runs in `worker`, without minigan."""

from __future__ import annotations

from importlib import import_module
from typing import Any


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
        for rows, inner, columns, transposed in job["products"]:
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

    def finish(self) -> None:
        """Wait until everything is computed."""
        if self.xp.__name__ == "cupy":
            self.xp.cuda.get_current_stream().synchronize()
