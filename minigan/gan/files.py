"""Writing so that a reader, or a crash, never meets half a file."""

from __future__ import annotations

import os
from pathlib import Path

from minigan.errors import RunError


def write(path: Path, content: bytes | str) -> None:
    """Write to a temporary name beside `path`, then rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def new_run(folder: Path) -> None:
    """Make the folder of a new run; `RunError` if it holds one already or cannot be written to."""
    if (folder / "config.json").exists():
        raise RunError(f"{folder} holds a run already; give another folder with --out, or remove this one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "probe", b"")
        (folder / "probe").unlink()
    except OSError as error:
        raise RunError(f"{folder} cannot be written to ({error.strerror}); give another folder with --out") from None
