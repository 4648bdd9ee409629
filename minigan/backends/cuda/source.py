"""The kernels' sources, as NVRTC compiles them: nothing is included that it would have to look for."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

FILES = {
    "elementwise": ("common.cuh", "elementwise.cu"),
    "norms": ("common.cuh", "norms.cu"),
    "products": ("common.cuh", "tiles.cuh", "products.cu"),
    "convolutions": ("common.cuh", "tiles.cuh", "convolutions.cu"),
}
DTYPES = {"float32": "float", "float64": "double"}
PRECISIONS = ("fp32", "tf32")
ARCHITECTURES = (75, 80, 90)


@cache
def code(module: str) -> str:
    """The source of a module, whole."""
    return "\n".join(Path(__file__).with_name(name).read_text() for name in FILES[module])


def options(dtype: str, precision: str = "fp32") -> tuple[str, ...]:
    """What a module is compiled with: the dtype of its arrays, and how float32 is multiplied."""
    fast = precision == "tf32" and dtype == "float32"
    return ("--std=c++17", f"-DREAL={DTYPES[dtype]}", *(["-DTF32"] if fast else []))


MODULES = {module: tuple(re.findall(r"^KERNEL (\w+)\(", code(module), re.MULTILINE)) for module in FILES}
