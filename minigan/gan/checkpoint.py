"""Checkpoints: all that a run needs to go on, each in one safetensors file that is whole or not there.

The arrays are the file's tensors; everything else is JSON in its metadata. The two newest are kept, so that a file which
something has damaged since does not cost the run.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigan.errors import RunError
from minigan.gan import files

KEPT = 2
FORMAT = 1  # of the state; raised whenever an older one can no longer be read


def save(run: Path, step: int, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write the checkpoint of a step, then let go of those that are no longer needed.

    Raises:
        RunError: it cannot be written, such as on a full disk; the one before is still there.
    """
    from safetensors.numpy import save

    folder = run / files.CHECKPOINTS
    content = save(
        dict(arrays), {"state": json.dumps({"format": FORMAT, **state})}
    )  # several keys would come in any order
    try:
        files.write(folder / f"{step:09d}.safetensors", content)
    except OSError as error:
        raise RunError(
            f"the checkpoint of step {step}, {len(content) / 1e6:.1f} MB, cannot be written to {folder} ({error.strerror}); "
            f"mend that, and go on from the one before with minigan train --resume {run}"
        ) from None
    for old in _all(run)[KEPT:]:
        old.unlink()


def newest(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays and the state of the newest checkpoint that is whole; a damaged one is warned of.

    Raises:
        RunError: there is none, or it was written by a newer minigan.
    """
    from safetensors import SafetensorError, safe_open

    for path in _all(run):
        try:
            with safe_open(path, "numpy") as file:
                state = json.loads((file.metadata() or {})["state"])
                names = file.keys()
                arrays = {name: file.get_tensor(name) for name in names}
            written = state["format"]
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            warnings.warn(f"{path} is damaged ({error}); the one before it is taken", RuntimeWarning, stacklevel=2)
            continue
        if written > FORMAT:
            raise RunError(f"{path} was written by a newer minigan; go on with that version")
        return arrays, state
    raise RunError(f"{run} has no checkpoint that is whole, so that it cannot go on; train anew in another folder")


def latest(run: Path) -> int:
    """The step of the newest checkpoint, whole or not; 0 without one."""
    return max((int(path.stem) for path in _all(run)), default=0)


def _all(run: Path) -> list[Path]:
    """Newest first."""
    return sorted((run / files.CHECKPOINTS).glob("*.safetensors"), reverse=True)
