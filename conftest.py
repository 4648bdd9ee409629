"""The Python in the README and in docs/, and the examples in docstrings, run as tests.

On the pages, ``print(x)  # 1.5`` must print what its comment says, beside it or in the lines below, ``...`` standing for
anything; what a page writes goes into a folder of its own. A docstring's example has ``mg`` and ``np``, as the reference
says, and nothing else.
"""

import ast
import contextlib
import doctest
import io
import os
import tempfile
from itertools import takewhile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy
from sybil import Document, Example, Sybil
from sybil.document import PythonDocStringDocument
from sybil.example import NotEvaluated
from sybil.parsers.markdown import CodeBlockParser
from sybil.parsers.rest import DocTestParser

import minigan


def run(example: Example) -> str | None:
    """Execute a block statement by statement; the first line that prints something else is the failure."""
    lines = Path(example.path).read_text(encoding="utf-8").splitlines()
    for statement in ast.parse(example.parsed).body:
        ast.increment_lineno(statement, example.line)  # what a page prints of its own source stands on the page
        printed = io.StringIO()
        code = compile(ast.Module([statement], []), example.path, "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, example.namespace)
        text, last = printed.getvalue().strip(), lines[statement.end_lineno - 1]
        below = takewhile(lambda line: line.startswith("#"), lines[statement.end_lineno :])
        comment = last.partition("#")[2].strip() or "\n".join(line[2:] for line in below)
        if text and not doctest.OutputChecker().check_output(comment + "\n", text + "\n", doctest.ELLIPSIS):
            return f"{last}\nprinted {text}"
    return None


def enter_folder(namespace: dict[str, Any]) -> None:
    """Work in a new folder until the page has ended."""
    stack = namespace["__stack__"] = contextlib.ExitStack()
    stack.callback(os.chdir, os.getcwd())
    os.chdir(stack.enter_context(tempfile.TemporaryDirectory()))
    stack.enter_context(mock.patch.dict(os.environ, MINIGAN_DATA="cache"))


class OnNumPy:
    """What the examples show is what NumPy gives, whichever backend the tests run on."""

    def evaluate(self, example: Example, evaluator: Any) -> None:
        with minigan.backend("numpy"):
            super().evaluate(example, evaluator)


class Page(OnNumPy, Document):
    pass


class Docstrings(OnNumPy, PythonDocStringDocument):
    """The docstrings of a file, whose examples see none of the names around them."""

    def import_document(self, example: Example) -> None:
        raise NotEvaluated


pages = Sybil(
    [CodeBlockParser(language="python", evaluator=run)],
    patterns=["README.md", "docs/*.md", "docs/tutorials/*.md", "docs/how-to/*.md", "docs/explanation/*.md"],
    setup=enter_folder,
    teardown=lambda namespace: namespace["__stack__"].close(),
    document_types={".md": Page},
)
docstrings = Sybil(
    [DocTestParser(doctest.ELLIPSIS)],
    path="minigan",
    patterns=["**/*.py"],
    setup=lambda namespace: namespace.update(mg=minigan, np=numpy),
    document_types={".py": Docstrings},
)
pytest_collect_file = (pages + docstrings).pytest()
