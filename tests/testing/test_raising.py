"""What raises inside a check where the plain call does not is that check's failure; what raises anyway is the subject's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import nn
from minigan.errors import DTypeError, RuleError, ShapeError
from minigan.testing import CHECKS, BadSubject, CheckFailed, LawBroken, Subject, check_fan_out, check_fewer_gradients
from minigan.testing.laws import LAWS

X, Y = (np.random.default_rng(i).uniform(0.5, 2.0, (2, 3)).astype("float32") for i in range(2))
KINDS = (RuleError, ShapeError, DTypeError, ZeroDivisionError, KeyError)


def raising(kind: type[Exception]) -> Any:
    raise kind("planted")


def op(rule: Any, kernel: Any = lambda xp, x: 2 * x) -> Any:
    made = mg.op(kernel)
    made.gradient("x", formula="2")(rule)
    return made


def traced_only(kind: type[Exception]) -> Any:
    return op(lambda F, dy: raising(kind) if isinstance(dy, mg.Tensor) else 2 * dy)


def wrong_shape_traced(kind: type[Exception]) -> Any:
    return op(lambda F, dy: F.sum(dy) if isinstance(dy, mg.Tensor) else 2 * dy)


def wrong_shape(kind: type[Exception]) -> Any:
    return op(lambda F, dy: F.sum(dy))


def every_rule(kind: type[Exception]) -> Any:
    return op(lambda F, dy: raising(kind))


def second_order(kind: type[Exception]) -> Any:
    inner = op(lambda F, dy: raising(kind), lambda xp, x: xp.cos(x))
    return op(lambda F, dy, x: dy * inner(x) if isinstance(dy, mg.Tensor) else dy * F.cos(x), lambda xp, x: xp.sin(x))


def wider(kind: type[Exception]) -> Any:
    return op(lambda F, dy: raising(kind) if dy.dtype == "float64" else 2 * dy)


def wider_kernel(kind: type[Exception]) -> Any:
    return op(lambda F, dy: 2 * dy, lambda xp, x: raising(kind) if x.dtype == "float64" else 2 * x)


def fewer_kernel(kind: type[Exception]) -> Any:
    return lambda x, y: x * y if x.requires_grad and y.requires_grad else raising(kind)


def fewer_rule(kind: type[Exception]) -> Any:
    wrong = every_rule(kind)
    return lambda x, y: (
        x * y if x.requires_grad and y.requires_grad else wrong(x) * y if x.requires_grad else x * wrong(y)
    )


def same_tensor(kind: type[Exception]) -> Any:
    return lambda x, y: raising(kind) if x is y else x * y


def every_third_call(kind: type[Exception]) -> Any:
    count = iter(range(10**6))
    return lambda x: raising(kind) if next(count) % 3 == 2 else 2 * x


# How a subject raises, and checks that must see it; others may.
SUBJECTS: dict[Any, set[str]] = {
    traced_only: {"check_no_mutation", "check_layouts", "check_second_order", "check_rules_agree", "check_fan_out"}
    | {"check_no_graph_left", "check_changes_noticed"},
    wrong_shape_traced: {"check_no_mutation", "check_second_order", "check_rules_agree", "check_fan_out"},
    wrong_shape: set(CHECKS) - {"check_train_eval", "check_state_dict"},
    every_rule: set(CHECKS) - {"check_train_eval", "check_state_dict"},
    second_order: {"check_second_order"},
    wider: {"check_dtype", "check_grads", "check_changes_noticed", *(law.__name__ for law in LAWS)},
    wider_kernel: {"check_dtype", "check_grads", "check_changes_noticed", *(law.__name__ for law in LAWS)},
    fewer_kernel: {"check_fewer_gradients"},
    fewer_rule: {"check_fewer_gradients"},
    same_tensor: {"check_fan_out"},
}


def failed(check: str, subject: Subject) -> CheckFailed | None:
    try:
        CHECKS[check](subject)
    except CheckFailed as failure:
        return failure
    return None


@pytest.mark.parametrize("make", SUBJECTS)
@pytest.mark.parametrize("check", [name for name in CHECKS if name not in ("check_train_eval", "check_state_dict")])
@given(kind=st.sampled_from(KINDS), rng=st.integers(0, 9))
def test_it_is_the_checks_own_failure_with_all_that_a_failure_shows(check, make, kind, rng):
    if make is same_tensor and issubclass(kind, (ValueError, ArithmeticError)):
        return  # one tensor for both may be outside of the function's domain
    xs = (X, Y) if make in (fewer_kernel, fewer_rule, same_tensor) else (X,)
    failure = failed(check, Subject(make(kind), xs, rng))
    if failure is None:
        assert check not in SUBJECTS[make]
        return
    assert not isinstance(failure, BadSubject)
    shown = failure.headline + str(failure.__cause__)
    assert "planted" in shown or "it returned shape ()" in shown
    assert " (2, 3) float" in failure.facts["inputs"]
    assert str(rng) in str(failure.facts["seed"])
    assert f"{check.replace('second_order', 'grads')}(" in failure.repro


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", LAWS)
def test_what_the_plain_call_raises_too_is_the_subjects_own(check, kind):
    with pytest.raises(kind, match="planted"):
        check(lambda x: raising(kind), X)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_raises_later_is_a_failure_of_the_check_that_makes_it(kind):
    with pytest.raises(LawBroken, match=r"fan-out adds up: .*planted"):
        check_fan_out(every_third_call(kind), X)


class Picky(nn.Dense):
    """Cannot be called without a gradient."""

    def forward(self, x: Any) -> Any:
        self.calls = mg.tensor(0.0)
        self.weight.assign_(self.weight.numpy() + 1)
        return super().forward(x) if x.requires_grad else raising(ZeroDivisionError)


def test_a_layer_is_afterwards_as_it_was_and_its_program_starts_from_there():
    layer = Picky(3, 2, rng=0)
    before, attributes = layer.state_dict(), set(vars(layer))
    with pytest.raises(LawBroken, match="fewer gradients change none: ZeroDivisionError: planted") as caught:
        check_fewer_gradients(layer, X)
    assert set(vars(layer)) == attributes
    assert all(a.dtype == layer.state_dict()[k].dtype and (a == layer.state_dict()[k]).all() for k, a in before.items())
    assert repr(before["weight"].tolist()) in caught.value.repro
