"""``minigan bench``: what is asked, in order, and what it prints."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from minigan import backends
from minigan.bench import report, scaling
from minigan.bench.compare import Options, measure, torch_version
from minigan.bench.crew import HELD_BACK
from minigan.bench.networks import NETWORKS, named
from minigan.errors import RunError
from minigan.gan import files

PEER = "2.13"  # the version of PyTorch that minigan is measured against


def bench(only: str | None, options: Options, as_json: bool) -> bool:
    """Measure one network or all, and print each as soon as it is measured; whether nothing went wrong.

    Raises:
        RunError: an unknown network, a batch below 2, or a precision that the backend does not have.
        BackendError: a backend or a number of threads that this machine does not have.
    """
    networks = [named(only)] if only else list(NETWORKS.values())
    facts, notes = _begin(options, as_json)
    results = []
    for network in networks:
        _progress(network.name)
        results.append(measure(network, options))
        if not as_json:
            print(f"\n{report.block(results[-1])}", flush=True)
    if as_json:
        print(json.dumps({"machine": facts, "threads": options.count, "notes": notes, "networks": results}, indent=2))
    return not any(result["errors"] for result in results)


def scale(out: Path | None, options: Options, as_json: bool, axes: scaling.Axes = scaling.AXES) -> bool:
    """Measure how a step grows, and print the tables, or write them to `out`; whether nothing went wrong.

    Raises:
        RunError: `out` lies in no folder.
        BackendError: a backend or a number of threads that this machine does not have.
    """
    _check_out(out)
    facts, notes = _begin(options, as_json or out is None)
    points = []
    for point in scaling.measure(axes, scaling.options(options)):
        points.append(point)
        _progress(f"{point['axis']} {point['value']} is measured")
    text = scaling.markdown(points, report.heading(facts, options.count))
    whole = {"machine": facts, "threads": options.count, "notes": notes, "scaling": points}
    _end(out, text, whole if as_json else None)
    return not any(point["errors"] for point in points)


def modes(out: Path | None, options: Options, seeds: int, as_json: bool, **changes: Any) -> bool:
    """Train toys from several seeds, and print the table, or write it to `out` with a picture beside it; True.

    Raises:
        RunError: `out` lies in no folder, fewer than one seed, or a GPU.
    """
    from minigan.bench import modes

    facts = _asked(out, options, seeds, as_json)
    rows = []
    for row in modes.measure(seeds, options.threads or 1, **changes):
        rows.append(row)
        _progress(f"{row['data']}, seed {row['seed']}: {row['high_quality_share']:.1%} within 3 sigma;")
    if out is not None:
        files.write(out.with_suffix(".png"), modes.picture(rows))
    text = modes.markdown(
        rows, report.heading(facts, options.threads or 1), out.with_suffix(".png").name if out else ""
    )
    bare = [{k: v for k, v in row.items() if k != "points"} for row in rows]
    _end(out, text, {"machine": facts, "modes": bare} if as_json else None)
    return True


def quality(out: Path | None, options: Options, seeds: int, as_json: bool, train: Sequence[str] = ()) -> bool:
    """Train digits from several seeds beside PyTorch, and print the table, or write it to `out`; True.

    Raises:
        RunError: `out` lies in no folder, fewer than one seed, or a GPU.
    """
    from minigan.bench import quality

    facts = _asked(out, options, seeds, as_json)
    rows = []
    for row in quality.measure(seeds, options, train):
        rows.append(row)
        _progress(f"{row['side']}, seed {row['seed']}: distance {row['judge_frechet']:.2f};")
    text = quality.markdown(rows, report.heading(facts, options.count))
    _end(out, text, {"machine": facts, "threads": options.count, "quality": rows} if as_json else None)
    return True


def _asked(out: Path | None, options: Options, seeds: int, as_json: bool) -> dict[str, Any]:
    """Refuse what cannot be written or trained; the machine."""
    if options.on_gpu:
        raise RunError("--modes and --quality train on NumPy; leave out --backend")
    if seeds < 1:
        raise RunError(f"--seeds must be at least 1, got {seeds}")
    _check_out(out)
    facts, _ = _begin(options, as_json or out is None)
    return facts


def _check_out(out: Path | None) -> None:
    if out is not None and not out.parent.is_dir():
        raise RunError(f"there is no folder {out.parent} for --out {out}; make it first")


def _end(out: Path | None, text: str, document: dict[str, Any] | None) -> None:
    """Print a table, or the JSON document instead, or write it to `out`."""
    if document is not None:
        text = json.dumps(document, indent=2) + "\n"
    if out is None:
        print(text, end="")
    else:
        files.write(out, text)
        print(f"the tables are in {out}")


def _begin(options: Options, quiet: bool) -> tuple[dict[str, Any], list[str]]:
    """Refuse what cannot be measured here; the machine, and what there is to say before figures, printed unless `quiet`."""
    if options.batch is not None and options.batch < 2:
        raise RunError(f"--batch-size must be at least 2, for batch norm, got {options.batch}")
    if options.precision != "fp32" and not options.on_gpu:
        raise RunError(
            f"--precision {options.precision} is for a GPU's products: add --backend cupy; NumPy computes in fp32 alone"
        )
    backends.set_threads(options.count)
    home = backends.get(options.backend)
    facts, notes = report.machine(), _notes(options)
    if options.on_gpu:
        facts["gpu"] = {**report.gpu(home.module), "precision": options.precision}
    if not quiet:
        print("\n".join([report.heading(facts, options.count), *notes]), flush=True)
    return facts, notes


def _notes(options: Options) -> list[str]:
    """What a reader of the figures must know."""
    notes = []
    held = [name for name in HELD_BACK if name in os.environ]
    if held:
        what = (
            "kept, as asked"
            if options.as_is
            else "dropped, so that both sides choose their kernels (--as-is keeps them)"
        )
        notes.append(f"note: settings of the environment that hold libraries back, {', '.join(held)}: {what}")
    peer = torch_version()
    if peer is None:
        notes.append(
            f"note: PyTorch is not installed, so there are no ratios; pip install torch=={PEER}.0 puts it beside minigan"
        )
    elif not peer.startswith(f"{PEER}."):
        notes.append(f"note: this is PyTorch {peer}; minigan's figures are against {PEER}, pip install torch=={PEER}.0")
    if options.backend == "numpy" and not find_spec("numba"):
        notes.append("note: Numba is not installed, so there is no side with fast kernels; pip install 'minigan[fast]'")
    return notes


def _progress(text: str) -> None:
    """Say on a terminal what takes the time."""
    if sys.stderr.isatty():
        print(f"bench: {text} ...", file=sys.stderr, flush=True)
