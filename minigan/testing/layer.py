"""Every check on one layer, in one line; and as one test a check."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.autodiff import Op
from minigan.autodiff.graph import reachable
from minigan.backends import HostArray
from minigan.nn.module import Buffer, Module
from minigan.testing import behaviour, changes, gradients, inference, laws, state
from minigan.testing.calls import Run, forward, leaves, name_of, on_host
from minigan.testing.cases import peak, placed, spoken
from minigan.testing.failures import BadSubject, CheckFailed, UnexpectedPass, program
from minigan.testing.layer_inputs import at_points, explore, is_strategy
from minigan.testing.seal import module_of, parameters_of, state_of, untouched

FACTS = {True: "training", False: "evaluation"}


@dataclass(frozen=True)
class Subject:
    """What one check looks at.

    Attributes:
        f: the layer, or the function that was given.
        xs: the inputs on the host.
        rng: seed.
        factory: what made the layer; None for a function.
        training: the layer's mode; None for a function.
    """

    f: Any
    xs: Sequence[HostArray]
    rng: int
    factory: Callable[[], Module] | None = None
    training: bool | None = None

    @property
    def batched(self) -> bool:
        """Whether there are at least two samples, in and out."""
        x = self.xs[0] if self.xs else np.zeros(())
        count = len(x) if x.ndim > (x.dtype.kind == "f") else 0  # one axis of floats may as well be features
        with untouched(self.f, self.rng):
            return count > 1 and all(y.shape[:1] == (count,) for y in forward(self.f, leaves(self.xs)))

    @property
    def differentiable(self) -> bool:
        """Whether there is a variable, and an output that may depend on it."""
        floats = any(x.dtype.kind == "f" for x in self.xs) or bool(parameters_of(self.f))
        with untouched(self.f, self.rng):
            return floats and any(y.dtype.kind == "f" for y in forward(self.f, leaves(self.xs)))

    @property
    def follows_itself(self) -> bool:
        """Whether gradients go through buffers that the same call writes to.

        Such buffers are constants in the gradient, as u and v are in `SpectralNorm`, and none in differences.
        """
        module = module_of(self.f)
        state = [] if module is None else [t for _, t in module.named_state() if isinstance(t, Buffer)]
        with untouched(self.f, self.rng):
            counts = [t._version[0] for t in state]
            saved = Run({}, [], list(forward(self.f, leaves(self.xs)))).saved().values()
            written = [t for t, n in zip(state, counts, strict=True) if t.dtype.kind == "f" and t._version[0] != n]
            read = {on_host(a).tobytes() for _, a in saved}
            return any(t.numpy().tobytes() in read for t in written)


def _plainly(check: Callable[..., None], **options: Any) -> Callable[[Subject], None]:
    return lambda s: check(s.f, *s.xs, rng=s.rng, **options)


def _of_factory(check: Callable[..., None]) -> Callable[[Subject], None]:
    return lambda s: None if s.factory is None else check(s.factory, *s.xs, rng=s.rng)


def _of_gradients(**options: Any) -> Callable[[Subject], None]:
    check = _plainly(gradients.check_grads, **options)
    return lambda s: check(s) if s.differentiable and not s.follows_itself else None


def _of_batches(s: Subject) -> None:
    if s.batched:
        behaviour.check_batch_equivariance(s.f, *s.xs, rng=s.rng)


CHECKS: dict[str, Callable[[Subject], None]] = {
    "check_shape_inference": _plainly(inference.check_shape_inference),
    "check_dtype": _plainly(inference.check_dtype),
    "check_deterministic": _plainly(behaviour.check_deterministic),
    "check_no_mutation": _plainly(behaviour.check_no_mutation),
    "check_results_kept": _plainly(laws.check_results_kept),  # before differences, which an overwritten result spoils
    "check_grads": _of_gradients(),
    "check_second_order": _of_gradients(order=2),
    "check_layouts": _plainly(behaviour.check_layouts),
    "check_batch_equivariance": _of_batches,
    **{check.__name__: _plainly(check) for check in laws.LAWS},
    "check_changes_noticed": _plainly(changes.check_changes_noticed),
    "check_train_eval": _of_factory(state.check_train_eval),
    "check_state_dict": _of_factory(state.check_state_dict),
    "check_backends": _plainly(state.check_backends),
}
"""Every check by name, in the order in which they run; each takes a `Subject`."""

_OF_FACTORIES = ("check_train_eval", "check_state_dict")  # these look at both modes themselves


def check_layer(
    factory: Callable[..., Any],
    input: Any = (2, 3, 4, 4),
    skip: Sequence[str] = (),
    expected_failures: Mapping[str, str] | None = None,
    rng: int = 0,
) -> None:
    """Run every check of `CHECKS` on a layer, in training, and in evaluation where that is another computation.

    Where a call in training computes with buffers that it writes to, as `SpectralNorm`'s does, gradients are held to
    differences in evaluation only: they take such buffers for constants.

    Args:
        factory: makes a fresh layer when called without arguments. An op or a function of Tensors is taken itself.
        input: the shape of one array of floats, drawn at random, without ties and away from 0; or an array; or a tuple of
            shapes and arrays, one an input; or a hypothesis strategy of arrays or tuples of arrays, from which many
            inputs are drawn for each check, and the one that is reported is as small as can be.
        skip: names of checks that are not run.
        expected_failures: the reason for each check that must fail, by name.
        rng: seed of the inputs, of the layer, and of the checks.

    Raises:
        CheckFailed: the first failure, with the layer's mode and a program that fails in the same way.
        UnexpectedPass: a check passed that was expected to fail.
        BadSubject: there is no such check, `input` is none of these, the factory raises or makes no layer, or the layer
            raises, gives NaN, or changes the shape of its output between calls.

    >>> mg.testing.check_layer(lambda: mg.nn.Dense(3, 2), input=(4, 3))
    """
    for name in _names(skip, expected_failures or {}):
        _check(name, factory, input, (expected_failures or {}).get(name), rng)


def layer_checks(
    factory: Callable[..., Any],
    input: Any = (2, 3, 4, 4),
    skip: Sequence[str] = (),
    expected_failures: Mapping[str, str] | None = None,
    rng: int = 0,
) -> Any:
    """Make a pytest test of each check of `check_layer`, named after it. Expected failures are shown as such, strictly.

    The test has one argument, ``check``, and calls it.

    Args:
        factory: as for `check_layer`, like all others.
        input: shapes, arrays, or a strategy.
        skip: names of checks that are not run.
        expected_failures: the reason for each check that must fail, by name.
        rng: seed.

    Raises:
        BadSubject: there is no such check.

    >>> @mg.testing.layer_checks(lambda: mg.nn.Dense(3, 2), input=(4, 3))
    ... def test_dense(check):
    ...     check()
    """
    import pytest

    reasons = expected_failures or {}
    tests = []
    for name in _names(skip, reasons):
        marks = [pytest.mark.xfail(reason=reasons[name], strict=True, raises=_Expected)] if name in reasons else []
        run = _expected if name in reasons else _check
        tests.append(pytest.param(functools.partial(run, name, factory, input, None, rng), id=name, marks=marks))
    return pytest.mark.parametrize("check", tests)


class _Expected(Exception):
    """A failure that is no surprise."""


def _expected(*arguments: Any) -> None:
    try:
        _check(*arguments)
    except BadSubject:
        raise
    except Exception as error:
        raise _Expected(str(error)) from error


def _names(skip: Sequence[str], reasons: Mapping[str, str]) -> list[str]:
    """The checks to run."""
    skip = (skip,) if isinstance(skip, str) else tuple(skip)
    unknown = [name for name in (*skip, *reasons) if name not in CHECKS]
    if unknown:
        raise BadSubject(f"there is no check {unknown[0]!r}; there are {', '.join(CHECKS)}")
    both = [name for name in reasons if name in skip]
    if both:
        raise BadSubject(f"{both[0]} is to be skipped and is expected to fail; it can't be both")
    return [name for name in CHECKS if name not in skip]


# -- one check ---------------------------------------------------------------------------------------------------------


def _check(name: str, factory: Any, input: Any, reason: str | None, rng: int) -> None:
    """Run one check; with a reason it has to fail."""
    made = _as_factory(factory)
    judge = functools.partial(_judge, name, factory if made is None else made, made is not None, rng)
    try:
        if is_strategy(input):
            explore(judge, input, rng)
        else:
            at_points(judge, input, rng)
    except BadSubject:
        raise
    except Exception:
        if reason is None:
            raise
    else:
        if reason is not None:
            raise UnexpectedPass(f"{name} is expected to fail because {reason}, but it passed")


def _judge(name: str, factory: Any, makes: bool, rng: int, xs: Sequence[HostArray]) -> None:
    """One check on one tuple of inputs, in each mode."""
    for training in _modes(factory, makes, rng, xs):
        f = _made(factory, rng, training) if makes else factory
        try:
            with untouched(None, rng):
                CHECKS[name](Subject(f, xs, rng, factory if makes else None, training))
        except CheckFailed as error:
            if not makes or isinstance(error, BadSubject):
                raise
            facts = error.facts if name in _OF_FACTORIES else {"mode": FACTS[bool(training)], **error.facts}
            repro = _repro(name, factory, xs, rng, training)
            raise type(error)(error.headline, repro, **facts).with_traceback(error.__traceback__) from error.__cause__
        if name in _OF_FACTORIES:
            return


def _modes(factory: Any, makes: bool, rng: int, xs: Sequence[HostArray]) -> list[bool | None]:
    """The modes to look at: training, and evaluation where it gives, changes or computes anything else.

    Raises:
        BadSubject: the subject can't be checked.
    """
    same = _made(factory, rng, True) if makes else factory
    with untouched(same):
        first, second = (_computed(same, xs, rng) for _ in range(2))
    calls = {"the first call": first, "the second call": second}
    if makes:
        calls["a call of another layer"] = _computed(_made(factory, rng + 1, True), xs, rng)
    if any(found[0] != first[0] for found in calls.values()):
        said = {call: ", ".join(map(str, found[0])) for call, found in calls.items()}
        facts: dict[str, Any] = {"subject": name_of(same), "inputs": _geometry(xs), "seed": rng}
        raise BadSubject("the output changes its shape between calls", **said, **facts)
    if not makes:
        return [None]
    return [True] if _computed(_made(factory, rng, False), xs, rng) == first else [True, False]


def _made(factory: Callable[[], Module], rng: int, training: bool | None) -> Module:
    return state.made_by(factory, rng).train(bool(training))


def _computed(f: Any, xs: Sequence[HostArray], rng: int) -> tuple[Any, ...]:
    """Shapes, values, ops with their routes, and state of a call, to be compared; what the call changes stays changed.

    Raises:
        BadSubject: it raises, or gives NaN.
    """
    with untouched(None, rng):
        try:
            outputs = forward(f, leaves(xs))
        except CheckFailed:
            raise
        except Exception as error:
            raise BadSubject(f"{name_of(f)} raises {spoken(error)}", inputs=_geometry(xs), seed=rng) from error
    values = [np.array(y.numpy()) for y in outputs]
    if all(np.all(np.isfinite(x)) for x in xs):
        for i, y in enumerate(values):
            if not np.all(np.isfinite(y)):
                index = peak(~np.isfinite(y))
                headline = f"{name_of(f)} gives {y[index]} for finite inputs"
                raise BadSubject(headline, where=placed(f"output {i}", index), inputs=_geometry(xs), seed=rng)
    nodes = reachable([y._edge for y in outputs])
    ops = [(node.plan.op.name, [type(route) is tuple for route in node.routes]) for node in nodes]
    kept = {key: a.tobytes() for key, a in state_of(f).items()}
    return [y.shape for y in values], [y.tobytes() for y in values], ops, kept


def _repro(name: str, factory: Any, xs: Sequence[HostArray], rng: int, training: bool | None) -> str:
    """A program that makes the layer, and runs the check that failed."""
    if name in _OF_FACTORIES:
        return program(name, factory, xs, rng=rng)
    check, order = ("check_grads", 2) if name == "check_second_order" else (name, None)
    return program(check, factory, xs, rng, f"(){'' if training else '.eval()'}", order=order, rng=rng)


def _geometry(xs: Sequence[HostArray]) -> str:
    return ", ".join(f"{x.shape} {x.dtype}" for x in xs) or "none"


# -- subjects ----------------------------------------------------------------------------------------------------------


def _as_factory(given: Any) -> Callable[[], Module] | None:
    """What was given, if it is to be called for a layer; None if it is a function of Tensors.

    Raises:
        BadSubject: a layer, or nothing that can be called.
    """
    if isinstance(given, Module):
        raise BadSubject(
            f"a factory makes a fresh layer at each call; give lambda: {name_of(given)} instead of the layer"
        )
    if not callable(given):
        raise BadSubject(f"a factory is called without arguments for a layer, got {type(given).__name__}")
    if isinstance(given, Op):
        return None
    if isinstance(given, type):
        return given
    try:
        parameters = inspect.signature(given).parameters.values()
    except (TypeError, ValueError):
        return given
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return None if any(p.default is p.empty for p in positional) else given
