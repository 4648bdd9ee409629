"""IDX, the format of MNIST's files: a magic number, the length of each axis, then the values."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from minigan.errors import DataError

UNSIGNED_BYTES = 0x800  # the magic number, less the number of axes; it and the lengths are big-endian, 4 bytes each


def read(path: Path, ndim: int) -> np.ndarray:
    """The values of an IDX file of unsigned bytes, gzipped or not: uint8 with `ndim` axes, read-only.

    Raises:
        DataError: a file that cannot be read, is truncated or damaged, or holds something else.
    """
    content = unzipped(path)
    header = 4 * (1 + ndim)
    if len(content) < header:
        raise DataError(
            f"{path} is damaged: its header alone takes {header} bytes, it has {len(content)}; get it again"
        )
    magic, *shape = np.frombuffer(content, ">u4", 1 + ndim).tolist()
    if magic != UNSIGNED_BYTES + ndim:
        raise DataError(
            f"{path} starts with {magic}, not with {UNSIGNED_BYTES + ndim}, the magic number of {ndim}-dimensional bytes "
            "in IDX; is it the right file?"
        )
    if len(content) - header != math.prod(shape):
        raise DataError(
            f"{path} is damaged: its header says {' x '.join(map(str, shape))} values, it has {len(content) - header}; "
            "get it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def unzipped(path: Path) -> bytes:
    """What is in a file, uncompressed if it is gzip by its first bytes; its name may say something else."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged: {error}; get it again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
