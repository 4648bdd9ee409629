"""What `import minigan` loads, and which room may import which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minigan

PACKAGE = Path(minigan.__file__).parent
HEAVY = {"matplotlib", "scipy", "hypothesis", "pytest", "tyro", "tqdm", "safetensors", "torch", "cupy"}
HEAVY |= {"pooch", "requests"}
ORDER = ["backends", "autodiff", "ops", "nn", "optim", "gan", "cli"]  # each may import those before it
BESIDE = {"bench", "study", "testing", "data", "metrics"}  # imported by nothing below gan
FILES = sorted(PACKAGE.rglob("*.py"))
LADDER = [f for f in FILES if f.relative_to(PACKAGE).parts[0].removesuffix(".py") in ORDER]
names = lambda file: str(file.relative_to(PACKAGE))


def modules(source, package="minigan"):
    """Dotted names of everything that a file imports, at its head or later, but for type checking alone."""
    found, stack = set(), [ast.parse(source)]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            stack += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(
                [*(parents[: len(parents) - node.level + 1] if node.level else []), *filter(None, [node.module])]
            )
            found |= {f"{base}.{alias.name}" for alias in node.names} if base == "minigan" else {base}
        stack += ast.iter_child_nodes(node)
    return found


def imported(file):
    return modules(file.read_text(), ".".join(("minigan", *file.relative_to(PACKAGE).parent.parts)))


def rooms(file):
    """Rooms of minigan that a file imports; "" is minigan itself, or a name in it."""
    found = [m.removeprefix("minigan").strip(".").split(".")[0] for m in imported(file) if m.split(".")[0] == "minigan"]
    is_room = lambda name: (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()
    return {name if name and is_room(name) else "" for name in found}


def test_import_minigan_loads_nothing_heavy():
    code = f"import sys, minigan; print(*sorted({HEAVY!r} & {{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("room", ["autodiff", "ops", "nn", "optim", "gan"])
def test_no_room_above_the_backends_imports_an_array_library(room):
    for file in (PACKAGE / room).rglob("*.py"):
        assert {m.split(".")[0] for m in imported(file)} & {"numpy", "cupy", "torch", "scipy"} == set(), names(file)


@pytest.mark.parametrize("file", LADDER, ids=names)
def test_imports_point_one_way(file):
    own = ORDER.index(file.relative_to(PACKAGE).parts[0].removesuffix(".py"))
    allowed = {*ORDER[: own + 1], "errors", "_version"}
    if own >= ORDER.index("gan"):
        allowed |= BESIDE | {""}
    assert rooms(file) <= allowed


@pytest.mark.parametrize("file", [PACKAGE / "errors.py", PACKAGE / "_version.py"], ids=names)
def test_what_all_may_import_imports_nothing_of_minigan(file):
    assert rooms(file) == set()


def test_the_reader_of_imports_sees_every_form():
    source = """
import numpy as np, minigan.ops
from minigan import nn
from minigan.autodiff.protocol import op
from . import b
from ..backends import of
if TYPE_CHECKING:
    import torch
def f():
    import scipy.stats
"""
    assert modules(source, "minigan.gan.deep") == {
        "numpy", "minigan.ops", "minigan.nn", "minigan.autodiff.protocol", "minigan.gan.deep", "minigan.gan.backends",
        "scipy.stats",
    }  # fmt: skip
