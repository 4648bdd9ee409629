"""The README's Python and the examples in docstrings run as tests.

In the README, ``print(x)  # 1.5`` must print what its comment says, ``...`` standing for anything.
"""

import ast
import contextlib
import doctest
import io

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser
from sybil.parsers.rest import DocTestParser


def run(example: Example) -> str | None:
    """Execute a block statement by statement; the first line that prints something else is the failure."""
    source = example.parsed
    lines = source.splitlines()
    for statement in ast.parse(source).body:
        printed = io.StringIO()
        code = compile(ast.Module([statement], []), example.path, "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, example.namespace)
        text, comment = printed.getvalue().strip(), lines[statement.end_lineno - 1].partition("#")[2].strip()
        if text and not doctest.OutputChecker().check_output(comment + "\n", text + "\n", doctest.ELLIPSIS):
            return f"{lines[statement.end_lineno - 1]}\nprinted {text}"
    return None


readme = Sybil([CodeBlockParser(language="python", evaluator=run)], patterns=["README.md"])
docstrings = Sybil([DocTestParser()], path="minigan", patterns=["**/*.py"])
pytest_collect_file = (readme + docstrings).pytest()
