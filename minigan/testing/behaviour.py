"""Checks of what a function, op or layer does with memory, batches and randomness."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from minigan import backends
from minigan.autodiff import Tensor
from minigan.nn.module import Parameter
from minigan.nn.norms import BatchNorm
from minigan.testing.calls import Result, arrivals, called, evaluate, forward, host, leaves, on_host, run
from minigan.testing.cases import Case, batch_of, exactly, laid_out, peak, placed
from minigan.testing.failures import BadSubject, InputMutated, LayoutMatters, NotDeterministic, SamplesCoupled
from minigan.testing.layouts import LAYOUTS
from minigan.testing.seal import module_of, positions, reseed, same_bits, untouched


def check_layouts(f: Any, *xs: Any, rng: int = 0) -> None:
    """Check that outputs and gradients are the same for every memory layout of each input and of what arrives.

    The layouts are those of `LAYOUTS`, in which what lies between strided elements is NaN. Sums may be added up in another
    order; they agree within some thousand roundings of the largest element.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors.
        rng: seed.

    Raises:
        LayoutMatters: a result is another, or the call fails.
        BadSubject: `f` raises for the plain layout, or gives NaN.

    >>> from minigan.testing import check_layouts
    >>> check_layouts(mg.ops.matmul, np.ones((2, 3)), np.ones((3, 4)))
    """
    with Case(LayoutMatters, f, host(xs), rng) as case:
        _hold_layouts(case, len(xs))


def _hold_layouts(case: Case, count: int) -> None:
    f, rng, plain = case.f, case.seed, case.plain()
    given = [*case.xs, *plain.arriving]
    names = [*case.names, *(["the gradient that arrives"] * len(plain.arriving))]
    for layout in LAYOUTS:
        for i, (name, x) in enumerate(zip(names, given, strict=True)):
            headline = f"another result where {name} is laid out {layout!r}"
            values = laid_out(layout, x, rng)[1]
            expected = plain
            if not same_bits(values, x):
                changed = [*given[:i], values, *given[i + 1 :]]
                expected = run(f, changed[:count], rng, changed[count:])
            for traced in (False, True):
                moved: list[Any] = [*given[:i], laid_out(layout, x, rng)[0], *given[i + 1 :]]
                with case.judging(f"fails where {name} is laid out {layout!r}"):
                    actual = run(f, moved[:count], rng, moved[count:], create_graph=traced)
                case.hold(actual, expected, headline, (layout, "C"))


def check_no_mutation(f: Any, *xs: Any, rng: int = 0) -> None:
    """Check that neither a call nor its gradients write to inputs, to what arrives, to parameters, or in evaluation to buffers.

    Byte for byte, and where inputs are strided also what lies between their elements. Gradients are computed plainly and
    with ``create_graph=True``; a layer is checked in its mode and in evaluation.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors.
        rng: seed of the gradients that arrive.

    Raises:
        InputMutated: something was written to.
        BadSubject: `f` raises, or gives NaN.

    >>> from minigan.testing import check_no_mutation
    >>> check_no_mutation(mg.ops.relu, np.ones((2, 3)))
    """
    module = module_of(f)
    modes = [True, False] if module is not None and module.training else [False]
    with Case(InputMutated, f, host(xs), rng) as case:
        case.plain()
        for training, layout in product(modes, ("C", "strided")):
            with untouched(f, rng):
                if module is not None and not training:
                    module.eval()
                _hold_memory(case, layout, buffers=not training)


def _hold_memory(case: Case, layout: str, buffers: bool) -> None:
    f, module = case.f, module_of(case.f)
    inputs = [laid_out(layout, x, case.seed)[0] for x in case.xs]
    watched: dict[str, Tensor] = dict(zip(case.names, inputs, strict=True))
    if module is not None:
        watched |= {n: t for n, t in module.named_state() if buffers or isinstance(t, Parameter)}
    mode: dict[str, Any] = {} if module is None else {"mode": "training" if module.training else "evaluation"}
    memory = {name: (_memory(t), np.array(t.numpy())) for name, t in watched.items()}

    def hold(who: str) -> None:
        for name, t in watched.items():
            was, values = memory[name]
            if _memory(t) == was:
                continue
            wrong = np.not_equal(values, t.numpy())
            if not wrong.any():
                case.fail(f"{who} writes to {name}", where="the memory between its elements", layout=layout, **mode)
            index = peak(wrong)
            before, after = values[index].item(), t.numpy()[index].item()
            case.fail(
                f"{who} writes to {name}", where=placed(name, index), before=before, after=after, layout=layout, **mode
            )

    run = called(f, inputs)
    hold("the call")
    arriving = [laid_out(layout, g, case.seed)[0].detach() for g in arrivals(run, case.seed)]
    labels = [f"the gradient that arrives at output {i}" for i in range(len(arriving))]
    watched |= dict(zip(labels, arriving, strict=True))
    memory |= {label: (_memory(t), np.array(t.numpy())) for label, t in zip(labels, arriving, strict=True)}
    for create_graph in (False, True):
        run.pull(arriving, create_graph)
        hold("the gradient" + " with create_graph=True" * create_graph)


def _memory(t: Tensor) -> bytes:
    """Every byte behind a Tensor."""
    raw: bytes = on_host(backends.storage(t.data)).tobytes()
    return raw


def check_batch_equivariance(f: Any, x: Any, *others: Any, coupled: bool = False, rng: int = 0) -> None:
    """Check that each sample of a batch is treated by itself, in outputs and gradients.

    The batch is the first axis, of `x` and of each other input that is as long. ``f(x)[i]`` is ``f(x[i:i+1])[0]``, and what
    is shared gets the sum of the samples' gradients. Where random numbers are drawn, other samples are changed instead, and
    sample i must stay as it was. With `coupled`, and for a layer in training that holds a `BatchNorm`, a permutation of the
    batch permutes the result; other layers are then in evaluation, so that no noise is drawn.

    Args:
        f: a function of Tensors, an op, or a layer.
        x: array or Tensor.
        others: arrays or Tensors.
        coupled: whether samples may depend on each other, but not on their place.
        rng: seed.

    Raises:
        SamplesCoupled: they depend on each other, or on their place.
        BadSubject: `f` raises, gives NaN, or has no batch of two.

    >>> from minigan.testing import check_batch_equivariance
    >>> check_batch_equivariance(mg.nn.Dense(3, 2), np.ones((4, 3), "float32"))
    """
    module = module_of(f)
    norms = [m for m in module.modules() if isinstance(m, BatchNorm) and m.training] if module is not None else []
    with Case(SamplesCoupled, f, host((x, *others)), rng, {"coupled": coupled or None}) as case:
        for m in module.modules() if module is not None and norms else ():
            m.training = m in norms
        if not hold_batch(case, permuted=bool(coupled or norms)):
            raise case.error(BadSubject, "there is no batch of at least two samples in and out")


def hold_batch(case: Case, permuted: bool = False) -> bool:
    """Hold the samples apart, or their places; whether there is a batch to do so."""
    count, batched = batch_of(case.xs)
    plain = case.plain()
    if count < 2 or any(y.shape[:1] != (count,) for y in plain.outputs):
        return False
    with untouched(case.f):
        before = positions(case.f)
        forward(case.f, leaves(case.xs))
        drawn = positions(case.f) != before
    own = {n for n, b in zip(case.names, batched, strict=True) if b and n in plain.gradients}
    if permuted and drawn:
        raise case.error(BadSubject, "random numbers are drawn for each place: a permutation cannot keep them")
    if permuted:
        _hold_permuted(case, plain, own)
    elif drawn:
        _hold_others_changed(case, own)
    else:
        _hold_alone(case, plain, own)
    return True


def _hold_permuted(case: Case, plain: Result, own: set[str]) -> None:
    """Hold the result of a permuted batch to the permuted result."""
    count, batched = batch_of(case.xs)
    order = np.roll(np.arange(count), 1)
    xs = [x[order] if b else x for x, b in zip(case.xs, batched, strict=True)]
    found = run(case.f, xs, case.seed, [g[order] for g in plain.arriving])
    gradients = {n: g[order] if n in own else g for n, g in plain.gradients.items()}
    expected = Result(tuple(y[order] for y in plain.outputs), gradients, ())
    case.hold(found, expected, "a sample's result depends on its place in the batch", ("permuted", "expected"))


def _hold_alone(case: Case, plain: Result, own: set[str]) -> None:
    """Hold each sample to what it gives as a batch of one."""
    count, batched = batch_of(case.xs)
    sums = {n: np.zeros_like(g) for n, g in plain.gradients.items() if n not in own}
    for i in range(count):
        row = slice(i, i + 1)
        with case.judging(f"fails for sample {i} alone"):
            xs = [x[row] if b else x for x, b in zip(case.xs, batched, strict=True)]
            alone = run(case.f, xs, case.seed, [g[row] for g in plain.arriving])
        _hold_row(case, alone, plain, own, slice(None), row, f"sample {i} depends on the others of its batch", "alone")
        sums = {n: total + alone.gradients[n] for n, total in sums.items()}
    for n, total in sums.items():
        headline = f"the gradient of {n} is not the sum of the samples'"
        case.hold_array(f"gradient of {n}", total, plain.gradients[n], headline, ("sum", "batch"))


def _hold_others_changed(case: Case, own: set[str]) -> None:
    """Hold each sample to what it gives among others; the same random numbers are drawn for a batch of the same shape."""
    count, batched = batch_of(case.xs)
    arriving = case.plain().arriving
    for i in range(count):
        row = slice(i, i + 1)
        only = [np.where(np.arange(count).reshape(-1, *[1] * (g.ndim - 1)) == i, g, g.dtype.type(0)) for g in arriving]
        order = [j if j == i else (j + 1) % count for j in range(count)]
        plain = run(case.f, case.xs, case.seed, only)
        xs = [x[order] if b else x for x, b in zip(case.xs, batched, strict=True)]
        found = run(case.f, xs, case.seed, only)
        headline = f"sample {i} depends on the others of its batch"
        _hold_row(case, found, plain, own, row, row, headline, "among others")
        for n in own:
            g = np.delete(plain.gradients[n], i, axis=0)
            case.hold_array(f"gradient of {n}", g, np.zeros_like(g), headline, ("others' samples", "expected"))


def _hold_row(
    case: Case, found: Result, plain: Result, own: set[str], at: slice, row: slice, headline: str, label: str
) -> None:
    mine = {f"gradient of {n}" for n in own}
    for where, e in plain.values.items():
        if where in mine or where.startswith("output"):
            case.hold_array(where, found.values[where][at], e[row], headline, (label, "in its batch"))


def check_deterministic(f: Any, *xs: Any, rng: int = 0) -> None:
    """Check that calls that start from the same seed and state give outputs and gradients that are equal bit by bit.

    Between the calls minigan's generator starts anew, and parameters, buffers and the layers' own generators are put back,
    but nothing else that a layer may keep. In evaluation, a layer that draws nothing gives the same without all that.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors.
        rng: seed.

    Raises:
        NotDeterministic: two calls differ.
        BadSubject: `f` raises, or gives NaN.

    >>> from minigan.testing import check_deterministic
    >>> check_deterministic(mg.nn.Dropout(0.5), np.ones((4, 3)))
    """
    module = module_of(f)
    with Case(NotDeterministic, f, host(xs), rng) as case:
        case.plain()
        reseed(rng)
        start = positions(f)
        first = evaluate(f, case.xs, rng)
        drawn = positions(f) != start
        for call in ("second", "third"):
            case.start.rewind()
            reseed(rng)
            with case.judging(f"the {call} call fails"):
                again = evaluate(f, case.xs, rng)
            case.hold(again, first, "two calls with the same seed differ", (call, "first"), exactly)
        if module is not None and not module.training and not drawn:
            again = evaluate(f, case.xs, rng)
            case.hold(again, first, "two calls in evaluation differ", ("fourth", "first"), exactly)
