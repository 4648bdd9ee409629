"""Images by a name, as the command line and a run's settings give it."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

import numpy as np

from minigan.data.digits import Images, Labels, digits
from minigan.data.folder import folder
from minigan.data.mnist import mnist
from minigan.data.toys import grid, line, ring
from minigan.errors import DataError

TOYS = {"ring": ring, "grid": grid, "line": line}
POINTS = 500_000


def check(source: str) -> None:
    """`DataError` unless `load` knows the name; nothing is read.

    >>> mg.data.check("fashion")
    Traceback (most recent call last):
    minigan.errors.DataError: data must be one of digits, mnist, mnist:FOLDER, folder:PATH, ring, grid, line, got 'fashion'
    """
    if not re.fullmatch(f"digits|mnist(:.+)?|folder:.+|{'|'.join(TOYS)}", str(source)):
        raise DataError(
            f"data must be one of digits, mnist, mnist:FOLDER, folder:PATH, {', '.join(TOYS)}, got {source!r}"
        )


def classes(source: str) -> int | None:
    """How many classes the images' labels tell apart; None where they have no labels.

    >>> mg.data.classes("digits")
    10
    """
    return 10 if source.partition(":")[0] in ("digits", "mnist") else None


def load(source: str, size: int | None = None, channels: int | None = None) -> tuple[Images, Labels | None]:
    """The images to train with, or points, and their labels.

    Args:
        source: ``digits``, the embedded ones; ``mnist``, downloaded once; ``mnist:FOLDER``, from a folder;
            ``folder:PATH``, your own images, as `folder` reads them; ``ring``, ``grid`` and ``line``, 500,000 points.
        size: the images' side: 28 for digits, 64 for a folder if not given.
        channels: 1 for grey, 3 for RGB: 1 for digits, 3 for a folder if not given.

    Returns:
        images and labels, as `digits` and `mnist` give them; of a folder, images (n, channels, size, size) and None; points
        (n, 2), or (n, 1) of ``line``, and None.

    Raises:
        DataError: a name that there is not, or data that cannot be had, as `mnist` and `folder` say; digits of another
            size than 28 x 28 grey, points of any size.

    >>> images, labels = mg.data.load("digits")
    >>> images.shape
    (5000, 1, 28, 28)
    """
    check(source)
    kind, _, path = source.partition(":")
    if kind == "folder":
        return folder(path, 64 if size is None else size, 3 if channels is None else channels), None
    if kind in TOYS:
        if (size, channels) != (None, None):
            raise DataError(f"{source} has points, which have no size and no channels; leave them out")
        return TOYS[kind](POINTS, rng=0), None
    for name, value, only in (("size", size, 28), ("channels", channels, 1)):
        if value not in (None, only):
            raise DataError(
                f"{source} has 28 x 28 grey images: {name} must be {only}, got {value}; "
                "images of other sizes come from a folder, folder:PATH"
            )
    return digits() if kind == "digits" else mnist(folder=path or None)


def fingerprint(*arrays: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of arrays' shapes, dtypes and values: other data have another one.

    >>> mg.data.fingerprint(np.zeros((2, 1, 28, 28), "float32"))
    '4d151602e7d18dd5'
    """
    digest = sha256()
    for given in arrays:
        array = np.asarray(given, order="C")
        digest.update(f"{array.shape} {array.dtype.str}".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]
