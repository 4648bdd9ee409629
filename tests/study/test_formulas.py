"""A rule's formula computes what the rule does, wherever it is arithmetic; the others are named here, with the reason."""

import random

import numpy as np
import pytest
from formula_support import COMPARED, Formula, Unreadable, by_formula, unreadable
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from ops.cases import CASES
from support import arriving_at, assert_close, rngs, run

from minigan.autodiff.registry import OPS

RULES = {f"{op.name}-{'-'.join(rule.inputs)}": (op, rule) for op in OPS.values() for rule in op.rules}
MOVES = "which value goes where is in the op's settings; that its rule is its transpose is tested instead"
PRODUCTS = "a sum over windows, whose place is in the op's settings; that the three are transposes is tested instead"
PLANES = "the places are an array of integers; that the two are transposes is tested instead"
NO_ARITHMETIC = {
    **dict.fromkeys(
        ("transpose-x", "getitem-x", "scatter_add-x", "concatenate-arrays", "stack-arrays", "pad-x"), MOVES
    ),
    **dict.fromkeys(("conv2d-x", "conv2d-weight", "conv_transpose2d-x", "conv_transpose2d-weight"), PRODUCTS),
    **dict.fromkeys(("conv2d_weight_grad-x", "conv2d_weight_grad-g"), PRODUCTS),
    **dict.fromkeys(("pool_gather-x", "pool_scatter-g"), PLANES),
}
COMPUTED = sorted(set(RULES) - set(NO_ARITHMETIC))

every_formula = pytest.mark.parametrize("name", COMPUTED)


def test_only_formulas_that_are_no_arithmetic_are_left_out():
    assert {name: why for name, (_, rule) in RULES.items() if (why := unreadable(rule))}.keys() == NO_ARITHMETIC.keys()


@every_formula
@given(st.data(), rngs)
def test_a_formula_computes_what_its_rule_does(name, data, rng):
    op, rule = RULES[name]
    call = data.draw(CASES[op.name])
    arriving = arriving_at(call, rng)
    for x, dx in zip(call.variables, run(call, arriving)[1], strict=True):
        if x in rule.inputs:
            # sums of at most some hundred terms, in another order: 1e2 * 2e-16, and conditions below 8
            assert_close(by_formula(call, arriving, rule, x), dx, 1e-12)


@every_formula
def test_a_formula_that_is_twice_its_rule_is_noticed(name):
    op, rule = RULES[name]

    def noticed(call, x):
        if x not in call.variables:
            return False
        arriving = arriving_at(call, np.random.default_rng(0))
        dx = dict(zip(call.variables, run(call, arriving)[1], strict=True))[x]
        return not np.allclose(2 * by_formula(call, arriving, rule, x), dx)

    quietly = settings(database=None, max_examples=100, phases=[Phase.generate])
    for x in rule.inputs:
        find(CASES[op.name], lambda call, x=x: noticed(call, x), settings=quietly, random=random.Random(0))


# -- arithmetic ------------------------------------------------------------------------------------------------------

VALUES = {"x": np.float64(1.5), "y": np.float64(-2), "scale": np.float64(0.25), "dy": np.float64(-0.75)}
names = st.sampled_from([("x", "x"), ("y", "y"), (r"\mathit{scale}", "scale"), (r"\partial L/\partial y", "dy")])
leaves = st.one_of(
    names.map(lambda name: (name[0], VALUES[name[1]])),
    st.integers(0, 12).map(lambda n: (str(n), np.float64(n))),
)


@st.composite
def sums(draw, inner):
    """Terms with their signs, each a product, with the value that a reader would give it."""
    text, total = draw(products(inner))
    if draw(st.booleans()):
        text, total = f"-{text}", -total
    for sign in draw(st.lists(st.sampled_from("+-"), max_size=2)):
        term, value = draw(products(inner))
        text, total = f"{text} {sign} {term}", total + value if sign == "+" else total - value
    return text, total


@st.composite
def products(draw, inner):
    text, value = draw(factors(inner))
    for sign in draw(st.lists(st.sampled_from([r"\,", "/"]), max_size=2)):
        factor, by = draw(factors(inner))
        text, value = f"{text} {sign} {factor}", value / by if sign == "/" else value * by
    return text, value


UNARY = {
    "({})": lambda x: x,
    r"\sqrt{{{}}}": np.sqrt,
    r"\operatorname{{sign}} ({})": np.sign,
    r"\cos({})": np.cos,
    "({})^2": lambda x: x ** np.float64(2),
}
BINARY = {
    r"\tfrac{{{}}}{{{}}}": np.divide,
    "({})^{{{}}}": np.power,
    **{f"[{{}} {sign} {{}}]": lambda x, y, holds=holds: np.float64(holds(x, y)) for sign, holds in COMPARED.items()},
    r"[\lnot {} > {}]": lambda x, y: np.float64(not x > y),
}


@st.composite
def factors(draw, inner):
    written = draw(st.sampled_from([*UNARY, *BINARY]))
    parts = [draw(inner) for _ in range(1 + (written in BINARY))]
    return written.format(*(a for a, _ in parts)), (UNARY | BINARY)[written](*(x for _, x in parts))


@given(st.data())
def test_a_formula_means_what_its_author_wrote(data):
    with np.errstate(all="ignore"):
        text, value = data.draw(st.recursive(leaves, sums, max_leaves=12))
        np.testing.assert_array_equal(Formula(rf"\partial L/\partial a = {text}", VALUES).gradient("a"), value)


@pytest.mark.parametrize(
    "text", ["(x", "x + ", "x)", r"\operatorname{conv2d}(x, y)", r"\sigma(x, y)", "z", r"x \quad y", "x ^"]
)
def test_what_is_no_arithmetic_is_refused(text):
    with pytest.raises(Unreadable):
        Formula(rf"\partial L/\partial a = {text}", VALUES).gradient("a")
