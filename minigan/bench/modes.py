"""The toy recipe on `ring` and `grid`, seed by seed: how many modes, how near to them, and how wide."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from minigan.backends.pool import usable
from minigan.bench import report
from minigan.gan import PRESETS, TrainConfig, Trainer, load, pictures
from minigan.gan.evaluation import evaluate

SOURCES = ("ring", "grid")
SAMPLES = 2500
ACROSS = 5  # panels beside each other


def one(config: TrainConfig) -> dict[str, Any]:
    """A run from one seed: `evaluate`'s figures, its `seconds`, and the `points` themselves."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        Trainer(replace(config, out=Path(folder))).run()
        seconds = time.perf_counter() - started
        run = load(folder)
        figures = {**evaluate(run, SAMPLES), "data": config.data, "seed": config.seed, "seconds": seconds}
        return figures | {"points": run.sample(SAMPLES).tolist()}


def measure(seeds: int, threads: int, **changes: Any) -> Iterator[dict[str, Any]]:
    """`one` for every source and seed, in order; as many at a time as there are processors for, each with `threads`.

    Args:
        seeds: how many, from 0.
        threads: of each run.
        changes: settings that are to be others than the preset's.
    """
    preset = replace(PRESETS["toy"], judge=0, threads=threads, **changes)
    configs = [replace(preset, data=source, seed=seed) for source in SOURCES for seed in range(seeds)]
    with ProcessPoolExecutor(max(1, usable() // threads), get_context("spawn")) as pool:
        try:
            yield from pool.map(one, configs)
        finally:
            pool.shutdown(cancel_futures=True)


def markdown(rows: Sequence[dict[str, Any]], heading: str, picture: str) -> str:
    """The table, below its picture."""
    lines = [
        "# Modes",
        "",
        *heading.splitlines(),
        "",
        "Printed by `minigan bench --modes`: `minigan train toy` on each data set from each seed, "
        f"{SAMPLES:,} samples, those of seed 0.",
        "",
        f"![Samples of every seed over true points]({picture})",
        "",
        "| data | seed | modes | within 3 sigma | width | reverse KL | seconds |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        ratio = "" if row["spread_ratio"] is None else f"{row['spread_ratio']:.2f}"
        cells = [
            row["data"],
            row["seed"],
            f"{row['modes_covered']} of {row['modes']}",
            f"{row['high_quality_share']:.1%}",
        ]
        cells += [ratio, f"{row['reverse_kl']:.4f}", f"{row['seconds']:.0f}"]
        lines.append(report.row(cells))
    return "\n".join(lines) + "\n"


def picture(rows: Sequence[dict[str, Any]]) -> bytes:
    """A panel for every run, five side by side; each data set begins a line."""
    import numpy as np
    from matplotlib.figure import Figure

    found = [[row for row in rows if row["data"] == source] for source in SOURCES]
    lines = [runs[i : i + ACROSS] for runs in found for i in range(0, len(runs), ACROSS)]
    figure = Figure(figsize=(1.5 * ACROSS, 1.65 * len(lines)), layout="constrained")
    for line, panels in zip(lines, figure.subplots(len(lines), ACROSS, squeeze=False), strict=True):
        for axes in panels[len(line) :]:
            axes.remove()
        for axes, row in zip(panels, line, strict=False):
            pictures.scatter(axes, np.array(row["points"]), row["data"], size=0.5)
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"{row['data']}, seed {row['seed']}", fontsize=7)
            axes.spines[:].set_visible(False)
    return pictures.png(figure, dpi=160)
