"""Wrote ``cupy_api.json``: which functions CuPy has, and the parameters of each; run by hand where CuPy is installed.

It imports without CUDA, so a machine without a GPU does.
"""

import inspect
import json
from pathlib import Path
from typing import Any

import cupy

UFUNC = ["out", "dtype"]  # keywords of every element-wise function


def parameters(function: Any) -> list[str] | None:
    """Names of the parameters, with ``*`` or ``**`` before those that take the rest; None where CuPy does not tell."""
    if isinstance(function, cupy.ufunc):
        return [*(f"x{i}" for i in range(function.nin)), *UFUNC]
    try:
        return [str(p).split("=")[0] for p in inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        return None


def public(module: object) -> dict[str, object]:
    return {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}


def api() -> dict[str, object]:
    """Functions with their parameters, methods and attributes of arrays, and constants and dtypes."""
    functions = {n: parameters(f) for n, f in public(cupy).items() if callable(f) and not isinstance(f, type)}
    numbers = {n for n, v in public(cupy).items() if v is None or isinstance(v, (bool, int, float, type))}
    return {
        "version": cupy.__version__,
        "functions": {n: p for n, p in functions.items() if p is not None},
        "constants": sorted(numbers),
        "methods": sorted(public(cupy.ndarray)),
    }


if __name__ == "__main__":
    target = Path(__file__).with_name("cupy_api.json")
    target.write_text(json.dumps(api()) + "\n")
    print(f"{target}: {target.stat().st_size} bytes")
