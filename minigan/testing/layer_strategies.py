"""Hypothesis strategies of layers: factories of all that are shipped, and cases of one's own.

Valid by construction, as all strategies here; shapes and settings are drawn before values.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import minigan as mg
from minigan import nn
from minigan.backends import HostArray
from minigan.nn import Module
from minigan.testing.failures import BadSubject
from minigan.testing.strategies import Shape, arrays, conv_geometry, seeds, setting, shapes, windows


class Factory(functools.partial[Module]):
    """A partial that can be read and written down: its repr is the code that makes it.

    >>> from minigan.testing.layer_strategies import Factory
    >>> Factory(mg.nn.Dense, 3, 2, rng=0)
    partial(mg.nn.Dense, 3, 2, rng=0)
    """

    def __repr__(self) -> str:
        name = getattr(self.func, "__qualname__", repr(self.func))
        room = {"minigan.nn": "mg.nn.", __name__: "mg.testing."}
        made = next((r for m, r in room.items() if self.func.__module__.startswith(m)), "") + name
        return f"partial({', '.join([made, *map(repr, self.args), *(f'{k}={v!r}' for k, v in self.keywords.items())])})"


def sequential(*factories: Callable[[], Module]) -> nn.Sequential:
    """The layers that the factories make, one after the other."""
    return nn.Sequential(*(make() for make in factories))


def spectral_norm(factory: Callable[[], Module], **settings: Any) -> nn.SpectralNorm:
    """The layer that the factory makes, with its weight normalised."""
    return nn.SpectralNorm(factory(), **settings)


class _Case(NamedTuple):
    """A factory, and what its layer makes of which shape."""

    factory: Factory
    x_shape: Shape
    y_shape: Shape


_ranks = st.integers(1, 4)
_side = st.integers(1, 3)
_eps = st.sampled_from((0.1, 1e-3, 1e-5))
_dropout = st.builds(functools.partial(Factory, nn.Dropout), st.sampled_from((0.5, 0.25, 0.75, 0.0)), rng=seeds)
_smooth = st.one_of(st.sampled_from((nn.Tanh, nn.Sigmoid, nn.Softplus)).map(Factory), _dropout)
_activations = st.one_of(
    st.just(Factory(nn.ReLU)),
    st.builds(functools.partial(Factory, nn.LeakyReLU), st.sampled_from((0.01, 0.2, 0.5))),
    _smooth,
)


@st.composite
def _elementwise(draw: st.DrawFn) -> _Case:
    shape, factory = draw(shapes(1, 4, 1, 3)), draw(_activations)
    return _Case(factory, shape, shape)


@st.composite
def _dense(draw: st.DrawFn) -> _Case:
    (*lead, inputs), outputs = draw(shapes(2, 3, 1, 3)), draw(_side)
    factory = Factory(nn.Dense, inputs, outputs, bias=draw(st.booleans()), rng=draw(seeds))
    return _Case(factory, (*lead, inputs), (*lead, outputs))


@st.composite
def _convolution(draw: st.DrawFn) -> _Case:
    layer = draw(st.sampled_from((nn.Conv2d, nn.ConvTranspose2d)))
    n, g = draw(_side), draw(conv_geometry(transposed=layer is nn.ConvTranspose2d))
    channels = g.x_shape[1], g.output_shape[1], setting(g.weight_shape[2:])
    defaults = {"padding": 0, "output_padding": 0}
    settings = {name: value for name, value in g.options.items() if value != defaults.get(name, 1)}
    factory = Factory(layer, *channels, **settings, bias=g.bias_shape is not None, rng=draw(seeds))
    return _Case(factory, (n, *g.x_shape[1:]), (n, *g.output_shape[1:]))


@st.composite
def _pooling(draw: st.DrawFn) -> _Case:
    layer, n, c = draw(st.sampled_from((nn.MaxPool2d, nn.AvgPool2d))), draw(_side), draw(_side)
    h, w = draw(windows(pooling=True)), draw(windows(pooling=True))
    kernel, stride, padding = (setting(p) for p in zip(h[1:4], w[1:4], strict=True))
    factory = Factory(layer, kernel, stride=stride, padding=padding)
    return _Case(factory, (n, c, h.size, w.size), (n, c, h.output, w.output))


@st.composite
def _upsampling(draw: st.DrawFn) -> _Case:
    (n, c, h, w), scale = draw(shapes(4, 4, 1, 3)), draw(_side)
    return _Case(Factory(nn.Upsample, scale), (n, c, h, w), (n, c, scale * h, scale * w))


@st.composite
def _reshaping(draw: st.DrawFn) -> _Case:
    n, *sides = draw(shapes(2, 4, 1, 3))
    if draw(st.booleans()):
        return _Case(Factory(nn.Flatten), (n, *sides), (n, math.prod(sides)))
    other = draw(st.permutations(sides))
    return _Case(Factory(nn.Reshape, *other), (n, *sides), (n, *other))


@st.composite
def _norm(draw: st.DrawFn) -> _Case:
    """At least two values to normalise over: the samples of a channel, or the last axes of a sample."""
    if draw(st.booleans()):
        n, c, *image = draw(st.one_of(shapes(2, 2, 1, 3), shapes(4, 4, 1, 3)))
        factory = Factory(nn.BatchNorm, c, eps=draw(_eps), momentum=draw(st.sampled_from((0.1, 0.5))))
        return _Case(factory, (n + 1, c, *image), (n + 1, c, *image))
    *lead, last = draw(shapes(2, 4, 1, 3))
    shape = (*lead, last + 1)
    first = draw(st.integers(1, len(shape) - 1))
    factory = Factory(
        nn.LayerNorm, shape[first:], eps=draw(_eps), elementwise_affine=draw(st.booleans()), bias=draw(st.booleans())
    )
    return _Case(factory, shape, shape)


@st.composite
def _spectral(draw: st.DrawFn) -> _Case:
    case, times = draw(st.one_of(_dense(), _convolution())), draw(st.integers(1, 2))
    return case._replace(factory=Factory(spectral_norm, case.factory, n_power_iterations=times, rng=draw(seeds)))


_single = st.one_of(
    _elementwise(), _dense(), _convolution(), _pooling(), _upsampling(), _reshaping(), _norm(), _spectral()
)


@st.composite
def _composition(draw: st.DrawFn) -> _Case:
    """A layer, perhaps a norm, an activation, and perhaps all that flat and through a dense layer."""
    first = draw(_single)
    steps, shape = [first.factory], first.y_shape
    norms: list[list[Factory]] = [[]]
    if shape[-1] > 1:
        norms.append([Factory(nn.LayerNorm, shape[-1], eps=0.1)])  # large, as what comes here may hardly vary
    if len(shape) in (2, 4) and math.prod(shape) > shape[1]:
        norms.append([Factory(nn.BatchNorm, shape[1], eps=0.1)])
    norm = draw(st.sampled_from(norms))
    biased = first.factory.func in (nn.Dense, nn.Conv2d, nn.ConvTranspose2d) and first.factory.keywords["bias"]
    # without a random bias, what comes out may be exactly 0, which is a kink: padding alone, or a norm of equal values
    steps += [*norm, draw(_activations if biased and not norm else _smooth)]
    if draw(st.booleans()):
        outputs = draw(_side)
        steps += [Factory(nn.Flatten), Factory(nn.Dense, math.prod(shape[1:]), outputs, rng=draw(seeds))]
        shape = (shape[0], outputs)
    return _Case(Factory(sequential, *steps), first.x_shape, shape)


def layers() -> st.SearchStrategy[tuple[Callable[[], Module], Shape]]:
    """Factories of all layers that take one array of floats, each with the shape of an input, and compositions of them.

    Settings are random and valid. Factories are partials with seeds in them: they make the same layer every time, and
    their repr is a program. The batch is never empty, and batch norm has at least two values a channel.

    >>> from hypothesis import find
    >>> from minigan.testing import layers
    >>> find(layers(), lambda case: isinstance(case[0](), mg.nn.Dense))
    (partial(mg.nn.Dense, 1, 1, bias=False, rng=0), (1, 1))
    """
    return st.one_of(_single, _composition()).map(lambda case: (case.factory, case.x_shape))


def layer_cases(
    factory: Callable[[], Module],
    input: Shape | st.SearchStrategy[Any],
    dtype: Any = "float64",
    kinks: Iterable[float] = (0.0,),
) -> st.SearchStrategy[tuple[Module, HostArray]]:
    """A new layer, and an input without ties and away from kinks, each drawn anew.

    The layer is made after `mg.seed` of a drawn number. The generator is left where that puts it, so that a layer that
    draws from it when called does the same in every replay of a case.

    Args:
        factory: makes the layer.
        input: the input's shape, or a strategy of shapes, or one of arrays, which are taken as they are.
        dtype: of the input, the parameters and the buffers; integers among the buffers stay.
        kinks: where the layer has no derivative by its input.

    Raises:
        BadSubject: the factory made something that is no layer.

    >>> from functools import partial
    >>> from hypothesis import find
    >>> from minigan.testing import layer_cases
    >>> find(layer_cases(partial(mg.nn.Dense, 2, 1), (1, 2)), lambda case: True)
    (Dense(2, 1, bias=True), array([[ 1., -1.]]))
    """
    return _layer_cases(factory, input, str(np.dtype(dtype)), tuple(kinks))


@st.composite
def _layer_cases(
    draw: st.DrawFn,
    factory: Callable[[], Module],
    input: Shape | st.SearchStrategy[Any],
    dtype: str,
    kinks: tuple[float, ...],
) -> tuple[Module, HostArray]:
    drawn = draw(input) if isinstance(input, st.SearchStrategy) else input
    mg.seed(draw(seeds))
    layer = factory()
    if not isinstance(layer, Module):
        raise BadSubject(f"{factory!r} made {layer!r:.60}, which is no mg.nn.Module")
    for _, tensor in layer.named_state():
        if tensor.dtype.kind == "f":
            tensor.data = tensor.detach().astype(dtype).data
    return layer, drawn if isinstance(drawn, np.ndarray) else draw(arrays(drawn, dtype, kinks, unique=True))
