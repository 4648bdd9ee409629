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
from typing import Any, NamedTuple

import numpy as np

from minigan import backends
from minigan.backends.pool import usable
from minigan.bench.crew import Crew, environment
from minigan.bench.networks import CHAIN, LAMBDA, Network, described, players
from minigan.bench.products import least, products
from minigan.bench.sameness import difference
from minigan.gan.models import LATENT

PYTORCH, GRAPHS, COMPILED, FLOOR = "PyTorch", "CUDA graphs", "torch.compile", "matrix products"
MEMORY_STEPS = 10  # what an allocator leaves in pieces adds up over the first few
LARGE = {"copied": 1 << 28, "side": 8192}  # numbers, 1 GiB, that no cache holds; and a product that keeps a GPU busy


class Variant(NamedTuple):
    """PyTorch's step in one of its ways.

    Attributes:
        adam: the optimiser's form.
        layout: the memory format.
        way: eager, op by op; graph, captured once and replayed; or the mode in which ``torch.compile`` takes the players.
    """

    adam: str
    layout: str
    way: str = "eager"

    def __str__(self) -> str:
        return ", ".join(self[:2] if self.way == "eager" else self)


LAYOUTS = ("contiguous", "channels_last")
VARIANTS = tuple(Variant(*pair) for pair in product(("fused", "foreach"), LAYOUTS))
ON_GPU = {  # what PyTorch offers there besides; the fused Adam is one kernel and has no rival in them
    GRAPHS: tuple(Variant("fused", layout, "graph") for layout in LAYOUTS),
    COMPILED: tuple(Variant("fused", *pair) for pair in product(LAYOUTS, ("default", "reduce-overhead"))),
}


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
        precision: of a GPU's products and convolutions, fp32 or tf32.
    """

    threads: int | None = None
    batch: int | None = None
    backend: str = "numpy"
    as_is: bool = False
    blocks: int = 15
    seconds: float = 1.2
    precision: str = "fp32"

    @property
    def on_gpu(self) -> bool:
        """Whether the sides compute on a GPU."""
        return self.backend != "numpy"

    @property
    def count(self) -> int:
        """The number of threads."""
        return min(2, usable()) if self.threads is None else self.threads

    def sides(self) -> dict[str, dict[str, str]]:
        """minigan's sides by label, with what each adds to its environment."""
        if self.on_gpu:
            return {"minigan": {}}
        fast: dict[str, dict[str, str]] = {"with fast": {}} if find_spec("numba") else {}
        return {"NumPy alone": {"MINIGAN_FAST": "0"}, **fast}

    def peers(self, network: Network) -> dict[str, Sequence[Variant]]:
        """PyTorch's sides by label, with the variants to be tried."""
        return {PYTORCH: VARIANTS, **(ON_GPU if self.on_gpu and network.step != "chain" else {})}


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

    Attributes:
        notes: why one of PyTorch's ways on a GPU has no figures.
    """

    def __init__(self, network: Network, options: Options, folder: Path) -> None:
        self.network, self.options, self.folder = network, options, folder
        self.crew, self.notes = Crew(), list[str]()
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

    def start(self, label: str, variant: Variant | None = None, precision: str | None = None) -> bool:
        """Start the worker of a side: one of minigan's labels, PyTorch in a variant, or the floor."""
        side = "torch" if variant else "floor" if label == FLOOR else "minigan"
        precision = precision or self.options.precision
        job = self.folder / f"{label}.json"
        job.write_text(json.dumps({**self.job, "variant": variant, "precision": precision}))
        settings = self.options.sides().get(label, {})
        if label == FLOOR and precision == "tf32":
            settings = {"CUPY_TF32": "1"}
        return self.crew.start(label, side, job, environment(self.options.count, self.options.as_is, **settings))

    def alone(self, label: str, command: str, argument: Any, variant: Variant | None = None) -> Any:
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

    def best_variant(self, variants: Sequence[Variant], label: str = PYTORCH) -> Variant | None:
        """The variant of PyTorch that is fastest in a short trial, each in a process of its own; None if it does not run."""
        if self.network.step == "chain":
            return variants[0]
        if self.network.model == "mlp":  # no images in the memory formats' sense
            variants = [v for v in variants if v.layout == "contiguous"]
        times = {}
        for variant in variants:
            took = self.trial(label, variant)
            if took is not None:
                times[variant] = took
            elif label == PYTORCH:
                return None
            else:
                lines = self.crew.errors.pop().splitlines()
                reason = next((line for line in reversed(lines) if "Error" in line), lines[-1])
                self.notes.append(f"{label} falls away as {variant}: {reason.strip()}")
        return min(times, key=lambda variant: times[variant]) if times else None

    def trial(self, label: str, variant: Variant) -> float | None:
        """Seconds a step of a variant, the best of three short turns; None if it does not run."""
        if not self.start(label, variant):
            return None
        steps = self.steps(label, self.options.seconds / 3)
        turns = [self.crew.ask(label, "run", steps) for _ in range(3)]
        if None in turns:
            return None
        self.crew.dismiss(label)
        return min(turns) / steps

    def best_variants(self) -> dict[str, Variant]:
        """The fastest variant of each of PyTorch's sides that run; none where it does not run op by op."""
        found = {}
        for label, variants in self.options.peers(self.network).items():
            variant = self.best_variant(variants, label)
            if variant is not None:
                found[label] = variant
            elif label == PYTORCH:
                break
        return found

    def refused(self, precision: str) -> str | None:
        """Why the sides that are alive must not be compared, or None where they compute the same.

        A way of PyTorch's on a GPU that computes something else than PyTorch op by op is dismissed with a note.
        """
        found: dict[str, tuple[list[float], dict[str, Any]]] = {}
        for label in [*self.options.peers(self.network), *self.options.sides()]:
            path = self.folder / f"{label}.npz"
            losses = self.crew.ask(label, "check", str(path))
            if losses is not None:
                with np.load(path) as stored:
                    found[label] = losses, dict(stored)
        if not found:
            return None
        reference, *others = found
        for label in others:
            if reason := difference(*found[label], *found[reference], precision):
                text = (
                    f"{label} and {reference} compute different things from the same weights, so that nothing is "
                    f"compared: {reason}"
                )
                if label not in ON_GPU:
                    return text
                self.notes.append(text)
                self.crew.dismiss(label)
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

    def floors(self) -> dict[str, dict[str, float]]:
        """What a step must at least move and compute, at the rates that the GPU reaches with nothing else to do."""
        rates = self.alone(FLOOR, "rates", LARGE) if self.job["products"] else None
        amounts = least(self.network)
        return {
            what: {"amount": amounts[what], "rate": rate, "time": 1e3 * amounts[what] / rate}
            for what, rate in (rates or {}).items()
        }


