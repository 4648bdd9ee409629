"""The judge: a small classifier of digits, trained with minigan itself, whose features samples are measured by."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from minigan import backends, ops
from minigan.autodiff import Tensor, no_grad
from minigan.backends import random
from minigan.nn import BatchNorm, Conv2d, Dense, Flatten, ReLU, Sequential

CLASSES = 10
FEATURES = 64
FILE = "judge.safetensors"


def judge_network(rng: random.Generator | int | None = None) -> tuple[Sequential, Dense]:
    """The judge's two parts, untrained: images (N, 1, 28, 28) -> features (N, 64), and those -> logits (N, 10).

    Three convolutions with batch norm, 28x28 -> 14x14 -> 7x7 -> 7x7, then a dense layer with batch norm; ReLU throughout.

    >>> body, head = mg.metrics.judge_network(rng=0)
    >>> head(body(mg.tensor(np.zeros((2, 1, 28, 28), "float32")))).shape
    (2, 10)
    """
    rng = random.generator(rng)
    body = Sequential(
        Conv2d(1, 32, 4, stride=2, padding=1, bias=False, rng=rng),
        BatchNorm(32),
        ReLU(),
        Conv2d(32, 64, 4, stride=2, padding=1, bias=False, rng=rng),
        BatchNorm(64),
        ReLU(),
        Conv2d(64, 64, 3, padding=1, bias=False, rng=rng),
        BatchNorm(64),
        ReLU(),
        Flatten(),
        Dense(7 * 7 * 64, FEATURES, bias=False, rng=rng),
        BatchNorm(FEATURES),  # without it half of the features never fire
        ReLU(),
    )
    return body, Dense(FEATURES, CLASSES, rng=rng)


class Judge:
    """A classifier of digits in evaluation mode; `judge` gives the one that comes with minigan.

    It computes on the CPU in float32 and by batches, wherever the images come from, so that a figure does not depend on
    the backend, nor on what ran before.

    Args:
        body, head: as `judge_network` makes them; they are put into evaluation mode.
        facts: what is known about it, such as its version, recipe and test accuracy.

    >>> judge = mg.metrics.judge()
    >>> images, labels = mg.data.digits()
    >>> judge.probabilities(images[:3]).argmax(axis=1), labels[:3]
    (array([0, 0, 0]), array([0, 0, 0]))
    """

    def __init__(self, body: Sequential, head: Dense, facts: Mapping[str, str] | None = None) -> None:
        self.network = Sequential(body, head).to("numpy").eval()
        self.body, self.head = body, head
        self.facts = dict(facts or {})

    def features(self, images: Any, batch: int = 250) -> np.ndarray:
        """What the last layer decides by: float32 (n, 64), none below 0.

        Args:
            images: (n, 1, 28, 28) in [-1, 1], ink is 1.
            batch: images worked on at a time.

        Raises:
            ValueError: images of another shape, or none.

        >>> mg.metrics.judge().features(mg.data.digits()[0][:3]).shape
        (3, 64)
        """
        if np.shape(images)[1:] != (1, 28, 28) or len(images) == 0:
            raise ValueError(f"the judge takes images (n, 1, 28, 28), got {np.shape(images)}")
        with backends.backend("numpy"), no_grad(), backends.own_threads(True):
            parts = [
                self.body(Tensor(np.asarray(images[i : i + batch], np.float32), copy=False)).numpy()
                for i in range(0, len(images), batch)
            ]
        return np.concatenate(parts)

    def classify(self, features: Any) -> np.ndarray:
        """The probability of each class, float32 (n, 10), of images with these `features`.

        >>> judge = mg.metrics.judge()
        >>> judge.classify(judge.features(mg.data.digits()[0][:3])).shape
        (3, 10)
        """
        with backends.backend("numpy"), no_grad(), backends.own_threads(True):
            return ops.softmax(self.head(Tensor(np.asarray(features, np.float32), copy=False))).numpy()

    def probabilities(self, images: Any, batch: int = 250) -> np.ndarray:
        """The probability of each class, float32 (n, 10), of images as `features` takes them.

        >>> probabilities = mg.metrics.judge().probabilities(mg.data.digits()[0][:3])
        >>> probabilities.sum(axis=1).round(4)
        array([1., 1., 1.], dtype=float32)
        """
        return self.classify(self.features(images, batch))


@cache
def judge() -> Judge:
    """The judge that comes with minigan, loaded once; its `facts` hold version, recipe and test accuracy.

    ``python -m minigan.metrics.train_judge mnist:FOLDER`` trains it anew.

    >>> mg.metrics.judge().facts["version"]
    '1'
    """
    from safetensors import safe_open

    body, head = judge_network(0)
    with as_file(files("minigan.metrics") / FILE) as path, safe_open(path, "numpy") as stored:
        names = stored.keys()
        Sequential(body, head).load_state_dict({name: stored.get_tensor(name) for name in names})
        return Judge(body, head, stored.metadata())
