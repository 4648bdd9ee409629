"""Which tests prove an op: those that have it in their id, and its family's that call it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import minigan as mg

ROOT = Path(__file__).parents[2]
TESTS = ("tests/ops", "tests/study/test_formulas.py::test_a_formula_computes_what_its_rule_does", "tests/autodiff")


@cache
def proofs() -> dict[str, list[tuple[str, str]]]:
    """By op, what each of its tests says and how pytest finds it, as pytest collects them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *TESTS]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{run.stdout}{run.stderr}")
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    collected = re.findall(r"^(tests/\S+?::\w+)(.*)$", run.stdout, re.MULTILINE)
    for test, case in sorted(collected, key=lambda found: "test_every_op" not in found[0]):
        for name in {*re.split(r"[\[\]-]", case), *calls(test)} & {*mg.ops.__all__}:
            found[name][test].append(test + case)
    return {
        name: [(said(test), ids[0] if len(ids) == 1 else test) for test, ids in tests.items()]
        for name, tests in found.items()
    }


def said(test: str) -> str:
    """A test's name as a sentence."""
    return test.partition("::test_")[2].replace("_", " ").capitalize()


@cache
def calls(test: str) -> frozenset[str]:
    """Names of ``mg.ops`` in the source of a test of ops."""
    file, _, name = test.partition("::")
    if not file.startswith("tests/ops/"):
        return frozenset()
    sources = (ast.unparse(f) for f in _tree(file).body if isinstance(f, ast.FunctionDef) and f.name == name)
    return frozenset(re.findall(r"\bops\.(\w+)", " ".join(sources)))


@cache
def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text())
