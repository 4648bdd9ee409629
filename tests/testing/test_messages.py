"""What the checks of gradients say: the whole text of three failures, and that a repro fails in the same way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import Scale, by_one, gate, not_summed, off_by_a_little, second_order_only, wrong_shape

import minigan as mg
from minigan.testing import CheckFailed, check_adjoint, check_grads, check_linear

FACTOR = 1.5

OFF_BY_A_LITTLE = """\
check_grads: the derivative of y[0, 1] by x[0, 1] is 2.7191, differences give 2.71828
  rule      off_by_a_little.gradient("x") at <path>:<line>
  analytic  2.71909731
  numeric   2.71828183 ± <error>
  ratio     1.0003
  order     1
  inputs    x (1, 2) float32
  seed      rng=0
  repro:
    import minigan as mg
    import numpy as np
    from minigan.testing import check_grads
    from planted import off_by_a_little

    x0 = np.array([[0.5, 1.0]], np.float32)
    check_grads(off_by_a_little, x0)"""

SECOND_ORDER = """\
check_grads: the derivative of dx[1] by x[1] is 0.82252, differences give 0.548347
  rule      second_order_only.gradient("x") at <path>:<line>
  ops       neg, inner_sine, mul
  analytic  0.822520155
  numeric   0.54834677 ± <error>
  ratio     1.5
  order     2
  inputs    x (2,) float64
  seed      rng=7
  repro:
    import minigan as mg
    import numpy as np
    from minigan.testing import check_grads
    from planted import second_order_only

    x0 = np.array([0.5, -1.0], np.float64)
    check_grads(second_order_only, x0, order=2, rng=7)"""

LAYER = """\
check_grads: the derivative of y0[1, 1] by 1.factor[1] is 0.25, differences give -0.761594
  ops       tanh, not_summed
  analytic  0.25
  numeric   -0.761594156 ± <error>
  ratio     -0.3282588
  order     1
  inputs    x (2, 2) float64, 1.factor (2,) float32
  layer     Sequential( (0): Tanh() (1): Scale() )
  seed      rng=0
  repro:
    import minigan as mg
    import numpy as np
    from minigan.testing import check_grads
    from planted import Scale

    f = mg.nn.Sequential(mg.nn.Tanh(), Scale())
    f.load_state_dict({'1.factor': np.array([2.0, 3.0], np.float32)})
    x0 = np.array([[0.5, 1.0], [0.25, -1.0]], np.float64)
    check_grads(f, x0)"""


def failure(check: Any, f: Any, *xs: Any, **options: Any) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        check(f, *xs, **options)
    return caught.value


def text(error: CheckFailed) -> str:
    """The message without what differs between machines: where files lie, and how rounding went."""
    return re.sub(r"± \S+", "± <error>", re.sub(r"at \S+\.py:\d+", "at <path>:<line>", str(error)))


def test_the_message_of_a_wrong_rule():
    assert text(failure(check_grads, off_by_a_little, np.array([[0.5, 1.0]], np.float32))) == OFF_BY_A_LITTLE


def test_the_message_of_a_wrong_second_derivative():
    error = failure(check_grads, second_order_only, np.array([0.5, -1.0]), order=2, rng=7)
    assert text(error) == SECOND_ORDER


def test_the_message_of_a_wrong_layer():
    error = failure(check_grads, mg.nn.Sequential(mg.nn.Tanh(), Scale()), np.array([[0.5, 1.0], [0.25, -1.0]]))
    assert text(error) == LAYER


def local_op() -> Any:
    """An op that can't be imported."""

    @mg.op
    def shrunk(xp: Any, x: Any, *, by: float = 2.0) -> Any:
        return np.pi * x / by if FACTOR else x

    @shrunk.gradient("x", formula="dy / by")
    def _(F: Any, dy: Any, by: float) -> Any:
        return dy / by

    return shrunk


def local_function() -> Any:
    def f(x: Any, scale: Any = FACTOR) -> Any:
        return off_by_a_little(mg.ops.tanh(x)) * scale

    return f


x = np.array([[0.5, 1.0, -0.25], [1.5, 0.75, -1.0]])
FAILURES: dict[str, tuple[Any, ...]] = {
    "an op": (check_grads, off_by_a_little, x),
    "of order 2": (check_grads, second_order_only, x, {"order": 2, "rng": 3}),
    "a shape": (check_grads, wrong_shape, x),
    "a kink": (check_grads, mg.ops.relu, 0 * x),
    "a kink inside": (check_grads, gate, 0 * x),
    "not finite": (check_grads, mg.ops.log, 0 * x),
    "an op of a tuple": (check_grads, partial(mg.ops.concatenate, axis=0), (0 * x, np.full((1, 3), np.nan))),
    "an op with attributes": (check_grads, partial(local_op(), by=4.0), x),
    "a local op": (check_grads, local_op(), np.arange(200.0).reshape(100, 2)),
    "a local function": (check_grads, local_function(), x),
    "an anonymous function": (check_grads, lambda x, n: not_summed(x, x[0]) * n, x, 2),
    "a layer": (check_grads, Scale(), x[:, :2]),
    "layers": (check_grads, mg.nn.Sequential(mg.nn.Dense(3, 2, rng=0), mg.nn.Sequential(Scale())).eval(), x),
    "an adjoint": (check_adjoint, by_one, x[0], {"rng": 5}),
    "an adjoint of another input": (check_adjoint, not_summed, x, x[0], {"wrt": "b"}),
    "an adjoint of another shape": (check_adjoint, by_one, x),
    "not linear": (check_linear, mg.ops.tanh, x),
    "an adjoint that is not linear": (check_adjoint, mg.ops.tanh, x),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_repro_fails_in_the_same_way_elsewhere(name, tmp_path):
    check, *arguments = FAILURES[name]
    options = arguments.pop() if isinstance(arguments[-1], dict) else {}
    error = failure(check, *arguments, **options)
    file = tmp_path / "repro.py"
    file.write_text(error.repro)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(mg.__file__).parents[1])])
    }
    run = subprocess.run([sys.executable, file], capture_output=True, text=True, env=environment, cwd=tmp_path)
    said = run.stderr[run.stderr.index(f"minigan.testing.failures.{type(error).__name__}: ") :]
    if not name.endswith("shape"):  # which names the line of the call
        assert said.splitlines()[0].endswith(str(error).splitlines()[0])


def test_what_cannot_be_written_down_is_said():
    scale = mg.tensor([2.0, 3.0])
    error = failure(check_grads, lambda x: off_by_a_little(x * scale), np.array([0.5, 0.25]))
    assert "# put here the function under test" in error.repro
    assert "f = ..." in error.repro