def measure(network: Network, options: Options) -> dict[str, Any]:
    """All figures of one network, as plain data.

    Returns:
        `network` and `batch`; `unit` of times; `sides`: by label what each side said of itself (`kernels`, or `version`
        and `variant`), `time` (median), `memory_mb` (None where not measured), and where PyTorch ran `ratio` (median of
        block ratios with quartiles) and `memory_ratio`, where there is a floor `floor_ratio`, and of minigan's `profile`;
        `floor`, the matrix products' time; `errors`, messages of what went wrong; `said`, lines that sides wrote on
        standard error. On a GPU also `precision`; of the sides `launches` (None where nobody counts them) and of
        minigan's `ratios` to the other ways of PyTorch's, by label; `floors`: of `bytes` and `operations` the `amount` a step, the
        `rate` a second and the `time`; `notes`, why a way of PyTorch's has no figures.
    """
    network = Network(**{**asdict(network), "batch": options.batch or network.batch})
    scale, unit = (1e6 / CHAIN, "us an op") if network.step == "chain" else (1e3, "ms a step")
    result: dict[str, Any] = {"network": network.name, "unit": unit, "sides": {}, "floor": None}
    result["batch"] = None if network.step == "chain" else network.batch
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(network, options, Path(folder))
        if options.on_gpu:
            result |= {"precision": options.precision, "floors": {}, "notes": bench.notes}
        with bench.crew:
            _measure(bench, scale, result)
        return {**result, "errors": bench.crew.errors, "said": bench.crew.said}


def _measure(bench: Bench, scale: float, result: dict[str, Any]) -> None:
    """Fill in the figures, as far as they can be had; times are seconds a step times `scale`."""
    network, options, crew = bench.network, bench.options, bench.crew
    variants = bench.best_variants() if torch_version() else {}
    labels = [*options.sides(), *variants]
    memory = {}
    if network.step != "chain" and not options.on_gpu:
        memory = {label: bench.alone(label, "memory", MEMORY_STEPS, variants.get(label)) for label in labels}
    for precision in dict.fromkeys(("fp32", options.precision)):  # first where rounding is too little to hide a mistake
        for label in list(crew.workers):
            crew.dismiss(label)
        for label in labels:
            bench.start(label, variants.get(label), precision)
        if refusal := bench.refused(precision):
            crew.errors.append(refusal)
            return
        labels = [label for label in labels if label in crew.workers]
    facts = {label: worker.facts for label, worker in crew.workers.items()}
    if bench.job["products"] and not options.on_gpu:  # there, launches of single products are no floor
        bench.start(FLOOR)
    times = bench.turns()
    for label in list(crew.workers):
        crew.dismiss(label)
    if FLOOR in times:
        result["floor"] = scale * statistics.median(times[FLOOR])
    sides = result["sides"] = {
        label: {**facts[label], **_figures(label, times, memory, scale)} for label in labels if label in times
    }
    if network.step != "chain":
        for label in sides.keys() & variants.keys():
            sides[label]["variant"] = str(variants[label])
    if options.on_gpu:
        result["floors"] = bench.floors()
        for label in sides:
            sides[label]["launches"] = bench.alone(label, "launches", None, variants.get(label))
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

    def quartiles(other: str) -> dict[str, Any]:
        low, middle, high = statistics.quantiles(ratios(other), n=4)
        return {"median": middle, "quartiles": [low, high]}

    if label not in (PYTORCH, *ON_GPU) and PYTORCH in times:
        figures["ratio"] = quartiles(PYTORCH)
        peer = memory.get(PYTORCH)
        figures["memory_ratio"] = memory[label] / peer if memory.get(label) is not None and peer else None
        if others := [other for other in times if other in ON_GPU]:
            figures["ratios"] = {other: quartiles(other) for other in others}
    if FLOOR in times:
        figures["floor_ratio"] = statistics.median(ratios(FLOOR))
    return figures
