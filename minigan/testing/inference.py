"""Checks that shapes follow from shapes, and dtypes from dtypes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from minigan.backends import HostArray
from minigan.testing.calls import Result, evaluate, forward, host, leaves, run, variables_of
from minigan.testing.cases import Case, batch_of, laid_out, largest, spoken
from minigan.testing.failures import CheckFailed, DTypeWrong, ShapeWrong
from minigan.testing.layouts import LAYOUTS
from minigan.testing.seal import cast, module_of, state_of, untouched

Shapes = list[Any]  # one an output, None where it is not known


def check_shape_inference(
    f: Any, *xs: Any, output: tuple[int, ...] | Sequence[tuple[int, ...]] | None = None, rng: int = 0
) -> None:
    """Check that the outputs' shapes follow from the inputs' shapes alone, and that each gradient has its input's shape.

    Other values, another memory layout and another call change no shape. An empty batch, where the first axis is 0, gives
    an empty batch with gradients of zero, or a `ValueError` such as `ShapeError`. Every input as long as the first one is
    in the batch; that the output is, too, is seen from a batch of twice the length.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors.
        output: the output's shape, or one an output.
        rng: seed.

    Raises:
        ShapeWrong: a shape is another, or an empty batch fails in another way.
        BadSubject: `f` raises, or gives NaN.

    >>> from minigan.testing import check_shape_inference
    >>> check_shape_inference(mg.nn.Dense(3, 2), np.ones((4, 3), "float32"), output=(4, 2))
    """
    with Case(ShapeWrong, f, host(xs), rng, {"output": output}) as case:
        _hold_inference(case, output)


def _hold_inference(case: Case, output: Any) -> None:
    f, rng, plain = case.f, case.seed, case.plain()
    shapes: Shapes = [y.shape for y in plain.outputs]
    if output is not None:
        several = any(isinstance(s, (tuple, list)) for s in output)
        given: Sequence[Any] = output if several else [output]
        stated = [tuple(s) for s in given]
        _hold_shapes(case, "the output has another shape than stated", shapes, stated, "got", "stated")
    for name, v in variables_of(f, leaves(case.xs)).items():
        if plain.gradients[name].shape != v.shape:
            case.fail(f"the gradient of {name} has shape {plain.gradients[name].shape}, {name} has {v.shape}")

    for what, changed in _other_values(case.xs, np.random.default_rng(rng)):
        with case.judging(f"fails for {what}"):
            try:
                found = _shapes(f, changed, rng)
            except ValueError:
                continue  # these values it refuses
        headline = f"the output's shape depends on values: for {what} it is another"
        _hold_shapes(case, headline, found, shapes, what, "before")
    for layout in LAYOUTS:
        with case.judging(f"fails for inputs in the layout {layout!r}"):
            found = _shapes(f, leaves([laid_out(layout, x, rng)[0] for x in case.xs]), rng)
        headline = f"the output's shape depends on memory: in the layout {layout!r} it is another"
        _hold_shapes(case, headline, found, shapes, layout, "before")
    with untouched(f, rng):
        for call in ("first", "second", "third"):
            with case.judging(f"the {call} call fails"):
                found = [y.shape for y in forward(f, leaves(case.xs))]
            _hold_shapes(case, "the output's shape changes from call to call", found, shapes, call, "before")
    _hold_empty_batch(case, shapes)


def _hold_shapes(case: Case, headline: str, found: Shapes, expected: Shapes, *labels: str) -> None:
    if found != expected:
        said = (", ".join(map(str, shapes)) for shapes in (found, expected))
        facts: dict[str, Any] = dict(zip(labels, said, strict=True))
        case.fail(headline, **facts)


def _shapes(f: Any, xs: Sequence[Any], seed: int) -> Shapes:
    with untouched(f, seed), _quiet():
        return [y.shape for y in forward(f, leaves(xs))]


@contextmanager
def _quiet() -> Iterator[None]:
    """Values that nobody gave may overflow, or lie outside of a function's domain."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _other_values(xs: list[HostArray], rng: np.random.Generator) -> Iterator[tuple[str, list[HostArray]]]:
    """Inputs of the same shapes; integers, which may be numbers of something, are among those given."""

    def floats(change: Callable[[HostArray], HostArray]) -> list[HostArray]:
        return [np.asarray(change(x)) if x.dtype.kind == "f" else x for x in xs]

    yield "values in another order", [rng.permutation(x.reshape(-1)).reshape(x.shape) for x in xs]
    yield "positive values", floats(np.abs)
    yield "negative values", floats(lambda x: -np.abs(x))
    yield "zeros", floats(np.zeros_like)
    yield "equal values", [np.full_like(x, x.flat[0]) if x.size else x for x in xs]


