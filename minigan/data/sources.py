"""Images by a name, as the command line and a run's settings give it."""

from __future__ import annotations

import re

from minigan.data.digits import Images, Labels, digits
from minigan.data.mnist import mnist
from minigan.errors import DataError


def check(source: str) -> None:
    """`DataError` unless `load` knows the name; nothing is read.

    >>> mg.data.check("fashion")
    Traceback (most recent call last):
    minigan.errors.DataError: data must be one of digits, mnist, mnist:FOLDER, got 'fashion'
    """
    if not re.fullmatch("digits|mnist(:.+)?", str(source)):
        raise DataError(f"data must be one of digits, mnist, mnist:FOLDER, got {source!r}")


def load(source: str) -> tuple[Images, Labels]:
    """The images to train with, and their labels.

    Args:
        source: ``digits``, the embedded ones; ``mnist``, downloaded once; ``mnist:FOLDER``, from a folder.

    Raises:
        DataError: a name that there is not, or data that cannot be had, as `mnist` says.

    >>> images, labels = mg.data.load("digits")
    >>> images.shape
    (5000, 1, 28, 28)
    """
    check(source)
    return digits() if source == "digits" else mnist(folder=source.partition(":")[2] or None)
