"""What a rule of minigan may do, that its formula speaks of the same things, and that the checkers catch the rest."""

import inspect

import numpy as np
import pytest
from rule_checks import formula_faults, purity_faults, tokens

import minigan as mg
from minigan.autodiff.registry import OPS

pytestmark = pytest.mark.host
RULES = [(op, rule) for op in OPS.values() for rule in op.rules]
IDS = [f"{op.name}-{'-'.join(rule.inputs)}" for op, rule in RULES]
all_rules = pytest.mark.parametrize(("op", "rule"), RULES, ids=IDS)


# -- every rule of minigan ------------------------------------------------------------------------------------------


@all_rules
def test_every_rule_is_pure_array_mathematics(op, rule):
    assert purity_faults(rule.function) == []


@all_rules
def test_every_formula_speaks_of_what_its_rule_does(op, rule):
    assert formula_faults(op, rule) == []


@all_rules
def test_every_rules_parameters_are_of_the_protocol(op, rule):
    known = {
        *op.inputs,
        *op.outputs,
        *op.attributes,
        *(f"{x}_shape" for x in op.inputs),
        *(f"d{y}" for y in op.outputs),
    }
    assert set(rule.parameters) <= known
    assert {f"d{y}" for y in op.outputs} & set(rule.parameters)
    assert set(rule.inputs) <= set(op.inputs)


def test_no_input_has_two_rules_and_every_public_op_is_described():
    for op in OPS.values():
        served = [x for rule in op.rules for x in rule.inputs]
        assert len(served) == len(set(served))
        assert op.__doc__
        assert inspect.unwrap(getattr(mg.ops, op.name, op)) is op


# -- the checkers catch what they are for -----------------------------------------------------------------------------


def _writes_into_what_arrives(F, dy):
    dy *= 2
    return dy


def _writes_an_item(F, dy):
    y = dy * 1
    y[0] = 0
    return y


def _writes_an_attribute(F, dy):
    dy.shape = (3,)
    return dy


def _branches(F, dy):
    return dy if isinstance(dy, mg.Tensor) else dy * 1


def _branches_on_type(F, dy):
    return dy if type(dy) is tuple else dy * 1


def _asks(F, dy):
    return dy * 2 if hasattr(dy, "backward") else dy


def _unwraps(F, dy):
    return dy.data


def _imports(F, dy):
    import math

    return dy * math.pi


def _gives_out(F, dy):
    return F.add(dy, dy, out=dy)


def _helper(dy):
    return dy if isinstance(dy, np.ndarray) else dy * 1


def _helped(F, dy):
    return _helper(dy)


IMPURE = {f.__name__: f for f in (_writes_into_what_arrives, _writes_an_item, _writes_an_attribute, _branches,
          _branches_on_type, _asks, _unwraps, _imports, _gives_out, _helped)}  # fmt: skip


@pytest.mark.parametrize("function", IMPURE.values(), ids=IMPURE)
def test_an_impure_rule_is_caught(function):
    assert purity_faults(function) != []


def _pure(F, dy, x, axis):
    n = x.size if axis is None else x.shape[axis]
    parts = [dy * i for i in range(n)]
    return sum(parts) if len(parts) > 1 else F.reshape(dy, shape=x.shape)


def test_ordinary_mathematics_is_no_fault():
    assert purity_faults(_pure) == []


D = r"\partial L/\partial "
WRONG = {  # for matmul-like op(a, weight) -> y, rule of a, parameters dy, weight
    "another input": D + r"b = \partial L/\partial y \, \mathit{weight}",
    "the other input": D + r"\mathit{weight} = \partial L/\partial y \, \mathit{weight}",
    "no left side": r"\partial L/\partial y \, \mathit{weight}",
    "another output": D + r"a = \partial L/\partial z \, \mathit{weight}",
    "no arriving gradient": D + r"a = \mathit{weight}",
    "an array left out": D + r"a = \partial L/\partial y",
    "an array that is no parameter": D + r"a = \partial L/\partial y \, \mathit{weight} \, a",
    "an unknown name": D + r"a = \partial L/\partial y \, \mathit{weight} \, \mathit{scale}",
    "an unknown letter": D + r"a = \partial L/\partial y \, \mathit{weight} \, k",
    "an unknown function": D + r"a = \operatorname{frob}(\partial L/\partial y, \mathit{weight})",
    "an op that is not called": D + r"a = \operatorname{conv2d}(\partial L/\partial y, \mathit{weight})",
    "another function": D + r"a = \cos(\partial L/\partial y \, \mathit{weight})",
    "an unknown command": D + r"a = \partial L/\partial y \foo \mathit{weight}",
    "open brackets": D + r"a = (\partial L/\partial y \, \mathit{weight}",
    "two left sides": D + r"a = \partial L/\partial y \, \mathit{weight};\; " + D + r"a = \partial L/\partial y",
    "a definition for nothing": D + r"a = \partial L/\partial y \, \mathit{weight},\; c = 2",
    "a parameter defined anew": D + r"a = \partial L/\partial y \, \mathit{weight},\; \mathit{weight} = 2",
}
RIGHT = {
    "plain": D + r"a = \partial L/\partial y \, \mathit{weight}^\top",
    "with a size": D + r"a = \tfrac{1}{n} \operatorname{matmul}(\partial L/\partial y, \mathit{weight})",
    "with a definition": D + r"a = c \, \mathit{weight},\; c = 2 \operatorname{sum}_{nhw} \partial L/\partial y",
    "with a condition": D + r"a = \partial L/\partial y \, [\mathit{weight} > 0]",
}


def _stand_in(formula):
    @mg.op
    def stand_in(xp, a, weight):
        return a @ weight

    @stand_in.gradient("a", formula=formula)
    def _(F, dy, weight):
        return F.matmul(dy, weight.T)

    return stand_in, stand_in.rules[0]


@pytest.mark.parametrize("formula", WRONG.values(), ids=WRONG)
def test_a_formula_that_speaks_of_something_else_is_caught(formula):
    assert formula_faults(*_stand_in(formula)) != []


@pytest.mark.parametrize("formula", RIGHT.values(), ids=RIGHT)
def test_a_formula_that_speaks_of_its_rule_is_none(formula):
    assert formula_faults(*_stand_in(formula)) == []


@all_rules
def test_a_formula_with_one_token_dropped_or_renamed_is_never_right(op, rule):
    """Any array or derivative of a formula that is renamed to something unknown is caught."""
    for kind, name in tokens(rule.formula):
        if kind == "derivative":
            written = r"\partial L/\partial " + (
                name if len(name) == 1 else rf"\mathit{{{name.replace('_', chr(92) + '_')}}}"
            )
            renamed = rule.formula.replace(written, r"\partial L/\partial \mathit{other}")
            changed = type("Changed", (), {**vars(rule), "formula": renamed, "parameters": rule.parameters})
            assert renamed != rule.formula
            assert formula_faults(op, changed) != []
