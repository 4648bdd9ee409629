"""The documentation: it builds without a warning, loads nothing from the network, and its reference has every public name."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigan as mg

DOCS = Path(__file__).parent.parent / "docs"
PACKAGES = ("ops", "nn", "optim", "gan", "data", "metrics")


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
