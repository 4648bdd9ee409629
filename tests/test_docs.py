"""The documentation: it builds without a warning, loads nothing from the network, and its reference has every public name."""

import doctest
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigan as mg

DOCS = Path(__file__).parent.parent / "docs"
PACKAGES = ("ops", "nn", "optim", "gan", "data", "metrics", "study", "testing")


def documented():
    """Names in the reference's directives, from minigan downwards."""
    names = set()
    for page in (DOCS / "reference").glob("*.md"):
        module = ""
        for directive, name in re.findall(r"^\.\. ([\w:]+):: ([\w.]+)$", page.read_text(), re.MULTILINE):
            if directive == "currentmodule":
                module = name
            else:
                names.add(name if name.startswith("minigan.") else f"{module}.{name}")
    return names


def listed():
    """Names that minigan and its packages list, but for modules and the version."""
    names = {f"minigan.{n}" for n in mg.__all__ if n != "__version__" and not inspect.ismodule(getattr(mg, n))}
    for package in PACKAGES:
        module = getattr(mg, package)
        names |= {f"minigan.{package}.{n}" for n in module.__all__ if not inspect.ismodule(getattr(module, n))}
    return names | {f"minigan.errors.{name}" for name, e in vars(mg.errors).items() if inspect.isclass(e)}


def test_the_reference_has_every_public_name():
    assert sorted(listed() - documented()) == []


def test_the_pages_build_without_a_warning_and_read_without_a_network(tmp_path):
    pytest.importorskip("sphinx", reason="the documentation's packages are not installed: pip install 'minigan[docs]'")
    options = ["-m", "sphinx", "-W", "--keep-going", "-q", "-d"]
    command = [sys.executable, *options, tmp_path / "doctrees", DOCS, tmp_path / "html"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    loads = r"""(?:<(?:script|img|iframe)\b[^>]*src|<link\b[^>]*href)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import"""
    files = [f for f in (tmp_path / "html").rglob("*") if f.suffix in (".html", ".css")]
    assert len(files) > 10
    assert {f.name: found for f in files if (found := re.findall(loads, f.read_text()))} == {}


def test_the_test_file_on_a_page_reports_what_the_page_shows(tmp_path):
    page = (DOCS / "guide" / "prove-your-layer.md").read_text()
    source, shown = re.search(r"```py\n# test_layers.py\n(.*?)```\n\n```\n\$ (.*?)```", page, re.DOTALL).groups()
    (tmp_path / "test_layers.py").write_text(source)
    command, _, expected = shown.partition("\n")
    for backend in ("numpy", "strict"):  # the page speaks of both
        call = [sys.executable, "-m", *command.split(), "--minigan-backend", backend]
        environment = {**os.environ, "COLUMNS": "120"}  # a narrow screen cuts the reasons off
        result = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
        tests = re.findall(r"^test_layers.py::.*?(?= +\[ *\d+%\]$)", result.stdout, re.MULTILINE)
        assert result.returncode == 0, result.stdout
        assert doctest.OutputChecker().check_output(expected, "\n".join(tests) + "\n", doctest.ELLIPSIS), result.stdout
