"""How the sides of one network are measured: sameness first, then memory, then blocks of steps in turn, then op by op."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from minigan import backends
from minigan.backends.pool import usable
from minigan.bench.crew import Crew, environment
from minigan.bench.networks import CHAIN, LAMBDA, Network, described, players
from minigan.bench.products import products
from minigan.bench.sameness import difference
from minigan.gan.models import LATENT

PYTORCH, FLOOR = "PyTorch", "matrix products"
VARIANTS = tuple(product(("fused", "foreach"), ("contiguous", "channels_last")))  # PyTorch's Adams and memory formats
MEMORY_STEPS = 10  # what an allocator leaves in pieces adds up over the first few


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        threads: of each side; 2 if not given, or fewer where the machine has fewer.
        batch: samples a step, instead of each network's own number.
        backend: numpy, or cupy for a GPU.
        as_is: keep settings of the environment that hold libraries back.
        blocks: how often each side has its turn.
        seconds: of a turn, at least.
    """

    threads: int | None = None
    batch: int | None = None
    backend: str = "numpy"
    as_is: bool = False
    blocks: int = 15
    seconds: float = 1.2

    @property
    def count(self) -> int:
        """The number of threads."""
        return min(2, usable()) if self.threads is None else self.threads

    def sides(self) -> dict[str, dict[str, str]]:
        """minigan's sides by label, with what each adds to its environment."""
        if self.backend != "numpy":
            return {"minigan": {}}
        fast: dict[str, dict[str, str]] = {"with fast": {}} if find_spec("numba") else {}
        return {"NumPy alone": {"MINIGAN_FAST": "0"}, **fast}