def _hold_empty_batch(case: Case, shapes: Shapes) -> None:
    f, count, batched = case.f, *batch_of(case.xs)
    try:
        twice: Shapes = _shapes(
            f, [np.concatenate((x, x)) if b else x for x, b in zip(case.xs, batched, strict=True)], case.seed
        )
    except Exception:  # the first axis is no batch
        twice = [None] * len(shapes)
    with untouched(f, case.seed), _quiet():
        try:
            result = evaluate(f, [x[:0] if b else x for x, b in zip(case.xs, batched, strict=True)], case.seed)
        except (ValueError, CheckFailed):
            return
        except Exception as error:
            case.fail(f"an empty batch ends in {spoken(error)}", error)
        spoiled = [k for k, a in state_of(f).items() if not np.all(np.isfinite(a))]
    for y, shape, doubled in zip(result.outputs, shapes, twice, strict=True):
        expected = y.shape
        if doubled == shape:
            expected = shape
        elif shape[:1] == (count,) and doubled == (2 * count, *shape[1:]):
            expected = (0, *shape[1:])
        if y.shape != expected:
            case.fail(f"an empty batch gives shape {y.shape}, where {expected} is expected")
    if spoiled:
        case.fail(f"an empty batch leaves {spoiled[0]} not finite")
    for name, g in result.gradients.items():
        if not any(y.size for y in result.outputs) and np.any(g != 0):
            case.fail(f"an empty batch gives a gradient of {name} that is not zero", gradient=g.reshape(-1)[:4])


def _always(margin: float, _: HostArray) -> float:
    return margin


def check_dtype(f: Any, *xs: Any, rng: int = 0) -> None:
    """Check that float32 gives float32 and float64 gives float64: outputs, gradients, and a layer's state.

    A layer is taken as it is for float32, with parameters and buffers cast for float64. The float32 result is the float64
    one within a thousand roundings of the largest element, and what the result moves by when inputs and parameters are
    rounded otherwise, of which a call may do some dozen in a row. Where random numbers are drawn in another number or order
    for another dtype, results cannot be compared: draw them in one dtype, as `minigan.ops.dropout` does.

    Args:
        f: a function of Tensors, an op, or a layer.
        xs: arrays or Tensors; those of floats are cast, integers stay.
        rng: seed.

    Raises:
        DTypeWrong: a dtype is another, or the float32 result is not the float64 one.
        BadSubject: `f` raises, or gives NaN.

    >>> from minigan.testing import check_dtype
    >>> check_dtype(mg.nn.Dense(3, 2), np.ones((4, 3)))
    """
    given = host(xs)
    with Case(DTypeWrong, f, _as_dtype(given, "float32"), rng, given=given) as single:
        coarse = _in_one_dtype(single, "float32")
        double = replace(single, xs=_as_dtype(single.xs, "float64"))
        cast(f, "float64")
        fine = _in_one_dtype(double, "float64")
        moved = [_rounded_otherwise(double, (rng, i), sign) for i in range(2) for sign in (1, -1)]
    eps = float(np.finfo(np.float32).eps)
    for where, e in fine.values.items():
        a = coarse.values[where]
        if e.dtype.kind == "f" and a.dtype.kind == "f":
            margin = 1024 * eps * max(1.0, largest(e)) + 64 * max(largest(m.values[where] - e) for m in moved)
            headline, labels = "the float32 result is not the float64 one", ("float32", "float64")
            single.hold_array(where, a.astype("float64"), e, headline, labels, partial(_always, margin))
        elif a.dtype != e.dtype:
            single.fail(f"{where} is of {a.dtype} for float32 and of {e.dtype} for float64")


def _as_dtype(xs: list[HostArray], dtype: str) -> list[HostArray]:
    return [x.astype(dtype) if x.dtype.kind == "f" else x for x in xs]


def _in_one_dtype(case: Case, dtype: str) -> Result:
    """The result, all of whose floats are of this dtype."""
    result = case.plain()
    others = [f"{name} {t.dtype}" for name, t in _floats(case.f) if t.dtype != dtype]
    told: dict[str, Any] = {"state": ", ".join(others)} if others else {}
    for where, a in result.values.items():
        if a.dtype.kind == "f" and a.dtype != dtype:
            case.fail(f"{dtype} in, {a.dtype} out", where=where, **told)
    with untouched(case.f, case.seed):
        before = {name: t.dtype for name, t in _floats(case.f)}
        forward(case.f, leaves(case.xs))
        for name, t in _floats(case.f):
            if t.dtype != before.get(name, t.dtype):
                case.fail(f"a call with {dtype} turns {name} from {before[name]} into {t.dtype}")
    return result


def _floats(f: Any) -> list[tuple[str, Any]]:
    module = module_of(f)
    return [] if module is None else [(n, t) for n, t in module.named_state() if t.dtype.kind == "f"]


def _rounded_otherwise(case: Case, seed: tuple[int, int], sign: int) -> Result:
    """The float64 result for values moved by up to a float32's precision.

    Zeros in the state move too, as a bias of 0 does not round, but what it is added to does. Values move both ways, one
    after the other, so that a kink where they are shows.
    """
    rng, eps = np.random.default_rng(seed), sign * float(np.finfo(np.float32).eps)
    with untouched(case.f):
        for _, t in _floats(case.f):
            a = t.numpy()
            t.assign_(a + eps * rng.uniform(-1, 1, a.shape) * np.where(a == 0, 1.0, a))
        xs = [np.asarray(x * (1 + eps * rng.uniform(-1, 1, x.shape))) if x.dtype.kind == "f" else x for x in case.xs]
        return run(case.f, xs, case.seed)
