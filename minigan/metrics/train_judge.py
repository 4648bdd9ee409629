"""Train the judge and write its weights: ``python -m minigan.metrics.train_judge mnist:FOLDER``.

It learns from MNIST's training split and is measured on its test split, which it never sees before. The same seed and
the same number of threads give the same weights on one machine.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from minigan import backends, data, ops
from minigan.autodiff import Tensor
from minigan.metrics.judge import FILE, Judge, judge_network
from minigan.nn import Module, Sequential
from minigan.optim import Adam

VERSION = "1"
SHIFT = 2  # pixels, at most, that an image is moved by each way
LR, BATCH, EPOCHS = 2e-3, 128, 12


def shifted(images: np.ndarray, rng: np.random.Generator, most: int = SHIFT) -> np.ndarray:
    """Each image moved by up to `most` pixels down or up and right or left, filled up with black: the shape stays."""
    n, _, h, w = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (most, most), (most, most)), constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (h, w), axis=(2, 3))  # (n, 1, 2most+1, 2most+1, h, w)
    down, right = rng.integers(0, 2 * most + 1, (2, n))
    return windows[np.arange(n), :, down, right]


def fit(network: Module, images: np.ndarray, labels: np.ndarray, epochs: int, seed: int) -> None:
    """Minimise the cross-entropy of shifted images by Adam; the rate falls from `LR` to 0 along half a cosine."""
    from tqdm import tqdm

    rng = np.random.default_rng([seed, 1])
    loader = data.Loader(images, labels, batch_size=BATCH, seed=seed)
    opt = Adam(network.parameters(), LR)
    steps = epochs * len(loader)
    network.train()
    with tqdm(range(steps), unit="step", disable=None) as bar:
        for step in bar:
            x, target = loader.next()
            opt.settings["lr"] = LR * (1 + math.cos(math.pi * step / steps)) / 2
            opt.zero_grad()
            with backends.own_threads(True):
                logits = network(Tensor(shifted(x, rng), copy=False))
                ops.cross_entropy(logits, Tensor(target, copy=False)).backward()
            opt.step()
    network.eval()


def accuracy(judge: Judge, images: Any, labels: Any) -> float:
    """The share of images whose largest probability is at their label."""
    return float((judge.probabilities(images).argmax(axis=1) == labels).mean())


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
