"""The lab's page: a recording and the script that shows it, in one file."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from string import Template
from typing import Any

from minigan.errors import RunError
from minigan.gan import files
from minigan.study.lab.record import Recording

HERE = Path(__file__).parent
SCRIPTS = ("recording.js", "charts.js", "plane.js", "line.js", "captions.js", "lab.js")  # each uses those before it


def writable(path: Path) -> Path:
    """The path, if a file can be written there; `RunError` if not. Nothing is changed."""
    try:
        if path.is_dir():
            raise RunError(f"{path} is a folder; give a file, such as {path / 'lab.html'}")
        if not path.parent.is_dir():
            raise RunError(f"there is no folder {path.parent} to write {path.name} into; make it, or give another file")
        trial = path.with_name(f".{path.name}.trial")
        files.write(trial, b"")
        trial.unlink()
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}); give another file") from None
    return path


def page(recording: Recording) -> str:
    """A recording as HTML that fetches nothing."""
    parts = {
        "facts": recording.facts,
        "constants": {name: packed(array) for name, array in recording.constants.items()},
        "frames": {name: packed(array) for name, array in recording.frames.items()},
    }
    text = {name: (HERE / name).read_text(encoding="utf-8") for name in ("lab.html", "lab.css", *SCRIPTS)}
    return Template(text["lab.html"]).substitute(
        data=recording.facts["data"],
        style=text["lab.css"],
        recording=json.dumps(parts, separators=(",", ":"), allow_nan=False),
        script="".join(text[name] for name in SCRIPTS),
    )


def packed(array: Any) -> dict[str, Any]:
    """An array of float32, or of integers, as JSON: its bytes, the least significant first, in base 64."""
    array = array.astype(array.dtype.newbyteorder("<"))
    return {"shape": array.shape, "type": array.dtype.str[1:], "bytes": b64encode(array.tobytes()).decode()}
