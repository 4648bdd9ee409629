"""Finding the compiled loops: kept on disk, announced when compiled, and never the reason that nothing runs."""

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from minigan.backends import jit, passes
from minigan.backends.numpy import NumPyBackend

pytestmark = pytest.mark.host

needs_numba = pytest.mark.skipif(not importlib.util.find_spec("numba"), reason="pip install 'minigan[fast]'")


def kernels(**environment):
    """What a fresh process says of its kernels after a large activation: standard output and standard error."""
    program = """
import numpy as np, minigan as mg
x = mg.tensor(np.linspace(-1, 1, 1 << 16, dtype="float32"))
y = mg.ops.leaky_relu(x, 0.5).numpy()
assert (y == np.where(x.numpy() > 0, x.numpy(), x.numpy() / 2)).all()
print(mg.backends.get("numpy").kernels)
"""
    clean = {k: v for k, v in os.environ.items() if k not in ("MINIGAN_FAST", "NUMBA_CACHE_DIR")}
    run = subprocess.run([sys.executable, "-c", program], env=clean | environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip(), run.stderr


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder where a process has kept its compiled loops, and what it said meanwhile."""
    folder = tmp_path_factory.mktemp("kept")
    return folder, kernels(NUMBA_CACHE_DIR=str(folder))


@needs_numba
def test_compiling_is_announced_once_and_kept(kept):
    folder, (name, said) = kept
    assert name.startswith("numba ")
    assert said.count("Numba compiles the fast kernels") == 1
    assert kernels(NUMBA_CACHE_DIR=str(folder)) == (name, "")


@needs_numba
def test_a_corrupt_cache_is_named_and_does_no_harm(kept, tmp_path):
    folder, (name, _) = kept
    corrupt = tmp_path / "corrupt"
    shutil.copytree(folder, corrupt)
    for index in corrupt.rglob("*.nbi"):
        index.write_bytes(b"garbage")
    again, said = kernels(NUMBA_CACHE_DIR=str(corrupt))
    assert again == name
    assert f"cannot be kept in {corrupt}" in said
    assert "delete the folder" in said


def test_without_them_numpy_serves():
    assert kernels(MINIGAN_FAST="0") == ("numpy", "")


@needs_numba
def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    import numba

    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file"))
    asked = []
    monkeypatch.setattr(importlib, "import_module", lambda name: asked.append((name, jit.KEPT)) or sys)
    with pytest.warns(RuntimeWarning, match="cannot be kept in the cache folder .*NUMBA_CACHE_DIR"):
        assert jit.load() is sys
    assert asked == [(jit.COMPILED, False)]
    assert jit.KEPT


@needs_numba
def test_a_numba_that_cannot_compile_leaves_the_work_to_numpy(tmp_path, monkeypatch):
    import numba

    def fails(name):
        raise SyntaxError("of another Python")

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(importlib, "import_module", fails)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    with pytest.warns(RuntimeWarning) as warned:
        assert jit.load() is passes
    assert "cannot compile minigan's kernels (SyntaxError: of another Python)" in str(warned[-1].message)


def test_a_missing_numba_is_no_error(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert jit.load() is passes
    assert NumPyBackend().kernels == "numpy"
