"""What a recipe makes of its time: minigan's DCGAN preset beside the plain DCGAN-28 in PyTorch, after equally many seconds.

Both train on the embedded digits, each alone on the machine; the judge looks at 10,000 samples of each.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigan import data, metrics
from minigan.bench import report
from minigan.bench.compare import PYTORCH, VARIANTS, Bench, Options, Variant, torch_version
from minigan.bench.crew import environment
from minigan.bench.networks import NETWORKS
from minigan.gan import load
from minigan.gan.evaluation import evaluate

SHOWN = ("judge_frechet", "precision", "recall", "memorisation")


def measure(seeds: int, given: Options, train: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """A row for each seed and side, with ``side``, ``seed``, ``seconds``, ``steps`` and the judge's figures.

    Args:
        seeds: how many, from 0.
        given: threads of each side.
        train: options of ``minigan train dcgan`` that are to be others than the preset's.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.save(place / "digits.npy", data.digits()[0])
        bench = Bench(NETWORKS["dcgan28"], given, place)
        with bench.crew:
            variant = bench.best_variant(VARIANTS) if torch_version() else None
            for seed in range(seeds):
                ours = _minigan(place / f"run-{seed}", seed, given, train)
                yield ours
                if variant:
                    yield _peer(bench, variant, seed, ours["seconds"])


def _minigan(out: Path, seed: int, given: Options, train: Sequence[str]) -> dict[str, Any]:
    """The command itself, on NumPy alone, timed from its start to its end."""
    command = [sys.executable, "-c", "from minigan.cli import main; main()", "train", "dcgan", "--judge", "0"]
    options = ["--seed", str(seed), "--threads", str(given.count), "--out", str(out)]
    settings = environment(given.count, given.as_is, MINIGAN_FAST="0")
    started = time.perf_counter()
    subprocess.run([*command, *options, *train], check=True, env=settings, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    steps = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    return {"side": "minigan", "seed": seed, "seconds": seconds, "steps": steps, **_figures(evaluate(load(out)))}


def _peer(bench: Bench, variant: Variant, seed: int, seconds: float) -> dict[str, Any]:
    """The plain network and its plain recipe, for as many seconds."""
    asked: dict[str, Any] = {
        "images": str(bench.folder / "digits.npy"),
        "out": str(bench.folder / "made.npy"),
        "seconds": seconds,
        "seed": seed,
    }
    steps = bench.alone(PYTORCH, "train", asked, variant)
    samples, real = np.load(asked["out"]), metrics.reference("digits")
    copied = metrics.memorisation(samples, data.digits()[0], real.images if real.held_back else None)
    return {
        "side": PYTORCH, "seed": seed, "seconds": seconds, "steps": steps,
        **_figures({**real.compare(samples), "memorisation": copied, "reference": real.name}),
    }  # fmt: skip


def _figures(found: dict[str, Any]) -> dict[str, Any]:
    kept = {name: found[name] for name in (*SHOWN, "judge_frechet_real", "reference")}
    return kept | {"rarest": min(found["class_shares"])}


def markdown(rows: Sequence[dict[str, Any]], heading: str) -> str:
    """The table, with each side's mean and spread, and their ratio."""
    lines = [
        "# A recipe's time",
        "",
        *heading.splitlines(),
        "",
        "Printed by `minigan bench --quality`: `minigan train dcgan`, and the plain DCGAN-28 of Radford et al. in PyTorch for as "
        f"many seconds; 10,000 samples each, beside {rows[0]['reference']}.",
        "",
        "| side | seed | seconds | steps | Fréchet | precision | recall | memorisation | rarest class |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        copied = row["memorisation"]
        cells = [row["side"], row["seed"], f"{row['seconds']:.0f}", row["steps"], f"{row['judge_frechet']:.2f}"]
        cells += [f"{row['precision']:.2f}", f"{row['recall']:.2f}", f"{copied:.2f}", f"{row['rarest']:.1%}"]
        lines.append(report.row(cells))
    distances = {side: [r["judge_frechet"] for r in rows if r["side"] == side] for side in {r["side"] for r in rows}}
    lines += ["", f"Real digits beside real digits have {rows[0]['judge_frechet_real']:.2f}."]
    for side, column in sorted(distances.items()):
        spread = f", standard deviation {statistics.stdev(column):.2f}" if len(column) > 1 else ""
        lines.append(f"{side}: mean distance {statistics.mean(column):.2f}{spread}.")
    if len(distances) == 2:
        ratio = statistics.mean(distances["minigan"]) / statistics.mean(distances[PYTORCH])
        lines.append(f"minigan / {PYTORCH}: **{ratio:.2f}**.")
    return "\n".join(lines) + "\n"
