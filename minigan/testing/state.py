"""Checks of what a layer keeps: its modes, its state dict, and the backend that it is on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.backends import HostArray, get
from minigan.backends import backend as on_backend
from minigan.errors import BackendError
from minigan.nn.module import Module
from minigan.testing.behaviour import hold_batch
from minigan.testing.calls import Result, evaluate, host, name_of, run
from minigan.testing.cases import Case, exactly, spoken
from minigan.testing.failures import BackendsDiffer, BadSubject, ModesMixed, StateLost
from minigan.testing.seal import (
    generators_of,
    held,
    module_of,
    positions,
    reseed,
    same_bits,
    state_of,
    untouched,
)

Factory = Callable[[], Module]


def made_by(factory: Any, seed: int) -> Module:
    """The layer that a factory makes when minigan's generator starts from a seed.

    Raises:
        BadSubject: it raises, or makes something else.
    """
    with untouched(None, seed):
        try:
            layer = factory()
        except Exception as error:
            raise BadSubject(f"the factory {name_of(factory)} raises {spoken(error)}") from error
    if not isinstance(layer, Module):
        raise BadSubject(f"the factory {name_of(factory)} returned {type(layer).__name__}; a Module is expected")
    return layer


# -- modes -------------------------------------------------------------------------------------------------------------


def check_train_eval(factory_or_layer: Module | Factory, *xs: Any, rng: int = 0) -> None:
    """Check that training and evaluation are kept apart.

    Both modes reach every submodule. Evaluation changes no parameter and no buffer, draws no random number, gives the same
    each time, and treats every sample by itself. After it, `train` brings back the old behaviour, bit by bit.

    Args:
        factory_or_layer: a layer, or what makes one when called without arguments.
        xs: arrays or Tensors.
        rng: seed.

    Raises:
        ModesMixed: the modes are mixed.
        BadSubject: no layer, or one that raises or gives NaN.

    >>> from minigan.testing import check_train_eval
    >>> check_train_eval(mg.nn.BatchNorm(3), np.ones((4, 3), "float32"))
    """
    given = factory_or_layer
    layer = given if isinstance(given, Module) else made_by(given, rng)
    with Case(ModesMixed, given, host(xs), rng, layer=layer) as case:
        for mode in (layer.eval, layer.train):
            before = state_of(layer)
            mode()
            for path, m in held(layer):
                if isinstance(m, Module) and m.training is not (mode == layer.train):
                    case.fail(f"{mode.__name__}() does not reach {path or 'the layer itself'}, a {type(m).__name__}")
            _hold_state(case, before, layer, f"{mode.__name__}() changes")
        case.start.restore()
        layer.train()
        case.plain()
        reseed(rng)
        trained = evaluate(layer, case.xs, rng)
        layer.eval()
        _hold_evaluation(case, layer)
        layer.train()
        case.start.rewind()
        reseed(rng)
        again = evaluate(layer, case.xs, rng)
        case.hold(again, trained, "train() after eval() gives another result", ("after", "before"), exactly)


def _hold_evaluation(case: Case, layer: Module) -> None:
    state, where = state_of(layer), positions(layer)
    with case.judging("fails in evaluation"):
        first = evaluate(layer, case.xs, case.seed)
    _hold_state(case, state, layer, "evaluation changes")
    if positions(layer) != where:
        case.fail("evaluation draws random numbers")
    second = evaluate(layer, case.xs, case.seed)
    case.hold(second, first, "two calls in evaluation differ", ("second", "first"), exactly)
    if case.xs and case.xs[0].ndim < 2 and case.xs[0].dtype.kind == "f":
        return  # one axis of floats may as well be one sample
    try:
        hold_batch(case)
    except ModesMixed as error:
        raise ModesMixed(f"in evaluation {error.headline}", error.repro, **error.facts) from None


def _hold_state(case: Case, before: dict[str, HostArray], layer: Module, headline: str) -> None:
    """Fail if parameters or buffers are not what they were."""
    now = state_of(layer)
    for key in {**before, **now}:
        if key not in now or key not in before:
            case.fail(f"{headline} the state: {key} is {'gone' if key in before else 'new'}")
        if not same_bits(before[key], now[key]):
            case.hold_array(key, now[key], before[key], f"{headline} {key}", ("after", "before"), exactly)


# -- state dicts -------------------------------------------------------------------------------------------------------


def check_state_dict(factory: Factory, *xs: Any, rng: int = 0) -> None:
    """Check that a layer's state dict is all of its state, and that layers share none.

    A second layer of the factory, made from another seed, computes the same bit by bit once it has loaded the first one's
    state dict, in evaluation and in training, also when that went through safetensors. State dicts hold copies on the host.
    One with a key too few or too many or a wrong shape is refused, and changes nothing. Two layers share no memory, and a
    new one does not depend on what became of older ones.

    Args:
        factory: makes a layer when called without arguments.
        xs: arrays or Tensors.
        rng: seed.

    Raises:
        StateLost: something is lost, shared, or not refused.
        BadSubject: no factory, or a layer that raises or gives NaN.

    >>> from minigan.testing import check_state_dict
    >>> check_state_dict(lambda: mg.nn.Dense(3, 2), np.ones((4, 3), "float32"))
    """
    if isinstance(factory, Module):
        raise BadSubject(f"check_state_dict takes a factory, such as lambda: {name_of(factory)}, and got a layer")
    first, second = made_by(factory, rng), made_by(factory, rng + 1)
    with Case(StateLost, factory, host(xs), rng, layer=first) as case:
        first.eval()
        case.plain()
        _hold_separate(case, first, second)
        _hold_complete(case, first.train())
        kept = _hold_copies(case, first)
        _hold_loaded(case, first, second, kept)
        _hold_refusals(case, second, kept)


def _train_once(case: Case, layer: Module) -> None:
    """A call that moves buffers."""
    replace(case, layer=layer.train()).plain()
    evaluate(layer, case.xs, case.seed)


def _scramble(layer: Module, seed: int) -> None:
    """Other values for all parameters: they start from the same in every layer, as zeros or ones do."""
    rng = np.random.default_rng(seed)
    for p in layer.parameters():
        p.assign_((p.numpy() * rng.uniform(0.5, 1.5, p.shape) + rng.uniform(0, 0.1, p.shape)).astype(str(p.dtype)))


def _hold_separate(case: Case, first: Module, second: Module) -> None:
    """Two layers share nothing that a call, or a change of parameters, can reach."""
    if first is second:
        case.fail("the factory returns one and the same layer twice")

    def result(layer: Module) -> Result:
        return run(layer.eval(), case.xs, case.seed)  # in evaluation, where a call should change nothing

    before, old = state_of(first), result(first)
    fresh, twin = (result(made_by(case.subject, case.seed)) for _ in range(2))
    _scramble(second, case.seed)
    _train_once(case, second)
    _hold_state(case, before, first, "two layers share state: a change of one changes the other's")
    headline = "two layers share state: a call of one changes what the other computes"
    case.hold(result(first), old, headline, ("after", "before"), exactly)
    if all(same_bits(a, b) for a, b in zip(fresh.outputs, twin.outputs, strict=True)):  # the seed decides
        third = result(made_by(case.subject, case.seed))
        headline = "two layers share state: a call of one changes what a new one computes"
        case.hold(third, fresh, headline, ("after", "before"), exactly)


def _hold_complete(case: Case, layer: Module) -> None:
    """Whatever is trained, or changes the result as a Tensor, has a key."""
    state = layer.state_dict()
    for key in state_of(layer):
        if key not in state:
            case.fail(f"{key} is missing from the state dict")
    named = {id(t) for _, t in layer.named_state()}
    for path, t in held(layer):
        if not isinstance(t, Tensor) or id(t) in named or not t.is_leaf or t.dtype.kind != "f":
            continue
        with untouched(layer), case.judging(f"fails with another {path}"):
            before = run(layer, case.xs, case.seed)
            t.assign_(t.numpy() * 1.5 + np.ones((), str(t.dtype)))
            after = run(layer, case.xs, case.seed)
        if any(not same_bits(a, b) for a, b in zip(after.outputs, before.outputs, strict=True)):
            mend = "make it a Parameter or Buffer that is an attribute of a module, or use ModuleList"
            case.fail(f"{path} changes the result and is missing from the state dict", mend=mend)


def _hold_copies(case: Case, layer: Module) -> dict[str, HostArray]:
    """The state, which neither follows the layer nor leads it."""
    state = layer.state_dict()
    for key, a in state.items():
        if not isinstance(a, np.ndarray):
            case.fail(f"the state dict's {key} is {type(a).__name__}, where a NumPy array is expected")
    kept = {key: a.copy() for key, a in state.items()}
    _scramble(layer, case.seed + 1)
    _train_once(case, layer)
    for key, a in kept.items():
        if not same_bits(state[key], a):
            case.fail(f"the state dict's {key} is the layer's own memory: it follows the layer")
    _load(case, layer, kept)
    for key, a in layer.state_dict().items():
        if a.flags.writeable:
            a[...] = 0
        if not same_bits(layer.state_dict()[key], kept[key]):
            case.fail(f"the state dict's {key} is the layer's own memory: writing to it changes the layer")
    return kept


def _load(case: Case, layer: Module, state: dict[str, HostArray]) -> None:
    with case.judging("load_state_dict() refuses a state dict of the same kind of layer"):
        layer.load_state_dict(state)
    now = layer.state_dict()
    for key, a in state.items():
        if key not in now or not same_bits(now[key], a):
            case.fail(f"{key} does not come back: after load_state_dict() it is not what the state dict holds")


def _hold_loaded(case: Case, first: Module, second: Module, kept: dict[str, HostArray]) -> None:
    """A second layer computes what the first one does."""
    from safetensors.numpy import load, save

    before = {id(t) for _, t in second.named_state()}
    given = {key: a.copy() for key, a in kept.items()}
    _load(case, second, given)
    for a in given.values():
        a[...] = 0
    for key, a in second.state_dict().items():
        if not same_bits(a, kept[key]):
            case.fail(
                f"after load_state_dict() {key} is the memory of the state dict: writing to that changes the layer"
            )
    if {id(t) for _, t in second.named_state()} != before:
        case.fail("load_state_dict() puts other objects in the place of parameters or buffers: an optimiser loses them")
    third = made_by(case.subject, case.seed + 2)
    with case.judging("the state dict does not go through safetensors"):
        stored = load(save(first.state_dict()))
    _load(case, third, stored)
    for training, (how, layer) in [
        (t, pair) for t in (False, True) for pair in {"loaded": second, "stored": third}.items()
    ]:
        for m in (first, layer):
            m.train(training)
        wanted, found = _twice(case, first), _twice(case, layer, positions(first))
        mode = "training" if training else "evaluation"
        headline = f"the state dict is not all of the state: a layer that loads it computes something else in {mode}"
        for result, expected in zip(found, wanted, strict=True):
            case.hold(result, expected, headline, (how, "original"), exactly)


def _twice(case: Case, layer: Module, where: Sequence[Any] = ()) -> list[Result]:
    """Two calls, of which the second shows what the first one changes; generators stand where they are told to."""
    with untouched(layer):
        for generator, state in zip(generators_of(layer), where, strict=False):
            generator.bit_generator.state = state
        return [evaluate(layer, case.xs, case.seed) for _ in range(2)]


def _hold_refusals(case: Case, layer: Module, kept: dict[str, HostArray]) -> None:
    """What is no state of this layer is refused as a whole."""
    other = {key: a + np.ones((), a.dtype) for key, a in kept.items()}
    wrong = {"a key that it does not have": {**other, "no such key": np.zeros(1)}}
    for key in [*other][:1] + [*other][1:][-1:]:
        wrong[f"no {key}"] = {k: a for k, a in other.items() if k != key}
        wrong[f"{key} of another shape"] = {**other, key: np.zeros((*other[key].shape, 2), other[key].dtype)}
    before = state_of(layer)
    for what, state in wrong.items():
        try:
            layer.load_state_dict(state)
        except Exception:
            _hold_state(case, before, layer, f"load_state_dict() refuses a state dict with {what}, and yet changes")
        else:
            case.fail(f"load_state_dict() takes a state dict with {what}")


# -- backends ----------------------------------------------------------------------------------------------------------


def check_backends(f: Any, *xs: Any, backends: Sequence[str] = ("numpy", "strict"), rng: int = 0) -> None:
    """Check that outputs and gradients are the same on every backend, within some thousand roundings.

    A layer is moved with `to`, its Parameters staying the same objects, and comes back with the same values.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors.
        backends: names; the first one's result is what others are held to.
        rng: seed.

    Raises:
        BackendsDiffer: results differ, or the call fails elsewhere.
        BadSubject: `f` raises or gives NaN on the first backend, or a backend cannot be used here.

    >>> from minigan.testing import check_backends
    >>> check_backends(mg.ops.tanh, np.ones((2, 3)))
    """
    given = {} if tuple(backends) == ("numpy", "strict") else {"backends": tuple(backends)}
    module = module_of(f)
    homes = {t.backend for _, t in module.named_state()} if module is not None else set()
    with Case(BackendsDiffer, f, host(xs), rng, given) as case:
        for name in backends:
            try:
                get(name)
            except BackendError as error:
                raise case.error(BadSubject, f"the backend {name!r} cannot be used here: {error}") from error
        expected: Result | None = None
        for name in backends:
            with on_backend(name):
                _move(case, module, name)
                if expected is None:
                    expected = case.plain()
                    continue
                with case.judging(f"fails on {name}"):
                    found = run(f, case.xs, rng)
            case.hold(found, expected, f"another result on {name}", (name, backends[0]))
        for home in homes:
            _move(case, module, home)


def _move(case: Case, module: Module | None, name: str) -> None:
    """Move a layer, all of it, with the same objects and values."""
    if module is None:
        return
    tensors, values = dict(module.named_state()), state_of(module)
    with case.judging(f"to({name!r}) fails"):
        module.to(name)
    for key, t in module.named_state():
        if t is not tensors.get(key):
            case.fail(f"to({name!r}) puts another object in the place of {key}: an optimiser loses it")
        if t.backend != name:
            case.fail(f"to({name!r}) leaves {key} on {t.backend}")
    _hold_state(case, values, module, f"to({name!r}) changes")
