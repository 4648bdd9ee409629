"""check_grads where differences say little: a kink is never a bug, nor is what cancels; bugs beside them are found."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import KINKED, gate, normal, off_by_a_little, stairs

import minigan as mg
from minigan.testing import check_grads
from minigan.testing.failures import GradientWrong, OnKink
from minigan.testing.layer_inputs import at_points

F = mg.ops
seeds = st.integers(0, 2**31)

distances = st.one_of(st.just(0.0), st.floats(1, 10).flatmap(lambda d: st.integers(-10, -1).map(lambda e: d * 10.0**e)))

AT_KINK: dict[str, Any] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "abs": F.abs,
    "clip": partial(F.clip, min=0.0),
    "max": lambda x: F.max(F.concatenate((x, mg.tensor(np.zeros(1))))),
    "min": lambda x: F.min(F.concatenate((x, mg.tensor(np.zeros(1))))),
    "maximum": lambda x: F.maximum(x, 0.0),
    "minimum": lambda x: F.minimum(2 * x, -x),
    "where": lambda x: F.where(x > 0, 3 * x, x * x),
    "l1_loss": lambda x: F.l1_loss(x, 0.0),
    "max_pool2d": lambda x: F.max_pool2d(F.stack((x, 0 * x), axis=1).reshape(1, 1, -1, 2), (1, 2)),
    "masked": lambda x: x * (x > 0),
    "a kernel's own kink": gate,
    "a kernel's own jumps": stairs,
    "within": lambda x: F.sin(F.relu(F.tanh(x)) * 3),
    "a kernel's own kink within": lambda x: F.sin(gate(F.tanh(x)) * 3),
}


@pytest.mark.parametrize("name", AT_KINK)
@pytest.mark.parametrize("order", [1, 2])
@given(seed=seeds, near=st.lists(st.tuples(distances, st.sampled_from([-1, 1])), min_size=1, max_size=4))
def test_a_kink_is_never_a_bug(name, order, seed, near):
    x = np.concatenate([normal(2, seed=seed % 1000), [d * sign for d, sign in near]])
    with suppress(OnKink):
        check_grads(AT_KINK[name], x, order=order, rng=seed)


@pytest.mark.parametrize("name", AT_KINK)
def test_inputs_on_a_kink_do_not_pass(name):
    at = (
        np.array([0.7, 0.0, -0.4]) if name not in ("max", "min") else {"max": -1, "min": 1}[name] * np.array([0.0, 1.0])
    )
    with pytest.raises(OnKink) as caught:
        check_grads(AT_KINK[name], at)
    assert caught.value.repro
    named = {"where": "where", "max_pool2d": "pool_gather", "masked": "mul"} | {k: k for k in KINKED}
    if name in named:
        assert f"a kink of {named[name]};" in caught.value.headline


@pytest.mark.parametrize("name", AT_KINK)
def test_inputs_away_from_a_kink_are_checked(name):
    """To 1e-7 from it, where a tenth of a millionth of the inputs' size is left for the differences."""
    for d in (1e-1, 1e-4, 1e-7):
        check_grads(AT_KINK[name], np.array([0.7, d, -0.4, -d]))


def test_bugs_are_found_close_to_a_kink():
    for d in (1e-3, 1e-5, 1e-7):
        with pytest.raises(GradientWrong):
            check_grads(lambda x: off_by_a_little(F.relu(x)), np.array([0.7, d, -0.4, -d]))


def test_a_variable_that_is_proved_by_none_of_the_directions_does_not_pass():
    with pytest.raises(OnKink, match="about a: "):
        check_grads(lambda a, b: F.relu(a) + b, np.array([0.0, 1.0]), normal(2))


# -- what cancels ------------------------------------------------------------------------------------------------------

CANCELS: dict[str, Any] = {
    "to 0 exactly": lambda x: x - x,
    "times 0": lambda x: (x * 0).sum(),
    "but for rounding": lambda x: x * 3 - x - x - x,
    "a function and its inverse": lambda x: F.log(F.exp(x)) - x,
    "a ratio": lambda x: x * x / x - x,
    "batch norm, summed": lambda x: F.batch_norm(x).sum(),
    "batch norm, summed over the batch": lambda x: F.batch_norm(x).sum(axis=0),
    "batch norm, averaged": lambda x: F.batch_norm(x).mean(),
    "less its mean": lambda x: (x - x.mean(axis=0)).sum(axis=0),
    "sine and cosine": lambda x: F.sin(x) ** 2 + F.cos(x) ** 2,
    "beside what does not": lambda x: (F.batch_norm(x).sum(), x * x),
}


@pytest.mark.parametrize("name", CANCELS)
@given(seed=seeds)
def test_a_derivative_that_cancels_to_nothing_passes(name, seed):
    """At one point in some, rounding happens not to show in the few calls that measure it; another is taken then."""
    at_points(lambda xs: check_grads(CANCELS[name], *xs, rng=seed), (6, 3), seed)


@pytest.mark.parametrize("name", CANCELS)
@given(seed=seeds, factor=st.sampled_from([1e-3, -1.0]))
def test_a_gradient_where_there_should_be_none_is_a_bug(name, seed, factor):
    """However little it is, beside a derivative of 0."""

    @mg.op
    def leaking(xp, x):
        return 0.0 * x

    leaking.gradient("x", formula="0")(lambda F, dy: factor * dy)
    f = CANCELS[name]
    with pytest.raises(GradientWrong):
        check_grads(lambda x: leaking(x) + (f(x)[1] if name.startswith("beside") else f(x)), normal(6, 3), rng=seed)


@given(seed=seeds, factor=st.sampled_from([1.01, 2.0, -1.0]), size=st.sampled_from([1e-7, 1e-9, 1e-11]))
def test_a_wrong_derivative_among_what_cancels_does_not_pass_for_nothing(seed, factor, size):
    """However small beside that it is, and though rounding may hide what it should be."""

    @mg.op
    def sine(xp, x):
        return xp.sin(x)

    sine.gradient("x", formula="cos(x) dy")(lambda F, dy, x: factor * dy * F.cos(x))
    with pytest.raises((GradientWrong, OnKink)):
        check_grads(lambda x: (1.0 + size * sine(x)) - 1.0, normal(6, seed=seed % 100), rng=seed)
