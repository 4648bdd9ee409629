"""Train the judge and write its weights: ``python -m minigan.metrics.train_judge mnist:FOLDER``.

It learns from MNIST's training split and is measured on its test split, which it never sees before. The same seed and
the same number of threads give the same weights on one machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from minigan import backends, data
from minigan.metrics.classifier import BATCH, LR, SHIFT, accuracy, fit
from minigan.metrics.judge import FILE, Judge, judge_network
from minigan.nn import Sequential

VERSION = "1"
EPOCHS = 12


def main(source: str, out: Path, epochs: int = EPOCHS, seed: int = 0) -> None:
    """Train on ``mnist`` or ``mnist:FOLDER``, and write weights and facts to `out`."""
    from safetensors.numpy import save_file

    folder = source.partition(":")[2] or None
    test = data.mnist("test", folder)
    backends.set_backend("numpy")
    body, head = judge_network(seed)
    network = Sequential(body, head)
    fit(network, *data.mnist("train", folder), epochs, seed)
    right = accuracy(Judge(body, head), *test)
    facts = {
        "version": VERSION,
        "recipe": f"MNIST's training split, shifts of up to {SHIFT} pixels, {epochs} epochs of batches of "
        f"{BATCH}, Adam from {LR} to 0 along half a cosine, seed {seed}",
        "test_accuracy": f"{right:.4f}",
    }
    save_file(network.state_dict(), out, facts)
    print(f"{right:.2%} of {len(test[1])} test digits; {out.stat().st_size:,} bytes are in {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m minigan.metrics.train_judge", description=__doc__)
    parser.add_argument("source", help="mnist, downloaded once, or mnist:FOLDER")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name(FILE))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    main(options.source, options.out, options.epochs, options.seed)
