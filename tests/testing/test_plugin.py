"""The pytest plugin, in sessions of its own: sealed state, backends, marks."""

import pytest

pytestmark = pytest.mark.host
pytest_plugins = ["pytester"]

STATE = """
import minigan as mg
from minigan.autodiff.trace import mode

drawn = []

def draw():
    return float(mg.nn.Dense(1, 1).weight.numpy()[0, 0])

def test_one_changes_everything():
    drawn.append(draw())
    mg.set_backend("strict")
    mg.seed(5)
    mode.enabled = False

def test_two_sees_nothing_of_it():
    drawn.append(draw())
    assert drawn[0] == drawn[1]
    assert mg.tensor([1.0]).backend == "numpy"
    assert mode.enabled
"""


def test_no_test_sees_what_another_changed(pytester):
    pytester.makepyfile(STATE)
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)


def test_all_backends(pytester):
    pytester.makepyfile("import minigan as mg\ndef test_here(backend):\n    assert mg.tensor([1.0]).backend == backend")
    result = pytester.runpytest_subprocess("-v", "--minigan-backend", "all")
    result.stdout.fnmatch_lines(["*test_here?numpy? PASSED*", "*test_here?strict? PASSED*"])


def test_long_tests_are_for_the_nightly_profile(pytester):
    pytester.makepyfile("import pytest\n@pytest.mark.nightly\ndef test_long():\n    pass")
    pytester.runpytest_subprocess("-q").assert_outcomes(skipped=1)
    pytester.runpytest_subprocess("-q", "--hypothesis-profile", "nightly").assert_outcomes(passed=1)
