"""Plant bugs in a copy of the package, one at a time, and see that `check_layer` notices each.

    .venv/bin/python tests/mutants/layers.py [WORD ...]

Prints the check that found a bug, how many others notice it, the seconds that it took, and the smallest case, for each bug
whose line has the words. Exits with 1 if one is not found, or not in time, if a check notices none, or if one fails unbroken.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import wrong_behaviour
import wrong_gradients
from engine_laws import ROOT, copied, run
from wrong_gradients import Bug

from minigan.testing import CHECKS

BUGS = [*wrong_gradients.BUGS, *wrong_behaviour.BUGS]
COPIES = 2  # of the package, so that two bugs are looked for at a time
LIMIT = 20  # seconds to find one


class Outcome(NamedTuple):
    """What `subjects.py` says.

    Attributes:
        checks: those that fail on the case, the first that noticed at the front; empty if none does.
        case: the smallest, or what went wrong.
        seconds: that it took.
    """

    checks: list[str]
    case: str
    seconds: float


def look(folder: Path, subject: str) -> Outcome:
    """Run every check on a subject in a copy."""
    start = time.monotonic()
    try:
        result = run(folder, "tests/mutants/subjects.py", subject)
    except subprocess.TimeoutExpired:
        return Outcome([], "it does not end", time.monotonic() - start)
    seconds = time.monotonic() - start
    if result.returncode:
        return Outcome([], result.stderr.strip().rpartition("\n")[2], seconds)
    said = json.loads(result.stdout)
    case = f"{said['case']} of {said['inputs']}" if "checks" in said else said.get("headline", "")
    return Outcome(said.get("checks", []), case, seconds)


def look_for(bug: Bug, folder: Path) -> Outcome:
    """The same with a bug in the copy."""
    file = folder / "minigan" / bug.file
    source = file.read_text()
    file.write_text(source.replace(bug.old, bug.new))
    try:
        return look(folder, bug.subject)
    finally:
        file.write_text(source)


class Copies:
    """Copies of the package and its tests, each lent to one task at a time."""

    def __init__(self, folder: Path) -> None:
        self.free: SimpleQueue[Path] = SimpleQueue()
        for i in range(COPIES):
            made = copied(folder / str(i))
            where = run(made, "-c", "import minigan; print(minigan.__file__)").stdout.strip()
            assert Path(where).is_relative_to(made), f"the copy is not what is imported, but {where}"
            self.free.put(made)

    def lent(self, task: Callable[[Path], Outcome]) -> Outcome:
        folder = self.free.get()
        try:
            return task(folder)
        finally:
            self.free.put(folder)


def hold_unbroken(subjects: list[str], outcomes: Iterable[Outcome]) -> int:
    """How many subjects do not pass, each of which is said."""
    failures = [(s, o) for s, o in zip(subjects, outcomes, strict=True) if o.checks or o.case]
    for subject, outcome in failures:
        print(f"unbroken, {subject} does not pass: {', '.join(outcome.checks)} {outcome.case}")
    print(f"unbroken, {len(subjects) - len(failures)} of {len(subjects)} subjects pass every check\n", flush=True)
    return len(failures)


def table(bugs: list[Bug], outcomes: Iterable[Outcome]) -> tuple[int, Counter[str]]:
    """Print it; how many bugs are missed, and how many each check notices."""
    missed, noticed = 0, Counter[str]()
    print(f"{'bug':50}  {'found by':27}  {'s':>4}  smallest case")
    for bug, outcome in zip(bugs, outcomes, strict=True):
        noticed.update(outcome.checks)
        missed += not outcome.checks or outcome.seconds > LIMIT
        first, *others = [name.removeprefix("check_") for name in outcome.checks] or ["NONE: it survives"]
        check = f"{first} (+{len(others)})" if others else first
        print(f"{bug.what:50}  {check:27}  {outcome.seconds:4.1f}  {outcome.case[:120]}", flush=True)
    return missed, noticed


def main() -> int:
    words = sys.argv[1:]
    bugs = [b for b in BUGS if all(word in f"{b.what}, {b.subject}" for word in words)]
    if not bugs:
        sys.exit(f"no bug's line has the words {' '.join(words)}")
    for bug in bugs:
        times = (ROOT / "minigan" / bug.file).read_text().count(bug.old)
        assert times == 1, f"{bug.what}: {bug.old!r} is {times} times in {bug.file}"
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(COPIES) as pool:
        copies = Copies(Path(name).resolve())
        subjects = list(dict.fromkeys(b.subject for b in bugs))
        failures = hold_unbroken(
            subjects, pool.map(lambda subject: copies.lent(lambda folder: look(folder, subject)), subjects)
        )
        missed, noticed = table(bugs, pool.map(lambda bug: copies.lent(lambda folder: look_for(bug, folder)), bugs))
    idle = [] if words else [check for check in CHECKS if not noticed[check]]
    print(f"\nso many bugs each check notices: {', '.join(f'{check} {n}' for check, n in noticed.most_common())}")
    if idle:
        print(f"no bug is noticed by {', '.join(idle)}")
    print(f"{missed} of {len(bugs)} bugs survive or take too long" if missed else f"all {len(bugs)} bugs are found")
    return 1 if failures or missed or idle else 0


if __name__ == "__main__":
    sys.exit(main())
