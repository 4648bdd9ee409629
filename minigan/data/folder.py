"""A folder of one's own images: found, read, brought to one size, and kept for the next time."""

from __future__ import annotations

import json
import os
import stat
import unicodedata
import warnings
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minigan.data import cache
from minigan.data.digits import Images, scaled
from minigan.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg")
MODES = {1: "L", 3: "RGB"}  # Pillow's names
VERSION = 1  # of how images are read, so that a cache of another version is not used
SHOWN = 20  # unreadable files that a message names


def folder(
    path: str | Path,
    size: int = 64,
    channels: int = 3,
    unreadable: Literal["skip", "refuse"] = "skip",
) -> Images:
    """The PNG and JPEG images in a folder and all folders below it, in the order of their names.

    Each is turned as its EXIF orientation says, scaled so that its shorter side is `size`, and cropped to its middle.
    What is transparent is laid on white; 16 bits become 8; of an animation it is the first picture. Names that start
    with a dot are passed over, and links to folders are not followed.

    What was read is kept in the cache that `mnist` has, one byte a value, and read again from there until a name, a size
    or a time of change in the folder is another one, or Pillow or its limits are.

    Args:
        path: the folder.
        size: the images' side in pixels.
        channels: 3 for RGB, 1 for grey.
        unreadable: ``skip`` leaves out files that cannot be read, with one warning that lists them; ``refuse`` raises.
            Such are files that are empty, cut off, or something else by another's name, and images of more pixels than
            Pillow's limit, which may be decompression bombs.

    Returns:
        float32 (n, channels, size, size) in [-1, 1], black is -1.

    Raises:
        DataError: no such folder, no images in it, none that can be read, or unreadable ones that are refused; an
            argument out of its range.

    >>> mg.data.folder("nowhere")
    Traceback (most recent call last):
    minigan.errors.DataError: there is no folder nowhere; give the one that holds your images
    """
    if not isinstance(size, int) or size < 1:
        raise DataError(f"size must be an integer of at least 1, the images' side in pixels, got {size!r}")
    for name, value, known in (("channels", channels, tuple(MODES)), ("unreadable", unreadable, ("skip", "refuse"))):
        if value not in known:
            raise DataError(f"{name} must be {' or '.join(map(repr, known))}, got {value!r}")
    path = Path(path).expanduser()
    if not path.is_dir():
        raise DataError(f"there is no folder {path}; give the one that holds your images")
    names = _find(path)
    if not names:
        raise DataError(f"{path} has no images: no file in it, or in a folder below it, ends in {', '.join(SUFFIXES)}")
    settings = json.dumps([str(path.resolve()), size, channels])
    place = cache.home() / f"folder-{sha256(settings.encode()).hexdigest()[:16]}.safetensors"
    state = json.dumps([settings, _pillow(), [(name, *_stamp(path / name)) for name in names]])
    content = _Content.load(place, state)
    if content is None:
        content, lasting = _read(path, names, size, channels)
        if lasting:
            content.save(place, state)
    if content.failures:
        _report(path, content, refuse=unreadable == "refuse")
    return scaled(content.pixels)


def _find(path: Path) -> list[str]:
    """Names below the folder with slashes, in one order on every system."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}") from None

    names = []
    for parent, below, files in os.walk(path, onerror=refuse):
        below[:] = [name for name in below if not name.startswith(".")]
        base = Path(parent).relative_to(path)
        names += [
            (base / name).as_posix() for name in files if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    return sorted(names, key=lambda name: (unicodedata.normalize("NFC", name), name))


def _pillow() -> tuple[str, int | None, bool]:
    """What decides, beside the files, what is read."""
    from PIL import Image, ImageFile, __version__

    return __version__, Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES


def _stamp(file: Path) -> tuple[int, int]:
    """Size and time of the last change, which tell whether a file is another one."""
    try:
        status = file.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _read(path: Path, names: list[str], size: int, channels: int) -> tuple[_Content, bool]:
    """All images of the folder and why each of the others is not one; and whether that is so until a file changes."""
    from PIL.Image import DecompressionBombWarning
    from tqdm import tqdm

    pixels = np.empty((len(names), channels, size, size), np.uint8)
    failures = {}
    n, lasting = 0, True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what does not keep an image from being read, such as damaged EXIF data
        warnings.simplefilter("error", DecompressionBombWarning)
        for name in tqdm(names, desc="images", unit="", disable=None):
            try:
                pixels[n] = _pixels(path / name, size, channels)
                n += 1
            except Exception as error:  # what Pillow raises for damaged files has no common class
                failures[name] = _reason(path / name, error)
                lasting &= not isinstance(error, MemoryError) and getattr(error, "errno", None) is None
    return _Content(pixels[:n], failures), lasting


def _pixels(file: Path, size: int, channels: int) -> np.ndarray:
    """One image, uint8 (channels, size, size)."""
    from PIL import Image, ImageOps

    if not stat.S_ISREG(file.stat().st_mode):  # opening a pipe would wait for ever
        raise OSError("it is not a regular file")
    with Image.open(file, formats=("PNG", "JPEG")) as opened:
        opened.draft(MODES[channels], (2 * size, 2 * size))  # a large JPEG is decoded at a fraction of its size
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):  # 16 bits of grey
        image = Image.fromarray((np.asarray(image).astype(np.float32) / 257).round().astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = ImageOps.fit(image.convert(MODES[channels]), (size, size), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1)


def _reason(file: Path, error: Exception) -> str:
    """Why a file could not be read, in a few words."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        with open(file, "rb") as opened:
            start = opened.read(12)
        return f"neither PNG nor JPEG, it starts with {start!r}" if start else "empty"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more pixels than Pillow's limit of {Image.MAX_IMAGE_PIXELS:,}, perhaps a decompression bomb"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return " ".join(text.split())


def _report(path: Path, content: _Content, refuse: bool) -> None:
    """One message about the files that could not be read: an error if they are refused or there are no others."""
    listed = [f"{name!r} ({reason})" for name, reason in content.failures.items()]
    more = f", and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    read, failed = len(content.pixels), len(listed)
    what = f"{path}: {failed} of {read + failed} images cannot be read"
    files = ", ".join(listed[:SHOWN]) + more
    if not read:
        raise DataError(f"{what}, and there are no others: {files}")
    if refuse:
        raise DataError(f'{what}: {files}; mend or remove them, or leave them out with unreadable="skip"')
    warnings.warn(f"{what} and are left out: {files}", stacklevel=3)


@dataclass(frozen=True)
class _Content:
    """A folder's images, uint8 (n, C, H, W), and the reasons why other files are not among them."""

    pixels: np.ndarray
    failures: dict[str, str]

    def checksum(self, state: str) -> str:
        """Of all that a cache holds, and what it was made from."""
        digest = sha256(json.dumps([VERSION, state, self.failures, self.pixels.shape]).encode())
        digest.update(self.pixels.data)
        return digest.hexdigest()

    def save(self, place: Path, state: str) -> None:
        from safetensors.numpy import save

        about = {"checksum": self.checksum(state), "failures": json.dumps(self.failures)}
        cache.write(place, save({"pixels": self.pixels}, about))

    @classmethod
    def load(cls, place: Path, state: str) -> _Content | None:
        """What was saved for this state of the folder; None if there is nothing, or it is damaged."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(place, "numpy") as file:
                about: dict[str, Any] = file.metadata() or {}
                content = cls(file.get_tensor("pixels"), json.loads(about["failures"]))
                return content if about["checksum"] == content.checksum(state) else None
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
