"""Finding the compiled loops: where Numba is installed, they serve instead of those in NumPy."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from minigan.backends import passes

COMPILED = "minigan.backends.compiled"
KEPT = True  # whether what is compiled is kept on disk


def load() -> ModuleType:
    """The module with the inner loops: `compiled`, or `passes` without Numba and where MINIGAN_FAST is 0.

    Machine code is kept in the user's cache folder, or where NUMBA_CACHE_DIR says. A folder that cannot be used is warned of,
    and costs every process the time to compile.
    """
    if os.environ.get("MINIGAN_FAST") == "0" or not importlib.util.find_spec("numba"):
        return passes
    import numba

    folder: Any = "the cache folder"
    try:
        folder = _folder(numba)
        with _set(numba.config, CACHE_DIR=str(folder)), _announced(numba):
            return importlib.import_module(COMPILED)
    except Exception as error:  # whatever a damaged or forbidden file leads to
        warnings.warn(
            f"compiled kernels cannot be kept in {folder} ({type(error).__name__}: {error}), so they are compiled anew; delete "
            "the folder, or name one that can be written with NUMBA_CACHE_DIR",
            RuntimeWarning,
            stacklevel=2,
        )
    for name in [name for name in sys.modules if name.startswith(COMPILED)]:
        del sys.modules[name]
    try:
        with _set(sys.modules[__name__], KEPT=False), _announced(numba):
            return importlib.import_module(COMPILED)
    except Exception as error:  # a Numba that does not fit this Python, NumPy or processor
        warnings.warn(
            f"Numba {numba.__version__} cannot compile minigan's kernels ({type(error).__name__}: {error}); NumPy serves "
            "instead; MINIGAN_FAST=0 in the environment does without Numba",
            RuntimeWarning,
            stacklevel=2,
        )
        return passes


def _folder(numba: Any) -> Path:
    """Where machine code of these very sources is kept."""
    import pooch

    here = Path(__file__).parent
    sources = [here / "filtering.py", *sorted((here / "compiled").glob("*.py"))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    folder = Path(numba.config.CACHE_DIR or pooch.os_cache("minigan")) / f"kernels-{digest[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _set(place: Any, **values: Any) -> Iterator[None]:
    before = {name: getattr(place, name) for name in values}
    vars(place).update(values)
    try:
        yield
    finally:
        vars(place).update(before)


@contextmanager
def _announced(numba: Any) -> Iterator[None]:
    """A block in which the first compilation is said to whoever waits."""
    from numba.core import event

    class Announcement(event.Listener):
        said = False

        def on_start(self, event: Any) -> None:
            if not self.said:
                print("minigan: Numba compiles the fast kernels, which takes about half a minute", file=sys.stderr)
            self.said = True

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Announcement()):
        yield
