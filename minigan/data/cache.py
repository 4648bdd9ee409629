"""Where data are kept between runs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from minigan.data import files


def home() -> Path:
    """The folder that the environment variable MINIGAN_DATA names, else the system's place for caches."""
    import pooch

    return Path(os.environ.get("MINIGAN_DATA") or pooch.os_cache("minigan"))


def write(path: Path, content: bytes) -> None:
    """Write a whole file. A cache that cannot be written to stays as it is."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, content)
