"""Plant bugs in a copy of the package, one at a time, and see that `check_layer` notices each.

    .venv/bin/python tests/mutants/layers.py [WORD ...]

Prints the check that found a bug, how many others notice it, the seconds that it took, and the smallest case, for each bug
whose line has the words. Exits with 1 if one is not found, or not in time, if a check notices none, or if one fails unbroken.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
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
    result = run(folder, "tests/mutants/subjects.py", subject)
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


def main() -> int:
    bugs = [b for b in BUGS if all(word in f"{b.what}, {b.subject}" for word in sys.argv[1:])]
    subjects = list(dict.fromkeys(b.subject for b in bugs))
    for bug in bugs:
        times = (ROOT / "minigan" / bug.file).read_text().count(bug.old)
        assert times == 1, f"{bug.what}: {bug.old!r} is {times} times in {bug.file}"
    missed = 0
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(COPIES) as pool:
        free: SimpleQueue[Path] = SimpleQueue()
        for i in range(COPIES):
            folder = copied(Path(name).resolve() / str(i))
            where = run(folder, "-c", "import minigan; print(minigan.__file__)").stdout.strip()
            assert Path(where).is_relative_to(folder), f"the copy is not what is imported, but {where}"
            free.put(folder)

        def lent(task: Callable[[Path], Outcome]) -> Outcome:
            folder = free.get()
            try:
                return task(folder)
            finally:
                free.put(folder)

        unbroken = list(pool.map(lambda subject: lent(lambda folder: look(folder, subject)), subjects))
        for subject, outcome in zip(subjects, unbroken, strict=True):
            if outcome.checks or outcome.case:
                print(f"unbroken, {subject} does not pass: {', '.join(outcome.checks)} {outcome.case}")
                missed += 1
        print(f"unbroken, {len(subjects) - missed} of {len(subjects)} subjects pass every check\n", flush=True)
        print(f"{'bug':50}  {'found by':27}  {'s':>4}  smallest case")
        noticed: Counter[str] = Counter()
        found = pool.map(lambda bug: lent(lambda folder: look_for(bug, folder)), bugs)
        for bug, outcome in zip(bugs, found, strict=True):
            noticed.update(outcome.checks)
            missed += not outcome.checks or outcome.seconds > LIMIT
            first, *others = [name.removeprefix("check_") for name in outcome.checks] or ["NONE: it survives"]
            check = f"{first} (+{len(others)})" if others else first
            print(f"{bug.what:50}  {check:27}  {outcome.seconds:4.1f}  {outcome.case[:120]}", flush=True)
    print(f"\nso many bugs each check notices: {', '.join(f'{name} {n}' for name, n in noticed.most_common())}")
    idle = [] if sys.argv[1:] else [name for name in CHECKS if not noticed[name]]
    if idle:
        print(f"no bug is noticed by {', '.join(idle)}")
    print(f"{missed} of {len(bugs)} bugs survive or take too long" if missed else f"all {len(bugs)} bugs are found")
    return 1 if missed or idle else 0


if __name__ == "__main__":
    sys.exit(main())
