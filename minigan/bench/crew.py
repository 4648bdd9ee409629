"""The processes of a bench: all alive at once, one of them working at a time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import minigan
from minigan.backends.pool import VARIABLES
from minigan.gan import interrupts

PAUSE = 0.1  # seconds between turns: time for the other side's threads to stop spinning and sleep
SHOWN = 12  # last lines of a dead worker's standard error
HELD_BACK = (
    "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS",
)  # fmt: skip
"""Settings that keep a library from the processor's own instructions."""
PRECISION = ("CUPY_TF32", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")
"""Settings that change a GPU's precision behind the back of ``--precision``; never kept."""


class WorkerDied(RuntimeError):
    """A worker ended before it answered; the message has the last lines of what it said."""


def environment(threads: int, as_is: bool, **settings: str) -> dict[str, str]:
    """A worker's environment: this minigan, this many threads, `settings`; and unless `as_is`, nothing held back."""
    dropped = {"MINIGAN_FAST", *PRECISION, *([] if as_is else HELD_BACK)}
    kept = {k: v for k, v in os.environ.items() if k not in dropped}
    path = os.pathsep.join(filter(None, [str(Path(minigan.__file__).parent.parent), kept.get("PYTHONPATH")]))
    return kept | dict.fromkeys(VARIABLES, str(threads)) | settings | {"PYTHONPATH": path}


class Worker:
    """One side's process, started; `ready` waits until it can be asked.

    Args:
        label: the side's name in messages.
        side: minigan, torch or floor.
        job: the file that says what to build.
        env: its environment.

    Attributes:
        facts: what it said of itself when it was ready.
    """

    facts: dict[str, Any]

    def __init__(self, label: str, side: str, job: Path, env: Mapping[str, str]) -> None:
        self.label = label
        self._said = job.with_name(f"{label}.stderr")
        # a session of its own, so that Ctrl-C comes to the bench alone, which ends its workers
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("worker.py")), side, str(job)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=env, start_new_session=True,
            )  # fmt: skip

    def ready(self) -> None:
        """Wait until it is ready; `WorkerDied` where it ends before."""
        self.facts = self._answer()

    def ask(self, command: str, argument: Any) -> Any:
        """Give a command and wait for its answer; `WorkerDied` where none comes."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it died of is said below
            self._process.stdin.write(f"{json.dumps([command, argument])}\n".encode())
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        raise WorkerDied(
            "\n    ".join([f"the worker of {self.label} died with exit code {code}; it said last:", *self.said()])
        )

    def said(self) -> list[str]:
        """The last lines of its standard error."""
        return self._said.read_text(errors="replace").splitlines()[-SHOWN:]

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.wait()


class Crew:
    """The workers of one network. One that dies is dropped with a message, and the others go on.

    Attributes:
        workers: those alive, by label.
        errors: what went wrong, one message each.
        said: what the others wrote on standard error, each line once.
    """

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}
        self.errors: list[str] = []
        self.said: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with interrupts.held():
            for label in list(self.workers):
                self.dismiss(label)

    def start(self, label: str, side: str, job: Path, env: Mapping[str, str]) -> bool:
        """Start a worker and wait until it is ready."""
        with interrupts.held():
            worker = self.workers[label] = Worker(label, side, job, env)
        self._heard(label, worker.ready)
        return label in self.workers

    def ask(self, label: str, command: str, argument: Any) -> Any:
        """A worker's answer, or None where it is no longer there."""
        if label not in self.workers:
            return None
        time.sleep(PAUSE)
        return self._heard(label, partial(self.workers[label].ask, command, argument))

    def _heard(self, label: str, answer: Callable[[], Any]) -> Any:
        """A worker's answer; or None, and the worker is dropped."""
        try:
            return answer()
        except WorkerDied as error:
            self.errors.append(str(error))
            self.workers.pop(label).close()
            return None

    def dismiss(self, label: str) -> None:
        """End a worker."""
        worker = self.workers[label]
        worker.close()
        self.said = list(dict.fromkeys([*self.said, *(f"{label}: {line}" for line in worker.said())]))
        del self.workers[label]
