"""IDX files, written by hand: the format's description turned into bytes, with nothing of minigan."""

import gzip
import struct
from pathlib import Path

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(array):
    """The bytes of an IDX file of an uint8 array."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write(folder, pixels, labels, split="train", zipped=False, dotted=False):
    """The two files of a split, and their paths."""
    paths = []
    for name, array in (("images", pixels), ("labels", labels)):
        file = f"{split}-{name}{'.' if dotted else '-'}idx{array.ndim}-ubyte{'.gz' if zipped else ''}"
        paths.append(Path(folder) / file)
        paths[-1].write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    return paths
