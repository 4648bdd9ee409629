"""Where data are kept between runs, and files there that a crash or a reader never meets half written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def home() -> Path:
    """The folder that the environment variable MINIGAN_DATA names, else the system's place for caches."""
    import pooch

    return Path(os.environ.get("MINIGAN_DATA") or pooch.os_cache("minigan"))


def write(path: Path, content: bytes) -> None:
    """Write to a temporary name beside `path`, then rename. A cache that cannot be written to stays as it is."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        pass
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
