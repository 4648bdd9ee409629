"""The embedded MNIST digits."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np

Images = np.ndarray
Labels = np.ndarray


def digits() -> tuple[Images, Labels]:
    """5,000 handwritten digits of MNIST's training split, 500 a class, in the order of their classes.

    Returns:
        images, float32 (5000, 1, 28, 28) in [-1, 1], ink is 1; labels, int64 (5000,). ``DIGITS.md`` beside this
        file names the source.

    >>> images, labels = mg.data.digits()
    >>> images.shape, float(images.min()), float(images.max())
    ((5000, 1, 28, 28), -1.0, 1.0)
    """
    with as_file(files("minigan.data") / "digits.npz") as path, np.load(path, allow_pickle=False) as stored:
        images, labels = stored["images"], stored["labels"]
    return scaled(images[:, None]), labels.astype(np.int64)


def scaled(pixels: np.ndarray) -> Images:
    """Images, float32 (n, C, H, W) in [-1, 1], of pixels, uint8 of the same shape."""
    images = pixels / np.float32(127.5)
    images -= 1
    return images
