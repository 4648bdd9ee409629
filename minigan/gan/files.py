"""A run's folder: whole files, and one writer at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minigan.data.files import write
from minigan.errors import RunError

__all__ = ["CHECKPOINTS", "locked", "new_run", "write"]

CHECKPOINTS = "checkpoints"  # a run's folder in its folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A run's folder is this block's alone; the system ends that with the process, however it ends.

    What a killed process left half written is removed first.

    Raises:
        RunError: somebody else has it.
    """
    from filelock import FileLock, Timeout

    (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / CHECKPOINTS / "lock", blocking=False):
            for left in (*folder.glob(".*.[0-9]*"), *(folder / CHECKPOINTS).glob(".*.[0-9]*")):
                left.unlink(missing_ok=True)
            yield
    except Timeout:
        raise RunError(
            f"{folder} is being written to by another run; wait for its end, or give another folder"
        ) from None


def new_run(folder: Path, config: str) -> None:
    """Make the folder of a new run, with its settings; `RunError` if it holds one already or cannot be written to."""
    try:
        with locked(folder):
            if (folder / "config.json").exists():
                raise RunError(
                    f"{folder} holds a run already; give another folder with --out, remove this one, or go on with it: minigan "
                    f"train --resume {folder}"
                )
            write(folder / "config.json", config)
    except OSError as error:
        raise RunError(f"{folder} cannot be written to ({error.strerror}); give another folder with --out") from None
