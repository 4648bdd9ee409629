"""The documentation: it builds without a warning, loads nothing from the network, runs its lessons, and its reference has every
public name."""

import doctest
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minigan as mg

pytestmark = pytest.mark.host
DOCS = Path(__file__).parent.parent / "docs"
LESSONS = sorted((DOCS / "lessons").glob("*/*.py"))
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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages, built from a copy: lessons that are run become pages beside those that were written."""
    pytest.importorskip(
        "sphinx_gallery", reason="the documentation's packages are missing: pip install 'minigan[docs]'"
    )
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "tests"):  # the pages say which tests prove an op
        shutil.copytree(
            DOCS.parent / name, folder / name, ignore=shutil.ignore_patterns("_build", "learn", "__pycache__")
        )
    for name in ("conftest.py", "pyproject.toml", "CHANGELOG.md"):
        shutil.copy(DOCS.parent / name, folder)
    options = ["-m", "sphinx", "-W", "--keep-going", "-q", "-d"]
    command = [sys.executable, *options, folder / "doctrees", folder / "docs", folder / "html"]
    result = subprocess.run(command, env={**os.environ, "MPLBACKEND": "agg"}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder / "html"


def test_the_pages_read_without_a_network_and_say_nothing_of_this_machine(site):
    loads = r"""(?:<(?:script|img|iframe)\b[^>]*src|<link\b[^>]*href)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import"""
    files = [f for f in site.rglob("*") if f.suffix in (".html", ".css")]
    assert len(files) > 10
    assert {f.name: found for f in files if (found := re.findall(loads, f.read_text()))} == {}
    machine = (str(site.parent), str(DOCS.parent))
    assert {f.name for f in files if any(path in f.read_text() for path in machine)} == set()


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_every_lesson_is_run_and_found_from_the_first_page(lesson, site):
    page = f"learn/{lesson.parent.name}/{lesson.stem}.html"
    assert f'href="{page}"' in (site / "index.html").read_text()
    assert "sphx-glr-script-out" in (site / page).read_text()


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_every_lesson_ends_with_two_questions_whose_answers_are_computed(lesson):
    _, heading, end = lesson.read_text().partition("# Two questions\n# -------------\n")
    assert heading
    asked = [block for block in re.split(r"^# %%.*\n", end, flags=re.MULTILINE) if block.strip("#\n ")]
    assert len(asked) == 2
    for block in asked:
        assert re.match(r"[#\s]*\*\*[^*]+\?\*\*", block), "a question in bold comes first"
        assert re.search(r"^ *print\(", block, re.MULTILINE), "and its answer is printed"


def test_the_test_file_on_a_page_reports_what_the_page_shows(tmp_path):
    page = (DOCS / "how-to" / "prove-your-layer.md").read_text()
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
