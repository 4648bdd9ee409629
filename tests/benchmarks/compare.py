"""minigan's step beside PyTorch's on the same CPU: ``make bench``, or ``python tests/benchmarks/compare.py [NETWORK ...]``.

Each side runs in a process of its own with 2 threads. They take turns in blocks of steps, one blocked while the other
runs, because two thread pools that spin spoil each other. The figure is the median of the blocks' ratios with its
quartiles. PyTorch is taken at its best: the fastest of its Adams and memory formats in a first trial. Settings in the
environment that keep a library from the processor's own instructions are dropped, unless ``--as-is`` is given. Before any
timing both sides must compute the same losses and gradients from the same weights; a comparison of different work is refused.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")
VARIANTS = [",".join(v) for v in product(("fused", "foreach"), ("contiguous", "channels_last"))]
NETWORKS = {"dcgan28": (VARIANTS, 20), "mlp": (VARIANTS[::2], 100), "tanh": ([""], 100)}  # variants, steps a block
BLOCKS = 15
OVERRIDES = {
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
}


def free():
    """The environment without what holds a library back from the processor's own instructions, on either side."""
    return {k: v for k, v in os.environ.items() if k not in OVERRIDES}


class Side:
    """A worker process."""

    def __init__(self, *args):
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=free()
        )
        if self.process.stdout.readline().strip() != "ready":
            sys.exit(f"the worker {args} did not start")

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def same(ours, theirs):
    """Whether losses and norms of gradients agree to float32's rounding through a step: 1e-3 of each, or of 1e-6."""
    pairs = zip([*ours[0], *ours[1]], [*theirs[0], *theirs[1]], strict=True)
    return all(abs(a - b) <= 1e-3 * max(abs(a), abs(b), 1e-3) for a, b in pairs)


def best_variant(network, weights, variants, steps):
    """The variant of PyTorch that is fastest in a trial of a few blocks."""
    if len(variants) == 1:
        return variants[0]
    times = {}
    for variant in variants:
        side = Side("torch", network, weights, variant)
        side.ask(f"run {steps}")
        times[variant] = min(side.ask(f"run {steps}") for _ in range(3))
        side.stop()
    return min(times, key=times.get)


def compare(network):
    variants, steps = NETWORKS[network]
    with tempfile.TemporaryDirectory() as folder:
        weights = str(Path(folder) / "weights.npz")
        ours = Side("minigan", network, weights)
        variant = best_variant(network, weights, variants, steps)
        theirs = Side("torch", network, weights, variant)
        if network != "tanh":
            a, b = ours.ask("check"), theirs.ask("check")
            if not same(a, b):
                sys.exit(f"{network}: the two sides compute different things, nothing is compared:\n{a}\n{b}")
        for side in (ours, theirs):
            side.ask(f"run {steps}")
        pairs = [(ours.ask(f"run {steps}"), theirs.ask(f"run {steps}")) for _ in range(BLOCKS)]
        ours.stop()
        theirs.stop()
    low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
    scale = 1e3 / steps if network != "tanh" else 1e6 / steps / 100
    unit = "ms a step" if network != "tanh" else "us an op"
    mine, peer = (statistics.median(column) * scale for column in zip(*pairs, strict=True))
    print(
        f"{network:8} ratio {middle:.2f} (quartiles {low:.2f} to {high:.2f}); minigan {mine:.1f}, "
        f"PyTorch {peer:.1f} {unit}{' with ' + variant if variant else ''}",
        flush=True,
    )


if __name__ == "__main__":
    if "--as-is" in sys.argv:
        OVERRIDES = set()
        sys.argv.remove("--as-is")
    elif held := sorted(OVERRIDES & os.environ.keys()):
        print(f"dropped from the environment, so that both sides choose their kernels: {', '.join(held)}")
    for name in sys.argv[1:] or NETWORKS:
        compare(name)
