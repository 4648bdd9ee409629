"""Classifiers of digits: how the judge learns, and what one learns that sees generated digits alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan import backends, data, ops
from minigan.autodiff import Tensor
from minigan.metrics.judge import Judge, judge_network
from minigan.nn import Module, Sequential
from minigan.optim import Adam

SHIFT = 2  # pixels, at most, that an image is moved by each way
LR, BATCH = 2e-3, 128


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
    loader = data.Loader(images, labels, batch_size=min(BATCH, len(images)), seed=seed)
    opt = Adam(network.parameters(), LR)
    steps = epochs * len(loader)
    network.train()
    with tqdm(range(steps), unit="step", disable=None) as bar:
        for step in bar:
            x, target = loader.next()
            opt.lr = LR * (1 + math.cos(math.pi * step / steps)) / 2
            opt.zero_grad()
            with backends.own_threads(True):
                logits = network(Tensor(shifted(x, rng), copy=False))
                ops.cross_entropy(logits, Tensor(target, copy=False)).backward()
            opt.step()
    network.eval()


def accuracy(judge: Judge, images: Any, labels: Any) -> float:
    """The share of images whose largest probability is at their label."""
    return float((judge.probabilities(images).argmax(axis=1) == labels).mean())


def classification_score(
    images: Any, labels: Any, real: Any, real_labels: Any, epochs: int = 3, seed: int = 0
) -> float:
    """How many real digits a classifier gets right that has seen generated digits alone, from 0 to 1.

    Ravuri and Vinyals (2019); GAN-train of Shmelkov et al. (2018). It falls where a generator's classes are mixed up, lack
    variety, or look like no real digit. The classifier has the judge's layers and recipe, in fewer epochs.

    Args:
        images: generated digits (n, 1, 28, 28) in [-1, 1].
        labels: the classes that were asked for, (n,).
        real: real digits, which the generator was not trained on, (m, 1, 28, 28).
        real_labels: their classes (m,).
        epochs: times through the generated digits.
        seed: of weights, order and shifts.

    Raises:
        ValueError: images and labels of different lengths.

    >>> images, labels = mg.data.digits()
    >>> score = mg.metrics.classification_score(images[::10], labels[::10], images[1::50], labels[1::50])
    >>> 0 <= score <= 1
    True
    """
    with backends.backend("numpy"):
        body, head = judge_network(seed)
        fit(Sequential(body, head), np.asarray(images), np.asarray(labels), epochs, seed)
        return accuracy(Judge(body, head), real, real_labels)
