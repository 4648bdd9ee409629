"""What planted bugs are looked for on: layers and functions, each a strategy of cases, the simplest ones first.

    .venv/bin/python tests/mutants/subjects.py SUBJECT

Runs `check_layer` on cases of one subject and prints the smallest that fails, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import hypothesis
import numpy as np
from hypothesis import strategies as st

import minigan as mg
from minigan import nn
from minigan.testing import BadSubject, CheckFailed, check_layer, conv_geometry, shapes
from minigan.testing.layer import CHECKS

EXAMPLES = 20  # cases of a subject that are looked at

F = mg.ops
Shape = tuple[int, ...]
Cases = st.SearchStrategy["Case"]


class Case(NamedTuple):
    """Arguments of `check_layer`, and what the table calls them."""

    name: str
    factory: Callable[..., Any]
    input: Any
    skip: tuple[str, ...] = ()


class Applied(nn.Module):
    """A function as a layer, whose other inputs are parameters of these shapes."""

    def __init__(self, function: Callable[..., mg.Tensor], *others: Shape) -> None:
        self.function = function
        for i, shape in enumerate(others):
            setattr(self, f"p{i}", nn.Parameter(np.random.default_rng(i).uniform(0.5, 1.5, shape).astype("float32")))

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.function(x, *self.parameters())

    def settings(self) -> str:
        return ", ".join([self.function.__name__.strip("_"), *(str(p.shape) for p in self.parameters())])


def made(shape: Shape, make: Callable[..., nn.Module], *arguments: Any, **settings: Any) -> Case:
    """A layer that takes one array of floats."""
    factory = partial(make, *arguments, **settings)
    return Case(" ".join(repr(factory()).split()), factory, shape)


def given(f: Callable[..., Any], *inputs: Any) -> Case:
    """A function of Tensors, of shapes or arrays."""
    return Case(f.__name__.strip("_"), f, inputs)


# -- layers that are shipped ---------------------------------------------------------------------------------------------

_side = st.integers(1, 3)
_batch = st.integers(2, 3)
_rows = st.tuples(st.integers(3, 5), _side)  # (N, C)
_images = st.tuples(_batch, _side, _side, _side)


def elementwise(make: Callable[..., nn.Module], *arguments: Any) -> Cases:
    return shapes(1, 3, 1, 3).map(lambda shape: made(shape, make, *arguments))


@st.composite
def dense(draw: st.DrawFn) -> Case:
    n, inputs, outputs = draw(_batch), draw(_side), draw(_side)
    return made((n, inputs), nn.Dense, inputs, outputs)


@st.composite
def convolution(draw: st.DrawFn, layer: Any) -> Case:
    g = draw(conv_geometry(transposed=layer is nn.ConvTranspose2d))
    bias, kernel = g.bias_shape is not None, g.weight_shape[2:]
    shape = (draw(_batch), *g.x_shape[1:])
    return made(shape, layer, g.x_shape[1], g.output_shape[1], kernel, **g.options, bias=bias)


@st.composite
def embedding(draw: st.DrawFn) -> Case:
    count, width, n = draw(_side), draw(_side), draw(_batch)
    numbers = np.array(draw(st.lists(st.integers(0, count - 1), min_size=n, max_size=n)))
    return made((), nn.Embedding, count, width)._replace(input=numbers)


@st.composite
def spectral(draw: st.DrawFn) -> Case:
    n, inputs, outputs = draw(_batch), draw(_side), draw(_side)

    def SpectralNorm(inputs: int, outputs: int) -> nn.Module:
        return nn.SpectralNorm(nn.Dense(inputs, outputs))

    return made((n, inputs), SpectralNorm, inputs, outputs)


# -- layers that show what another computes ------------------------------------------------------------------------------


class Followed(nn.Module):
    """Batch norm, plus how far its running statistics are from where this batch should have moved them: 0, whatever x is."""

    def __init__(self, channels: int) -> None:
        self.norm = nn.BatchNorm(channels, momentum=0.25)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        norm = self.norm
        mean, var = mg.Tensor(norm.running_mean), mg.Tensor(norm.running_var)
        y, still = norm(x), x.detach()
        if self.training:
            y = y + (norm.running_mean - (0.75 * mean + 0.25 * still.mean(axis=0)))
            y = y + (norm.running_var - (0.75 * var + 0.25 * still.var(axis=0, ddof=1)))
        return y


def two_ways(x: mg.Tensor) -> mg.Tensor:
    """tanh from NumPy, which would lose the gradient; as it refuses, from minigan."""
    try:
        return mg.tensor(np.tanh(x))
    except TypeError:
        return x.tanh()


def sine_of_a_view(x: mg.Tensor) -> mg.Tensor:
    return F.sin(x.reshape(x.shape))


def in_double(x: mg.Tensor, w: mg.Tensor) -> mg.Tensor:
    return (x.astype("float64") * w).astype(str(x.dtype))


def tied_maximum(x: mg.Tensor) -> mg.Tensor:
    return F.maximum(x, x)


def tied_max(x: mg.Tensor) -> mg.Tensor:
    return F.max(F.stack((x, x)), axis=0)


def clipped(x: mg.Tensor) -> mg.Tensor:
    return F.clip(x, min=-0.7, max=0.9)


def slopes(x: mg.Tensor) -> mg.Tensor:
    return F.where(x > 0, 2 * x, 3 * x)


def joined(x: mg.Tensor) -> mg.Tensor:
    return F.concatenate((x, 2 * x, 3 * x), axis=1)


def stacked(x: mg.Tensor) -> mg.Tensor:
    return F.stack((x, 2 * x, 3 * x), axis=1)


def padded(x: mg.Tensor) -> mg.Tensor:
    return F.pad(x, pad_width=((1, 2),))


def flat(x: mg.Tensor) -> mg.Tensor:
    return F.reshape(x, shape=(x.shape[0], -1))


def variance(x: mg.Tensor) -> mg.Tensor:
    return F.var(x, axis=1, ddof=1)


def normalised(x: mg.Tensor, mean: mg.Tensor, var: mg.Tensor, weight: mg.Tensor) -> mg.Tensor:
    return F.batch_norm_eval(x, mean, var, weight)


def used_twice(x: mg.Tensor) -> mg.Tensor:
    return F.sin(x) + 2 * F.tanh(x)


def square(x: mg.Tensor) -> mg.Tensor:
    return x * x


def averages(x: mg.Tensor) -> mg.Tensor:
    return x.mean(axis=1)


def softmax(x: mg.Tensor) -> mg.Tensor:
    return F.softmax(x)


def log_softmax(x: mg.Tensor) -> mg.Tensor:
    return F.log_softmax(x, axis=1)


def of_shape(strategy: st.SearchStrategy[Shape], f: Callable[..., Any]) -> Cases:
    return strategy.map(lambda shape: given(f, shape))


def applied(f: Callable[..., Any], count: int = 1) -> Cases:
    """A function of (N, C) whose other inputs are (C,)."""
    return _rows.map(lambda shape: made(shape, Applied, f, *[shape[1:]] * count))


_differences = ("check_grads", "check_second_order")

SUBJECTS: dict[str, Cases] = {
    "Dense": dense(),
    "Conv2d": convolution(nn.Conv2d),
    "ConvTranspose2d": convolution(nn.ConvTranspose2d),
    "ConvTranspose2d, room for a window": st.tuples(_side, st.integers(1, 2)).map(
        lambda s: made((2, 1, 1, s[0]), nn.ConvTranspose2d, 1, 1, (1, 2), dilation=(1, 3), output_padding=(0, s[1]))
    ),
    "MaxPool2d": _images.map(lambda s: made((*s[:2], s[2] + 2, s[3] + 2), nn.MaxPool2d, 3, stride=1)),
    # a gradient at ties is a choice, which differences know nothing about, and backends have to agree on
    "MaxPool2d at ties": st.builds(
        lambda c: made((), nn.MaxPool2d, 2)._replace(input=np.ones((2, c, 2, 2), "float32"), skip=_differences), _side
    ),
    "BatchNorm": _rows.map(lambda s: made(s, nn.BatchNorm, s[1])),
    "BatchNorm, its statistics": _rows.map(lambda s: made(s, Followed, s[1])),
    "batch norm without bias": applied(normalised, 3),
    "LayerNorm": st.tuples(_batch, st.integers(2, 4)).map(lambda s: made(s, nn.LayerNorm, s[1])),
    "SpectralNorm": spectral(),
    "Embedding": embedding(),
    "Dropout": elementwise(nn.Dropout, 0.5),
    "Dropout in a net": elementwise(lambda: nn.Sequential(nn.Tanh(), nn.Dropout(0.5))),
    "Softplus": elementwise(nn.Softplus),
    "Tanh": elementwise(nn.Tanh),
    "LeakyReLU": _rows.map(lambda s: made(s, nn.LeakyReLU, 0.2)),
    "cos": of_shape(shapes(0, 3, 1, 3), F.cos),
    "div": _rows.map(lambda s: given(F.div, s, s)),
    "add": _rows.map(lambda s: given(F.add, s, s)),
    "mul": _rows.map(lambda s: given(F.mul, s, s)),
    "mul, broadcast": st.integers(2, 3).map(lambda n: made((n, n), Applied, F.mul, (n,))),  # axes of equal length
    "matmul": _side.map(lambda n: made((2, n), Applied, F.matmul, (n, n))),
    "reshape": of_shape(_images, flat),
    "mean": of_shape(_rows, averages),
    "var": of_shape(st.tuples(_batch, st.integers(2, 4)), variance),
    "max of equals": of_shape(_rows, tied_max),
    "maximum of equals": of_shape(_rows, tied_maximum),
    "clip": of_shape(_rows, clipped),
    "where": of_shape(_rows, slopes),
    "concatenate": of_shape(_rows, joined),
    "stack": of_shape(_rows, stacked),
    "pad": of_shape(_rows, padded),
    "softmax": of_shape(_rows, softmax),
    "log_softmax": of_shape(_rows, log_softmax),
    "used twice": of_shape(_rows, used_twice),
    "x * x": of_shape(_rows, square),
    "tanh, by NumPy if it may": of_shape(_rows, two_ways),
    "sine of a view": of_shape(_rows, sine_of_a_view),
    "computed in float64": applied(in_double),
}


def smallest(cases: Cases) -> dict[str, Any]:
    """The checks that fail on one of the cases, with the smallest case that was found; no checks if nothing can be said."""
    found: dict[str, Any] = {}
    unsaid: dict[str, Any] = {}
    names = list(CHECKS)

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(cases)
    def judge(case: Case) -> None:
        said = {"case": case.name, "inputs": " ".join(str(case.input).split())}
        for name in names:
            try:
                run(name, case)
            except BadSubject as error:  # where one check has no verdict, another may
                unsaid.update(said, headline=error.headline)
            except CheckFailed as error:
                found.update(said, headline=error.headline, failing=case)
                names[:] = [name]  # the smallest case of this failure, not of another
                raise

    with suppress(CheckFailed, hypothesis.errors.Flaky):  # some bugs come and go
        judge()
    if not found:
        return unsaid
    case, first = found.pop("failing"), names[0]
    return found | {"checks": [first, *(name for name in CHECKS if name != first and fails(name, case))]}


def run(name: str, case: Case) -> None:
    """One check."""
    if name not in case.skip:
        check_layer(case.factory, case.input, skip=[other for other in CHECKS if other != name])


def fails(name: str, case: Case) -> bool:
    """Whether a check fails; where it has no verdict, or ends in another error, it does not."""
    try:
        run(name, case)
    except Exception as error:
        return isinstance(error, CheckFailed) and not isinstance(error, BadSubject)
    return False


if __name__ == "__main__":
    print(json.dumps(smallest(SUBJECTS[sys.argv[1]])))
