"""The whole of MNIST, from a folder or from the network."""

from __future__ import annotations

from pathlib import Path

from minigan.data import idx
from minigan.data.digits import Images, Labels, scaled
from minigan.data.download import download
from minigan.errors import DataError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
CHECKSUMS = {  # SHA-256 of the uncompressed files
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
OTHERWISE = "give a folder that holds the files: mnist(folder=...), or --data mnist:FOLDER on the command line"
SPLITS = {"train": "train", "test": "t10k"}


def mnist(split: str = "train", folder: str | Path | None = None) -> tuple[Images, Labels]:
    """Handwritten digits: 60,000 to train with, or 10,000 to test with.

    Args:
        split: ``train`` or ``test``.
        folder: where the split's two IDX files lie, ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``
            or ``t10k-...``, with ``.gz`` or without, or with a dot before ``idx``. Any number of images will do.
            Without a folder the files are downloaded once, checked, and kept in a cache: the folder that the
            environment variable MINIGAN_DATA names, else the system's place for caches.

    Returns:
        images, float32 (n, 1, 28, 28) in [-1, 1], ink is 1; labels, int64 (n,), 0 to 9.

    Raises:
        DataError: a split that there is not, a folder without the files, files that are damaged or do not belong
            together, a download that failed.

    >>> mg.data.mnist(folder="nowhere")
    Traceback (most recent call last):
    minigan.errors.DataError: there is no folder nowhere; give the one that holds MNIST's files
    """
    if split not in SPLITS:
        raise DataError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    names = [name for name in CHECKSUMS if name.startswith(SPLITS[split])]
    if folder is None:
        paths = [download(name, MIRRORS, CHECKSUMS[name], OTHERWISE) for name in names]
    else:
        paths = _find(names, Path(folder).expanduser())
    pixels, labels = idx.read(paths[0], ndim=3), idx.read(paths[1], ndim=1)
    if len(pixels) == 0 or pixels.shape[1:] != (28, 28):
        raise DataError(f"{paths[0]} must hold images of 28 x 28 pixels, it holds {' x '.join(map(str, pixels.shape))}")
    if len(pixels) != len(labels):
        raise DataError(
            f"{paths[0]} holds {len(pixels)} images, but {paths[1]} {len(labels)} labels: they don't belong together"
        )
    if labels.max() > 9:
        first = int((labels > 9).argmax())
        raise DataError(f"{paths[1]}: labels must be from 0 to 9, number {first} is {labels[first]}")
    return scaled(pixels[:, None]), labels.astype("int64")


def _find(names: list[str], folder: Path) -> list[Path]:
    """The paths of the files in a folder, by any of the spellings in use."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; give the one that holds MNIST's files")
    found = {}
    for name in names:
        dotted = name.replace("-idx", ".idx")
        spellings = (name, f"{name}.gz", dotted, f"{dotted}.gz")
        found[name] = [path for path in map(folder.joinpath, spellings) if path.is_file()]
    missing = [name for name in names if not found[name]]
    if missing:
        raise DataError(f"{folder} has no {' and no '.join(missing)}, with .gz or without")
    return [paths[0] for paths in found.values()]
