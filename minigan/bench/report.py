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
from minigan.bench.compare import ON_GPU, PYTORCH

RATES = {"bytes": (1e9, "GB/s"), "operations": (1e12, "TFLOP/s")}
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


def gpu(cupy: Any) -> dict[str, str]:
    """The GPU, and the versions of what computes on it."""
    runtime = cupy.cuda.runtime
    cuda, driver = (f"{v // 1000}.{v % 1000 // 10}" for v in (runtime.runtimeGetVersion(), runtime.driverGetVersion()))
    name = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
    return {"name": name, "cupy": cupy.__version__, "cuda": cuda, "driver": driver}


def heading(facts: dict[str, Any], threads: int) -> str:
    """The machine in two lines, and a third where it has a GPU that is measured."""
    versions = ", ".join(
        f"{name} {facts[key] or 'not installed'}"
        for name, key in (("NumPy", "numpy"), ("BLAS", "blas"), ("Numba", "numba"), (PYTORCH, "torch"))
    )
    lines = [
        f"{facts['cpu']}, {facts['cores']} cores; {threads} threads a side",
        f"Python {facts['python']}, {versions}",
    ]
    if on := facts.get("gpu"):
        lines.append(
            f"{on['name']}, CuPy {on['cupy']}, CUDA {on['cuda']}, a driver for {on['driver']}; {on['precision']}"
        )
    return "\n".join(lines)


def row(cells: Iterable[Any]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(map(str, cells))} |"


def block(result: dict[str, Any]) -> str:
    """One network's figures."""
    return "\n".join(_lines(result))


def _lines(result: dict[str, Any]) -> Iterator[str]:
    batch = f", batch {result['batch']}" if result["batch"] else ""
    precision = f", {result['precision']}" if "precision" in result else ""
    yield f"{result['network']}{batch}{precision}"
    for message in result["errors"]:
        yield f"  error: {message}"
    for line in result["said"]:
        yield f"  said by {line}"
    for note in result.get("notes", ()):
        yield f"  note: {note}"
    sides = result["sides"]
    if not sides:
        yield "  no figures"
        return
    yield from _on_gpu(result) if "precision" in result else _on_cpu(result)
    for label in (PYTORCH, *ON_GPU):
        if sides.get(label, {}).get("variant"):
            yield f"  {label} at its best: {sides[label]['variant']}"
    for label, side in sides.items():
        if "profile" in side:
            yield ""
            yield from _table(label, side)


def _on_gpu(result: dict[str, Any]) -> Iterator[str]:
    """A line for each side and each floor, with minigan's ratio to it."""
    ours = result["sides"].get("minigan", {})
    ratios = {PYTORCH: ours.get("ratio"), **ours.get("ratios", {})}
    yield f"  {'':<18}{result['unit']:>10}{'launches':>10}  {'minigan to it (quartiles)':>27}"
    for label, side in result["sides"].items():
        cells = side["launches"] or "", _ratio(ratios.get(label))
        yield f"  {label:<18}{side['time']:>10.3f}{cells[0]:>10}  {cells[1]:>27}".rstrip()
    for what, floor in result["floors"].items():
        scale, unit = RATES[what]
        share = f"{ours['time'] / floor['time']:.2f}" if ours else ""
        cells = share, f"at {floor['rate'] / scale:,.0f} {unit}, measured"
        yield f"  {f'floor: {what}':<18}{floor['time']:>10.3f}{'':>10}  {cells[0]:>27}  {cells[1]}"


def _on_cpu(result: dict[str, Any]) -> Iterator[str]:
    """A line for each side, and one for the floor."""
    sides = result["sides"]
    head = (result["unit"], "to PyTorch (quartiles)", "to the floor", "peak MB", "to PyTorch")
    yield f"  {'':<16}{head[0]:>12}  {head[1]:>24}{head[2]:>14}{head[3]:>10}{head[4]:>12}"
    for label, side in sides.items():
        ratio, memory = side.get("ratio"), side["memory_mb"]
        cells = (
            f"{side['time']:.2f}",
            _ratio(ratio),
            f"{side['floor_ratio']:.2f}" if side.get("floor_ratio") else "",
            f"{memory:.1f}" if memory is not None else "",
            f"{side['memory_ratio']:.2f}" if side.get("memory_ratio") else "",
        )
        line = f"  {label:<16}{cells[0]:>12}  {cells[1]:>24}{cells[2]:>14}{cells[3]:>10}{cells[4]:>12}"
        yield line.rstrip()
    if result["floor"] is not None:
        yield f"  {'floor':<16}{result['floor']:>12.2f}  direct convolution's and dense layers' matrix products alone"


def _ratio(ratio: dict[str, Any] | None) -> str:
    """A median with its quartiles."""
    return f"{ratio['median']:.2f} ({ratio['quartiles'][0]:.2f} to {ratio['quartiles'][1]:.2f})" if ratio else ""


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
