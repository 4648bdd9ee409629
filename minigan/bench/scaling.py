"""How time and memory grow with the batch, the width and the image's side, as tables in Markdown."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minigan.bench.compare import PYTORCH, VARIANTS, Bench, Options, torch_version
from minigan.bench.networks import Network
from minigan.bench.report import row

STEPS = 3  # while memory is watched
DCGAN28 = Network("dcgan28", model="dcgan28")

Axes = Mapping[str, Sequence[tuple[int, Network]]]

AXES: Axes = {
    "batch": [(n, replace(DCGAN28, batch=n)) for n in (8, 16, 32, 64, 128, 256, 512)],
    "width": [(n, replace(DCGAN28, width=n)) for n in (16, 32, 64, 128, 256)],
    "side": [(n, Network(f"dcgan{n}", model=f"dcgan{n}", batch=16)) for n in (28, 64, 128)],
}
TITLES = {
    "batch": "Batch: DCGAN-28, width 64",
    "width": "Width: DCGAN-28, batch 64",
    "side": "Image side: DCGAN-28, DCGAN-64 and one level more, width 64, batch 16",
}


def options(given: Options) -> Options:
    """Fewer and shorter blocks, as there are many points."""
    return replace(given, blocks=min(given.blocks, 5), seconds=min(given.seconds, 0.5))


def point(network: Network, given: Options) -> dict[str, Any]:
    """Median milliseconds a step and peak MB by side, `errors`; memory is watched in each process's first steps."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(network, given, Path(folder))
        with bench.crew as crew:
            variant = bench.best_variant(VARIANTS[:2]) if torch_version() else None  # the fused Adam is the faster one
            memory = {}
            for label in [*given.sides(), *([PYTORCH] if variant else [])]:
                if bench.start(label, variant):
                    memory[label] = crew.ask(label, "memory", STEPS)
            times = {label: 1e3 * statistics.median(column) for label, column in bench.turns().items()}
            sides = {label: {"time": times[label], "memory_mb": memory[label]} for label in times}
            return {"sides": sides, "errors": crew.errors}


def measure(axes: Axes, given: Options) -> Iterator[dict[str, Any]]:
    """Every point of every axis, with `axis` and `value`, as soon as it is measured."""
    for axis, networks in axes.items():
        for value, network in networks:
            yield {"axis": axis, "value": value, **point(network, given)}


def markdown(points: Sequence[dict[str, Any]], heading: str) -> str:
    """The tables, one an axis, and what went wrong."""
    lines = ["# How a step grows", "", *heading.splitlines(), "", "Printed by `minigan bench --scaling`."]
    labels = list(dict.fromkeys(label for p in points for label in p["sides"]))
    for axis in dict.fromkeys(p["axis"] for p in points):
        rows = [p for p in points if p["axis"] == axis]
        ours = [label for label in labels if label != PYTORCH] if PYTORCH in labels else []
        head = [axis, *(f"{label}, ms" for label in labels), *(f"{label} / {PYTORCH}" for label in ours)]
        head += [f"{label}, MB" for label in labels]
        lines += ["", f"## {TITLES[axis]}", "", row(head), row(["---:"] * len(head))]
        for p in rows:
            times = {label: side["time"] for label, side in p["sides"].items()}
            cells = [str(p["value"]), *(_figure(times.get(label), 1) for label in labels)]
            peer = times.get(PYTORCH)
            cells += [_figure(times[label] / peer if peer and label in times else None, 2) for label in ours]
            cells += [_figure(p["sides"].get(label, {}).get("memory_mb"), 0) for label in labels]
            lines.append(row(cells))
    errors = [f"- {p['axis']} {p['value']}: {message}" for p in points for message in p["errors"]]
    return "\n".join([*lines, *(["", "What went wrong:", "", *errors] if errors else [])]) + "\n"


def _figure(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
