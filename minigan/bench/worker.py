"""A process that works for one side: ``python worker.py minigan|torch|floor JOB``.

Answers commands, one line of JSON each, from standard input on standard output; whatever else prints goes to standard
error. PyTorch's side and the floor's are loaded without minigan, which would change how their memory is allocated.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import json
import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

WARM_UP = 3  # steps until everything is compiled, chosen and captured
REHEARSED = 8  # samples: enough that large arrays' ways of computing are taken


def load(side: str) -> Any:
    """The module of a side."""
    if side == "minigan":
        return import_module("minigan.bench.minigan_side")
    path = Path(__file__).with_name(f"{side}_side.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(side: Any, steps: int) -> float:
    """Seconds that `steps` steps took."""
    started = time.perf_counter()
    for _ in range(steps):
        side.step()
    side.finish()
    return time.perf_counter() - started


def memory(side: Any, steps: int) -> float | None:
    """Peak MB of this process in its first steps, above what it held when the model stood; None where nobody counts it.

    A step on a few samples goes before, and is forgotten: the libraries' code that it is first to use, some 80 MB of
    PyTorch's, is import and no step's memory.
    """
    side.rehearse(REHEARSED)
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # else freed memory that glibc holds would hide what the step takes
    exact = _restart_peak()
    before = _held("VmRSS") if exact else _peak()
    run(side, steps)
    after = _held("VmHWM") if exact else _peak()
    return None if before is None or after is None else (after - before) / 1e6


def launches(side: Any) -> int | None:
    """Kernels that a GPU runs in one step, counted by PyTorch's profiler, which sees every library's; None without it.

    It starts after the warm-up and once: a profiler that was there before a step was captured may see nothing later.
    """
    with contextlib.suppress(ImportError):
        torch = import_module("torch")
        if torch.cuda.is_available():
            run(side, WARM_UP)
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
                run(side, 1)
            with tempfile.TemporaryDirectory() as folder:
                trace = Path(folder) / "trace.json"
                seen.export_chrome_trace(str(trace))
                events = json.loads(trace.read_text())["traceEvents"]
            return sum(event.get("cat") == "kernel" for event in events) or None
    return None


def _restart_peak() -> bool:
    """Begin to look for the peak anew; False where the system does not offer it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _held("VmHWM") is not None
    except OSError:
        return False


def _held(field: str) -> int | None:
    """Bytes in a field of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return None


def _peak() -> int | None:
    """Bytes that the process held at its peak, since it began."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _, name, job = sys.argv
    side = load(name).Side(json.loads(Path(job).read_text()))
    print(json.dumps(side.facts()), file=answers, flush=True)
    for line in sys.stdin:
        command, argument = json.loads(line)
        if command == "run":
            answer: Any = run(side, argument)
        elif command == "memory":
            answer = memory(side, argument)
        elif command == "launches":
            answer = launches(side)
        else:
            answer = getattr(side, command)(argument)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
