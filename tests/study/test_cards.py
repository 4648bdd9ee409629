"""Every op has a card, whose example passes through all its rules and agrees with differences, and tests that prove it."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minigan as mg
from minigan.autodiff.registry import OPS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
CARDS = {page.stem: page.read_text() for page in (REFERENCE / "ops").glob("*.md")}

sys.path.append(str(REFERENCE.parent / "_ext"))

from proofs import proofs  # noqa: E402
from worked import BOUND, work  # noqa: E402

pytestmark = pytest.mark.host

every_card = pytest.mark.parametrize("name", sorted(CARDS))


def example(name):
    return re.fullmatch(rf"# {name}\n\n:::{{op}} ({name}\([^\n]*\))\n\n\S.*\n:::\n", CARDS[name], re.DOTALL)[1]


def test_every_op_has_a_card_every_card_an_op_and_the_index_all():
    listed = re.findall(r"^\.\. card:: (\w+)$", (REFERENCE / "ops.md").read_text(), re.MULTILINE)
    assert sorted(CARDS) == sorted(listed) == sorted({*mg.ops.__all__, *OPS})


@every_card
def test_a_cards_example_agrees_with_differences(name):
    worked = work(example(name))
    assert worked.agrees, {x: worked.off(x) for x in worked.gradients}
    ruled = {x for rule in getattr(OPS.get(name), "rules", ()) for x in rule.inputs}
    assert ruled <= {x.partition("[")[0] for x in worked.gradients}
    assert bool(worked.gradients) == bool(ruled or name not in OPS)


@every_card
def test_a_cards_example_would_show_a_gradient_that_is_off(name):
    worked = work(example(name))
    for x, (rule, numeric) in worked.gradients.items():
        assert not replace(worked, gradients=worked.gradients | {x: (1.0001 * rule, numeric)}).agrees


def test_an_example_runs_the_ops_own_rules(monkeypatch):
    (rule,) = OPS["sqrt"].rules
    monkeypatch.setattr(rule, "function", lambda F, dy, y: dy / y)
    worked = work("sqrt([0.25, 4.0])")
    assert not worked.agrees
    np.testing.assert_allclose(worked.gradients["x"][0], 2 * worked.gradients["x"][1], rtol=BOUND)


def test_every_op_has_tests_and_every_rule_a_gradient_check():
    for name in mg.ops.__all__:
        assert proofs()[name]
    for name in (name for name, op in OPS.items() if op.rules):
        assert ("Gradient", f"tests/ops/test_every_op.py::test_gradient[{name}]") in proofs()[name]
