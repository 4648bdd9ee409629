"""Break each law of the engine in a copy of the package, and see that the tests named after the law notice.

    .venv/bin/python tests/mutants/engine_laws.py [LAW ...]

Prints a table and exits with 1 if a mutant survives. Tests that fail in the unbroken copy do not count.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Mutant(NamedTuple):
    law: int
    what: str
    file: str
    old: str
    new: str


MUTANTS = [
    Mutant(
        1,
        "a rule's stride is lost",
        "ops/conv.py",
        "F.conv2d(x, ddw, stride=stride, padding",
        "F.conv2d(x, ddw, padding",
    ),
    Mutant(
        1,
        "a family is left",
        "ops/shape.py",
        "return F.sum_to(dy, shape=x_shape)",
        "return F.sum_to(dy * 1, shape=x_shape)",
    ),
    Mutant(
        1,
        "transposed convolution has its own code",
        "ops/conv.py",
        "y = xp.conv2d_input_grad(x, ",
        "y = type(xp).conv2d_input_grad(xp, x, ",
    ),
    Mutant(
        2,
        "a statistic's gradient is dropped",
        "ops/norm.py",
        "dinv = dinv if dinv_std is None else dinv + dinv_std",
        "dinv = dinv",
    ),
    Mutant(
        2,
        "rules may name anything",
        "autodiff/protocol.py",
        "unknown = [p for p in parameters[1:] if p not in known] +",
        "unknown =",
    ),
    Mutant(
        3,
        "every input is saved",
        "autodiff/protocol.py",
        "tuple((x, i) for i, x in enumerate(self.inputs) if x in named)",
        "tuple((x, i) for i, x in enumerate(self.inputs))",
    ),
    Mutant(
        3,
        "saved for inputs that need nothing",
        "autodiff/protocol.py",
        "rules = [r for r in self.rules if wanted & set(r.inputs)]",
        "rules = self.rules",
    ),
    Mutant(3, "nothing is freed", "autodiff/graph.py", "if not retain:", "if False:"),
    Mutant(
        4,
        "a fast rule is wrong",
        "backends/numpy.py",
        "shift = (scale * dbias / len(rows))",
        "shift = -(scale * dbias / len(rows))",
    ),
    Mutant(
        4,
        "a fast rule is traced",
        "autodiff/graph.py",
        "return rule.function(TRACED_OPS, *arguments)",
        "fast = node.xp.fast_rules.get(rule.key)\n"
        "        return fast(node.xp, *map(self.data, arguments)) if fast else rule.function(TRACED_OPS, *arguments)",
    ),
    Mutant(
        5, "undeclared broadcasting is reduced", "autodiff/graph.py", "if not node.plan.op.broadcasts:", "if False:"
    ),
    Mutant(
        5,
        "declared broadcasting is not reduced",
        "autodiff/graph.py",
        "gradient = engine.sum_to(gradient, shape)",
        "pass",
    ),
    Mutant(
        6,
        "the walk recurses",
        "autodiff/graph.py",
        "    return sorted(found, key=_creation, reverse=True)",
        "    def deep(n):\n"
        "        return [deep(r[0][0]) for r in n.routes if type(r) is tuple and type(r[0]) is tuple]\n"
        "    [deep(e[0]) for e in roots if type(e) is tuple]\n"
        "    return sorted(found, key=_creation, reverse=True)",
    ),
    Mutant(
        6,
        "the order is another",
        "autodiff/graph.py",
        "return sorted(found, key=_creation, reverse=True)",
        "return list(found)",
    ),
    Mutant(
        6,
        "nothing is pruned",
        "autodiff/graph.py",
        "return goals is None or edge in goals or",
        "return True or edge in goals or",
    ),
    Mutant(
        6,
        "nodes point at their outputs",
        "autodiff/protocol.py",
        "            return wrap(y, (node, 0) if",
        "            if node is not None:\n                node.saved[''] = node\n            return wrap(y, (node, 0) if",
    ),
    Mutant(
        6,
        "backward takes create_graph",
        "autodiff/tensor.py",
        "def backward(self, grad: Any = None, retain_graph: bool = False)",
        "def backward(self, grad: Any = None, retain_graph: bool = False, create_graph: bool = False)",
    ),
    Mutant(
        7,
        "a gradient has its own dtype",
        "autodiff/graph.py",
        "return gradient if gradient.dtype is dtype or gradient.dtype == dtype else gradient.astype(dtype)",
        "return gradient",
    ),
    Mutant(
        7, "NumPy scalars are strong", "autodiff/protocol.py", "arrays.append(backends.weak(a))", "arrays.append(a)"
    ),
    Mutant(
        7,
        "integers beside float32 make float64",
        "autodiff/protocol.py",
        'a.astype(target) if counted and a.dtype.kind in "iu" else a',
        "a",
    ),
    Mutant(
        7,
        "integers may require gradients",
        "autodiff/tensor.py",
        'if value and self.data.dtype.kind != "f":',
        "if False:",
    ),
    Mutant(
        8,
        "asarray takes the values",
        "autodiff/operators.py",
        'raise TypeError(\n            "a minigan Tensor does not turn',
        'return self.data\n        raise TypeError(\n            "a minigan Tensor does not turn',
    ),
    Mutant(8, "the error names no op", "autodiff/operators.py", "if own in OPS else", "if False else"),
    Mutant(
        8,
        "array + tensor is refused",
        "autodiff/operators.py",
        'if reflected and method == "__call__"',
        'if False and method == "__call__"',
    ),
    Mutant(
        9,
        "detach leaves no trace",
        "autodiff/tensor.py",
        'cause = Cause("detach()", caller()) if self._tracked else self._cause',
        "cause = None",
    ),
    Mutant(9, "grad gives None unasked", "autodiff/functional.py", "elif allow_unused:", "elif True:"),
    Mutant(
        9,
        "vjp, jvp and hvp give None",
        "autodiff/functional.py",
        "return _zeros(like) if gradient is None else gradient",
        "return gradient",
    ),
    Mutant(9, "no_grad leaves no trace", "autodiff/protocol.py", 'return Cause("no_grad()", caller())', "return None"),
    Mutant(10, "versions are not compared", "autodiff/graph.py", "if version[0] != seen:", "if False:"),
    Mutant(
        10,
        "views have their own counter",
        "autodiff/protocol.py",
        "versions.append(_shared(y, given) if shared else [0, None])",
        "versions.append([0, None])",
    ),
    Mutant(
        10,
        "detach has its own counter",
        "autodiff/tensor.py",
        "return wrap(self.data, None, self._version, cause)",
        "return wrap(self.data, None, [0, None], cause)",
    ),
    Mutant(
        10,
        "traced values have new counters",
        "autodiff/graph.py",
        "versions = {name: version for name, version, _ in node.kept}",
        "versions = {name: [0, None] for name, version, _ in node.kept}",
    ),
    Mutant(
        11,
        "what arrives is returned itself",
        "autodiff/graph.py",
        "return gradient if fresh else engine.copy(gradient)",
        "return gradient",
    ),
    Mutant(
        11,
        "one gradient is given out twice",
        "autodiff/graph.py",
        "    entry[1] = False\n    return",
        "    return",
    ),
    Mutant(11, "arguments count as new", "autodiff/graph.py", "if held is root or (", "if False and ("),
    Mutant(11, "twins count as new", "autodiff/graph.py", "if len(results) > 1 and", "if False and"),
]


def copied(folder: Path) -> Path:
    """The package and its tests, alone, in another place."""
    ignore = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in ("minigan", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in the copy; HYPOTHESIS_PROFILE=ci draws the same examples every time."""
    settings = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "ci"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=os.environ | settings, capture_output=True, text=True, timeout=600
    )


