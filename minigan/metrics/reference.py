"""Real digits that generated ones are compared with, and what real digits have beside each other."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minigan import data
from minigan.data.cache import home
from minigan.errors import DataError
from minigan.metrics.classes import class_shares, confidence, entropy_of_mean, mean_entropy
from minigan.metrics.frechet import frechet_distance
from minigan.metrics.judge import judge
from minigan.metrics.neighbours import precision_recall

Figures = dict[str, Any]
DRAWS = 10  # of real digits against the others


@dataclass(frozen=True, eq=False)
class Reference:
    """Real digits in random order, and what the judge sees in them; made by `reference`.

    Attributes:
        name: what they are, for printing beside every figure.
        images: float32 (n, 1, 28, 28) in [-1, 1].
        held_back: whether no generator here is trained on them.
        labels: their classes (n,).
        features: the judge's, (n, 64).

    >>> images, labels = mg.data.digits()
    >>> real = mg.metrics.Reference("100 digits", images[::50], held_back=False, labels=labels[::50])
    >>> real.features.shape
    (100, 64)
    """

    name: str
    images: np.ndarray
    held_back: bool
    labels: np.ndarray | None = None
    features: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        order = np.random.default_rng(0).permutation(len(self.images))
        object.__setattr__(self, "images", self.images[order])
        if self.labels is not None:
            object.__setattr__(self, "labels", self.labels[order])
        object.__setattr__(self, "features", judge().features(self.images))

    def compare(self, images: Any, labels: Any = None) -> Figures:
        """The judge's figures of images, each beside the same figure of real digits, under its name with ``_real``.

        ``judge_frechet`` compares all the images with all of the reference. Its floor compares real digits with real
        digits: m of the reference, drawn at random, with all the others, the mean of ten draws. m is the number of
        images, or half of the reference where that is less, so that no digit is on both sides and the numbers are as
        near to those of the images as they can be; where it is less, the floor is a little high. ``precision`` and
        ``recall`` are of m images or digits and m others each time, because they depend on the number.

        Args:
            images: (n, 1, 28, 28) in [-1, 1], n at least 4.
            labels: the classes that were asked for, (n,), if any were.

        Returns:
            ``judge_frechet``, ``precision``, ``recall``, ``confidence``, ``entropy_of_mean``, ``mean_entropy``, each
            also with ``_real``; ``class_shares``, a list of ten; and with labels ``asked_for``, the share of images that are
            of their class to the judge, beside the share of real digits that it gets right.

        Raises:
            ValueError: images of another shape, or fewer than four.

        >>> digits, labels = mg.data.digits()
        >>> real = mg.metrics.Reference("100 digits", digits[::50], held_back=False)
        >>> figures = real.compare(-digits[1::50])  # black on white
        >>> figures["judge_frechet"] > 2 * figures["judge_frechet_real"]
        True
        """
        features = judge().features(images)
        if len(features) < 4:
            raise ValueError(f"a comparison needs at least 4 images, got {len(features)}")
        m = min(len(features), len(self.features) // 2)
        found = {"judge_frechet": frechet_distance(features, self.features)} | _figures(features, self.features[-m:])
        real = _real_against_real(self, m)
        both = {key: v for name in found for key, v in ((name, found[name]), (f"{name}_real", real[name]))}
        probabilities = judge().classify(features)
        both["class_shares"] = class_shares(probabilities).tolist()
        if labels is not None:
            both["asked_for"] = _right(probabilities, labels)
            both["asked_for_real"] = _right(judge().classify(self.features), self.labels)
        return both


def _right(probabilities: np.ndarray, labels: Any) -> float:
    """The share of rows whose largest probability is at their label."""
    return float((probabilities.argmax(axis=1) == labels).mean())


@cache
def _real_against_real(real: Reference, m: int) -> Figures:
    """The figures of m digits against the others."""
    draws = [np.random.default_rng(i).permutation(real.features) for i in range(DRAWS)]
    floor = float(np.mean([frechet_distance(drawn[:m], drawn[m:]) for drawn in draws]))
    return {"judge_frechet": floor} | _figures(real.features[:m], real.features[-m:])


def _figures(features: np.ndarray, part: np.ndarray) -> Figures:
    """What needs no large reference; `part` are real ones, to go with equally many."""
    probabilities = judge().classify(features)
    evenly = np.linspace(0, len(features) - 1, len(part)).astype(int)  # they may be in the order of their classes
    precision, recall = precision_recall(part, features[evenly])
    return {
        "precision": precision,
        "recall": recall,
        "confidence": confidence(probabilities),
        "entropy_of_mean": entropy_of_mean(probabilities),
        "mean_entropy": mean_entropy(probabilities),
    }


def reference(source: str = "mnist") -> Reference:
    """The digits to compare with: MNIST's test split where its files are at hand, else the embedded digits.

    It is read and judged once in a process. Nothing is downloaded: files are at hand in the folder of ``mnist:FOLDER``, in
    the one that the environment variable MINIGAN_DATA names, or in the system's place for caches, where `mnist` leaves
    them.

    Args:
        source: the data of a run, ``digits``, ``mnist`` or ``mnist:FOLDER``.

    >>> mg.metrics.reference("digits").features.shape[1]
    64
    """
    for folder in filter(None, map(folder_of, (source, "mnist"))):
        with suppress(DataError):
            return _test_digits(folder.resolve())
    return _embedded_digits()


@cache
def _test_digits(folder: Path) -> Reference:
    images, labels = data.mnist("test", folder)
    return Reference(f"{len(images):,} MNIST test digits", images, held_back=True, labels=labels)


@cache
def _embedded_digits() -> Reference:
    images, labels = data.digits()
    name = f"{len(images):,} embedded digits (of MNIST's training split)"
    return Reference(name, images, held_back=False, labels=labels)


def training_images(source: str) -> np.ndarray | None:
    """What a run was trained on, or None where it is not at hand; nothing is downloaded.

    Args:
        source: ``digits``, ``mnist`` or ``mnist:FOLDER``, as for `reference`.

    >>> from minigan.metrics.reference import training_images
    >>> training_images("digits").shape
    (5000, 1, 28, 28)
    >>> training_images("mnist:nowhere") is None
    True
    """
    folder = folder_of(source)
    if folder is None:
        return data.digits()[0]
    try:
        return data.mnist("train", folder)[0]
    except DataError:
        return None


def folder_of(source: str) -> Path | None:
    """Where the files of ``mnist`` or ``mnist:FOLDER`` would lie; None for the embedded digits."""
    name, _, folder = source.partition(":")
    if name != "mnist":
        return None
    return Path(folder).expanduser() if folder else home()
