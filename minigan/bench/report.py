"""The bench as text, a block a network, and what the machine is."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from minigan import __version__
from minigan.bench.compare import PYTORCH

SHARE = 0.005  # of a step: ops below this stand together in one line of the table


def machine() -> dict[str, Any]:
    """The processor and the versions of everything that computes."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "cpu": _cpu(), "cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version(),
        "minigan": __version__, "numpy": np.__version__, "blas": f"{blas['name']} {blas['version']}",
        "numba": _version("numba"), "torch": _version("torch"),
    }  # fmt: skip


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def heading(facts: dict[str, Any], threads: int) -> str:
    """The machine in two lines."""
    versions = ", ".join(
        f"{name} {facts[key] or 'not installed'}"
        for name, key in (("NumPy", "numpy"), ("BLAS", "blas"), ("Numba", "numba"), (PYTORCH, "torch"))
    )
    return f"{facts['cpu']}, {facts['cores']} cores; {threads} threads a side\nPython {facts['python']}, {versions}"


def row(cells: Iterable[Any]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(map(str, cells))} |"


def block(result: dict[str, Any]) -> str:
    """One network's figures."""
    return "\n".join(_lines(result))


def _lines(result: dict[str, Any]) -> Iterator[str]:
    batch = f", batch {result['batch']}" if result["batch"] else ""
    yield f"{result['network']}{batch}"
    for message in result["errors"]:
        yield f"  error: {message}"
    for line in result["said"]:
        yield f"  said by {line}"
    sides = result["sides"]
    if not sides:
        yield "  no figures"
        return
    head = (result["unit"], "to PyTorch (quartiles)", "to the floor", "peak MB", "to PyTorch")
    yield f"  {'':<16}{head[0]:>12}  {head[1]:>24}{head[2]:>14}{head[3]:>10}{head[4]:>12}"
    for label, side in sides.items():
        ratio, memory = side.get("ratio"), side["memory_mb"]
        cells = (
            f"{side['time']:.2f}",
            f"{ratio['median']:.2f} ({ratio['quartiles'][0]:.2f} to {ratio['quartiles'][1]:.2f})" if ratio else "",
            f"{side['floor_ratio']:.2f}" if side.get("floor_ratio") else "",
            f"{memory:.1f}" if memory is not None else "",
            f"{side['memory_ratio']:.2f}" if side.get("memory_ratio") else "",
        )
        line = f"  {label:<16}{cells[0]:>12}  {cells[1]:>24}{cells[2]:>14}{cells[3]:>10}{cells[4]:>12}"
        yield line.rstrip()
    if result["floor"] is not None:
        yield f"  {'floor':<16}{result['floor']:>12.2f}  direct convolution's and dense layers' matrix products alone"
    if sides.get(PYTORCH, {}).get("variant"):
        yield f"  PyTorch at its best: {sides[PYTORCH]['variant']}"
    for label, side in sides.items():
        if "profile" in side:
            yield ""
            yield from _table(label, side)


def _table(label: str, side: dict[str, Any]) -> Iterator[str]:
    """Where a step goes."""
    profile = side["profile"]
    kernels = f" (kernels: {side['kernels']})" if side.get("kernels") else ""
    yield f"  {label}{kernels}, {profile['step_ms']:.2f} ms a step with timers"
    yield f"    {'op':<24}{'forward ms':>12}{'backward ms':>13}{'calls a step':>18}{'share':>9}"
    rows = profile["ops"]
    small = [row for row in rows if row["share"] < SHARE]
    if len(small) > 1:
        summed: dict[str, Any] = {k: sum(row[k] for row in small) for k in small[0] if k != "op"}
        rows = [*(row for row in rows if row not in small), {"op": f"{len(small)} smaller ones", **summed}]
    for row in rows:
        forward, backward = row["forward_calls"], row["backward_calls"]
        calls = f"{forward:g} + {backward:g}" if backward else f"{forward:g}"
        yield f"    {row['op']:<24}{row['forward_ms']:>12.3f}{row['backward_ms']:>13.3f}{calls:>18}{row['share']:>9.1%}"
    rest = profile["rest_ms"]
    yield f"    {'the rest: the engine':<24}{rest:>12.3f}{'':>13}{'':>18}{rest / profile['step_ms']:>9.1%}"