def tests_of(folder: Path, law: str, *options: str) -> tuple[int, list[str]]:
    """Run the tests named after a law: pytest's exit status, and those that failed."""
    result = run(folder, "-m", "pytest", "tests/autodiff", "-q", "-rf", "--tb=no", "-k", f"test_law_{law}", *options)
    if result.returncode not in (0, 1):
        print(result.stdout[-2000:], result.stderr[-2000:])
    return result.returncode, re.findall(r"^FAILED (\S+(?:\[.*?\])?)(?: - .*)?$", result.stdout, re.MULTILINE)


def main() -> int:
    wanted = {int(a) for a in sys.argv[1:]} or {m.law for m in MUTANTS}
    survivors = 0
    with tempfile.TemporaryDirectory() as name:
        folder = copied(Path(name).resolve())
        where = run(folder, "-c", "import minigan; print(minigan.__file__)").stdout.strip()
        assert Path(where).is_relative_to(folder), f"the copy is not what is imported, but {where}"
        print(f"in {where}")
        status, already = tests_of(folder, "")
        assert status in (0, 1), "the tests cannot be run at all"
        for test in already:
            print(f"fails unbroken, does not count: {test}")
        skipped = [option for test in already for option in ("--deselect", test)]
        print(f"\n{'law':>3}  {'what was broken':44}  the test that failed")
        for mutant in MUTANTS:
            if mutant.law not in wanted:
                continue
            file = folder / "minigan" / mutant.file
            source = file.read_text()
            assert source.count(mutant.old) == 1, f"{mutant.old!r} is {source.count(mutant.old)} times in {mutant.file}"
            file.write_text(source.replace(mutant.old, mutant.new))
            status, failed = tests_of(folder, f"{mutant.law}_", "-x", *skipped)
            file.write_text(source)
            killed = status == 1 and bool(failed)
            survivors += not killed
            print(
                f"{mutant.law:>3}  {mutant.what:44}  {failed[0].split('::')[1] if killed else 'NONE: it survives'}",
                flush=True,
            )
    print(f"\n{survivors} survive" if survivors else "\nnone survives")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
