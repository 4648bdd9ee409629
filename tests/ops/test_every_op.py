"""What holds for every op with gradient rules, over the calls that `cases` draws."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from support import (
    arriving_at,
    arriving_laid_out,
    assert_close,
    assert_within,
    check_derivative,
    fingerprint,
    gamma,
    in_c_order,
    laid_out,
    largest,
    rngs,
    run,
)

from minigan import backends
from minigan.autodiff.registry import OPS

from .cases import CASES, MULTILINEAR, longest, terms

DIFFERENTIABLE = sorted(name for name, op in OPS.items() if op.rules)
THIRD_ORDER = [
    "conv2d",
    "conv_transpose2d",
    "conv2d_weight_grad",
    "batch_norm_train",
    "batch_norm_eval",
    "standardize",
    "tanh",
]

every_op = pytest.mark.parametrize("name", sorted(CASES))
data = st.data()


def has(call, x):
    return any(name.partition("[")[0] == x for name in call.variables)


def test_every_rule_has_a_case():
    assert sorted(CASES) == DIFFERENTIABLE, "each op with rules needs its line in cases.CASES, so that it is tested"
    quietly = settings(database=None, max_examples=500, phases=[Phase.generate])
    for name, x in ((n, x) for n in DIFFERENTIABLE for rule in OPS[n].rules for x in rule.inputs):
        try:
            find(CASES[name], lambda call, x=x: has(call, x), settings=quietly, random=random.Random(0))
        except NoSuchExample:
            pytest.fail(f"no call of {name} in cases.CASES gives {x!r} as an array of floats: its rule is not tested")


def test_what_has_no_rule_is_meant_to():
    comparisons = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}
    assert {name for name, op in OPS.items() if not op.rules} == {"sign", "pool_argmax", *comparisons}
    served = {(name, x) for name in DIFFERENTIABLE for rule in OPS[name].rules for x in rule.inputs}
    assert {(n, x) for n in DIFFERENTIABLE for x in OPS[n].inputs} - served == {
        ("where", "condition"),
        ("pool_gather", "index"),
        ("pool_scatter", "index"),
    }


# central differences err by 2e-11 times third derivatives of up to 1e3 in these ranges; the bar stands well above
@every_op
@given(data, rngs)
def test_gradient(name, data, rng):
    check_derivative(data.draw(CASES[name]), order=1, bound=1e-6, rng=rng)


# as above, and one more derivative of the analytic gradient brings a factor of about 10
@every_op
@given(data, rngs)
def test_gradient_of_gradient(name, data, rng):
    check_derivative(data.draw(CASES[name]), order=2, bound=1e-5, rng=rng)


# as above, and one more
@pytest.mark.parametrize("name", THIRD_ORDER)
@given(data, rngs)
def test_third_derivative(name, data, rng):
    check_derivative(data.draw(CASES[name]), order=3, bound=1e-4, rng=rng)


@every_op
@given(data, rngs)
def test_recorded_gradient_is_the_same(name, data, rng):
    """The rule on Tensors computes what the rule (or its fast form) on arrays does."""
    call = data.draw(CASES[name])
    arriving = arriving_at(call, rng)
    for traced, raw in zip(run(call, arriving, create_graph=True)[1], run(call, arriving)[1], strict=True):
        assert_close(traced, raw, 1e-12)  # sums of at most some hundred terms, in another order: 1e2 * 2e-16 * slack


@pytest.mark.parametrize("name", sorted(MULTILINEAR))
@given(data, rngs)
def test_rule_of_a_linear_op_is_its_transpose(name, data, rng):
    """<A x, y> = <x, A^T y> for each input x, the others held: A x is what the output loses with x at 0."""
    call = data.draw(CASES[name])
    (dy,) = arriving_at(call, rng)
    (y,), grads = run(call, [dy])
    (total,), _ = run(terms(call), [dy])
    size = np.sum(total * np.abs(dy))  # of |terms|: what rounding errors are relative to when terms cancel
    for (x, a), dx in zip(call.variables.items(), grads, strict=True):
        (rest,), _ = run(replace(call, inputs=call.inputs | {x: np.zeros_like(a)}), [dy])
        # three sums of at most some hundred terms: 3e2 * 1e-16, with room for a longer one
        assert abs(np.sum((y - rest) * dy) - np.sum(a * dx)) <= 1e-12 * size


@every_op
@given(data, rngs, st.sampled_from(["float32", "float64"]))
def test_memory_layout_does_not_matter(name, data, rng, dtype):
    """For inputs and for gradients that arrive; nothing is written to, and the dtype stays."""
    call = data.draw(CASES[name]).map(lambda a: a.astype(dtype))
    to_device = backends.current().from_host
    laid = call.map(lambda a: laid_out(data.draw, to_device(a), rng))
    arriving = [arriving_laid_out(data.draw, to_device(g), rng) for g in arriving_at(laid, rng)]
    plain = laid.map(in_c_order)

    held = [*laid.variables.values(), *arriving]
    before = fingerprint(held)
    outputs, grads = run(laid, arriving)
    assert fingerprint(held) == before

    expected, expected_grads = run(plain, list(map(in_c_order, arriving)))
    # another layout may sum in another order: n roundings, and conditions in these ranges of values stay below 8
    bound = 8 * gamma(longest(plain, expected) + 2, dtype)
    for actual, reference in zip(outputs + grads, expected + expected_grads, strict=True):
        assert_close(actual, reference, bound)
        assert actual.dtype == reference.dtype
    assert [g.dtype for g in grads] == [np.dtype(dtype)] * len(grads)
    assert [y.dtype for y in outputs] == [np.dtype(call.attributes.get("dtype", dtype))] * len(outputs)


def all_of(results):
    outputs, grads = results
    return outputs + grads


@every_op
@given(data, rngs)
def test_float32_is_float64_rounded(name, data, rng):
    """The same inputs in both; what differs is bounded by what rounding can do in sums of that length."""
    single = data.draw(CASES[name]).map(lambda a: a.astype(np.float32))
    arriving = arriving_at(single, rng)
    double, wide = single.map(lambda a: a.astype(np.float64)), [g.astype(np.float64) for g in arriving]
    expected, actual = all_of(run(double, wide)), all_of(run(single, arriving))
    # n products and sums, and at most 16 roundings before and after (powers, the bias, the mean's division)
    relative = gamma(longest(single, actual) + 16, np.float32)
    if name in MULTILINEAR:  # relative to the sum of |terms|
        margins = [relative * total for total in all_of(run(terms(double), [np.abs(g) for g in wide]))]
    else:  # conditions in these ranges of values stay below 8
        margins = [8 * relative * max(1.0, largest(reference)) for reference in expected]
    for a, reference, margin in zip(actual, expected, margins, strict=True):
        assert_within(a, reference, margin)
    assert {a.dtype for a in actual} <= {np.dtype(single.attributes.get("dtype", np.float32)), np.dtype(np.float32)}