def torch_version() -> str | None:
    """PyTorch's version, or None where it is not installed; nothing is imported."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


class Bench:
    """One network's bench: the files that its workers read, and the workers.

    Args:
        network: what to measure.
        options: how.
        folder: where the files go.
    """

    def __init__(self, network: Network, options: Options, folder: Path) -> None:
        self.network, self.options, self.folder = network, options, folder
        self.crew = Crew()
        self.job: dict[str, Any] = {
            "network": asdict(network),
            "step": network.step, "lr": network.lr, "betas": network.betas, "lambda": LAMBDA, "chain": CHAIN,
            "threads": options.count, "backend": options.backend, "numbers": str(folder / "numbers.npz"),
            "products": products(network),
        }  # fmt: skip
        if network.step != "chain":
            with backends.backend("numpy"):
                sides = dict(zip("gd", players(network), strict=True))
            self.job["layers"] = {side: described(player) for side, player in sides.items()}
            state = {f"{side}.{k}": v for side, player in sides.items() for k, v in player.state_dict().items()}
            rng = np.random.default_rng(0)
            numbers: dict[str, Any] = {
                "real": rng.uniform(-1, 1, (network.batch, *network.image)),
                "z": rng.normal(size=(network.batch, LATENT)),
                "epsilon": rng.random(network.batch),
            }
            numbers = {k: a.astype("float32") for k, a in numbers.items()}
            np.savez(self.job["numbers"], **numbers, **state)

    def start(self, label: str, variant: tuple[str, str] | None = None) -> bool:
        """Start the worker of a side: one of minigan's labels, PyTorch in a variant, or the floor."""
        side = {PYTORCH: "torch", FLOOR: "floor"}.get(label, "minigan")
        job = self.folder / f"{label}.json"
        job.write_text(json.dumps({**self.job, "variant": variant}))
        settings = self.options.sides().get(label, {})
        return self.crew.start(label, side, job, environment(self.options.count, self.options.as_is, **settings))

    def alone(self, label: str, command: str, argument: Any, variant: tuple[str, str] | None = None) -> Any:
        """One answer of a side's fresh process."""
        if not self.start(label, variant):
            return None
        answer = self.crew.ask(label, command, argument)
        if label in self.crew.workers:
            self.crew.dismiss(label)
        return answer

    def steps(self, label: str, seconds: float) -> int:
        """How many steps of a side take about so long, after a warm-up."""
        self.crew.ask(label, "run", 2)
        took = self.crew.ask(label, "run", 1)
        took = took and self.crew.ask(label, "run", few := max(1, min(100, int(seconds / 5 / took)))) / few
        return max(1, round(seconds / took)) if took else 1

    def best_variant(self, variants: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
        """The variant of PyTorch that is fastest in a short trial, each in a process of its own; None if it does not run."""
        if self.network.step == "chain":
            return variants[0]
        if self.network.model == "mlp":  # no images in the memory formats' sense
            variants = [v for v in variants if v[1] == "contiguous"]
        times = {}
        for variant in variants:
            if not self.start(PYTORCH, variant):
                return None
            steps = self.steps(PYTORCH, self.options.seconds / 3)
            trials = [self.crew.ask(PYTORCH, "run", steps) for _ in range(3)]
            if None in trials:
                return None
            times[variant] = min(trials) / steps
            self.crew.dismiss(PYTORCH)
        return min(times, key=lambda variant: times[variant])

    def refused(self) -> str | None:
        """Why the sides that are alive must not be compared, or None where they compute the same."""
        found: dict[str, tuple[list[float], dict[str, Any]]] = {}
        for label in [PYTORCH, *self.options.sides()]:
            path = self.folder / f"{label}.npz"
            losses = self.crew.ask(label, "check", str(path))
            if losses is not None:
                with np.load(path) as stored:
                    found[label] = losses, dict(stored)
        if not found:
            return None
        reference, *others = found
        for label in others:
            if reason := difference(*found[label], *found[reference]):
                return (
                    f"{label} and {reference} compute different things from the same weights, so that nothing is "
                    f"compared: {reason}"
                )
        return None

    def turns(self) -> dict[str, list[float]]:
        """Seconds a step of every side that is alive, block by block."""
        steps = {label: self.steps(label, self.options.seconds) for label in list(self.crew.workers)}
        times: dict[str, list[float]] = {label: [] for label in steps}
        for _ in range(self.options.blocks):
            for label, n in steps.items():
                seconds = self.crew.ask(label, "run", n)
                if seconds is not None:
                    times[label].append(seconds / n)
        return {label: column for label, column in times.items() if label in self.crew.workers}


def measure(network: Network, options: Options) -> dict[str, Any]:
    """All figures of one network, as plain data.

    Returns:
        `network` and `batch`; `unit` of times; `sides`: by label what each side said of itself (`kernels`, or `version`
        and `variant`), `time` (median), `memory_mb` (None where not measured), and where PyTorch ran `ratio` (median of
        block ratios with quartiles) and `memory_ratio`, where there is a floor `floor_ratio`, and of minigan's `profile`;
        `floor`, the matrix products' time; `errors`, messages of what went wrong; `said`, lines that sides wrote on
        standard error.
    """
    network = Network(**{**asdict(network), "batch": options.batch or network.batch})
    scale, unit = (1e6 / CHAIN, "us an op") if network.step == "chain" else (1e3, "ms a step")
    result: dict[str, Any] = {"network": network.name, "unit": unit, "sides": {}, "floor": None}
    result["batch"] = None if network.step == "chain" else network.batch
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(network, options, Path(folder))
        with bench.crew:
            _measure(bench, scale, result)
        return {**result, "errors": bench.crew.errors, "said": bench.crew.said}


def _measure(bench: Bench, scale: float, result: dict[str, Any]) -> None:
    """Fill in the figures, as far as they can be had; times are seconds a step times `scale`."""
    network, options, crew = bench.network, bench.options, bench.crew
    variant = bench.best_variant(VARIANTS) if torch_version() else None
    labels = [*options.sides(), *([PYTORCH] if variant else [])]
    memory = {}
    if network.step != "chain" and options.backend == "numpy":
        memory = {label: bench.alone(label, "memory", MEMORY_STEPS, variant) for label in labels}
    for label in labels:
        bench.start(label, variant)
    if refusal := bench.refused():
        crew.errors.append(refusal)
        return
    facts = {label: worker.facts for label, worker in crew.workers.items()}
    if bench.job["products"]:
        bench.start(FLOOR)
    times = bench.turns()
    for label in list(crew.workers):
        crew.dismiss(label)
    if FLOOR in times:
        result["floor"] = scale * statistics.median(times[FLOOR])
    sides = result["sides"] = {
        label: {**facts[label], **_figures(label, times, memory, scale)} for label in labels if label in times
    }
    if PYTORCH in sides and network.step != "chain":
        sides[PYTORCH]["variant"] = ", ".join(variant or ())
    for label in options.sides():
        if label in sides:
            steps = max(1, round(options.seconds / statistics.median(times[label])))
            if profile := bench.alone(label, "profile", steps):
                sides[label]["profile"] = profile


def _figures(label: str, times: Mapping[str, list[float]], memory: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """One side's figures, from the blocks of all."""
    figures: dict[str, Any] = {"time": scale * statistics.median(times[label]), "memory_mb": memory.get(label)}

    def ratios(other: str) -> list[float]:
        return [a / b for a, b in zip(times[label], times[other], strict=True)]

    if label != PYTORCH and PYTORCH in times:
        low, middle, high = statistics.quantiles(ratios(PYTORCH), n=4)
        figures["ratio"] = {"median": middle, "quartiles": [low, high]}
        peer = memory.get(PYTORCH)
        figures["memory_ratio"] = memory[label] / peer if memory.get(label) is not None and peer else None
    if FLOOR in times:
        figures["floor_ratio"] = statistics.median(ratios(FLOOR))
    return figures
