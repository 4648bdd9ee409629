"""Strategies of layers: every shipped one with valid settings, the same every time, and cases that are safe to differentiate at."""

from functools import partial

import numpy as np
import pytest
from drawing import collect, simplest, spread_of
from hypothesis import given, settings
from hypothesis import strategies as st

import minigan as mg
from minigan.testing import arrays, layer_cases, layers, shapes
from minigan.testing.failures import BadSubject
from minigan.testing.strategies import MARGIN


def state(layer):
    return {name: value.tolist() for name, value in layer.state_dict().items()}


@settings(max_examples=200)
@given(layers(), st.data())
def test_layers_take_their_input_and_are_the_same_every_time(case, data):
    factory, shape = case
    assert min(shape) > 0
    x = mg.tensor(data.draw(arrays(shape, "float32", unique=True)))
    first, second = factory(), factory()
    assert first is not second
    assert state(first) == state(second)
    written = eval(repr(factory), {"mg": mg, "partial": partial})()
    assert state(first) == state(written)
    y = first(x).numpy()
    assert np.all(np.isfinite(y))
    assert y.size > 0
    assert np.array_equal(y, second(x).numpy())
    assert np.array_equal(y, written(x).numpy())
    assert repr(written) == repr(first)


def test_layers_reach_every_layer_with_every_setting():
    cases = collect(layers(), 1500)
    made = [module for factory, _ in cases for module in factory().modules()]
    shipped = {v for v in vars(mg.nn).values() if isinstance(v, type) and issubclass(v, mg.nn.Module)}
    others = {mg.nn.Module, mg.nn.ModuleList, mg.nn.Embedding}  # nothing to call, or of integers
    assert {type(module) for module in made} == shipped - others
    of = lambda layer: [m for m in made if type(m) is layer]
    for layer in (mg.nn.Dense, mg.nn.Conv2d, mg.nn.ConvTranspose2d):
        assert {m.bias is None for m in of(layer)} == {False, True}
    assert {m.weight is None for m in of(mg.nn.LayerNorm)} == {False, True}
    assert {len(shape) for factory, shape in cases if factory.func is mg.nn.BatchNorm} == {2, 4}
    assert {type(m.layer) for m in of(mg.nn.SpectralNorm)} == {mg.nn.Dense, mg.nn.Conv2d, mg.nn.ConvTranspose2d}
    assert {m.kernel_size[0] == m.kernel_size[1] for m in of(mg.nn.MaxPool2d)} == {False, True}
    assert {max(m.padding) for m in of(mg.nn.MaxPool2d)} == {0, 1}
    assert {len(m) for m in of(mg.nn.Sequential)} >= {2, 3, 4, 5}


def test_layers_shrink_to_the_simplest():
    factory, shape = simplest(layers(), lambda case: True)
    assert (repr(factory), shape) == ("partial(mg.nn.ReLU)", (1,))
    factory, shape = simplest(layers(), lambda case: isinstance(case[0](), mg.nn.Conv2d))
    assert (repr(factory), shape) == ("partial(mg.nn.Conv2d, 1, 1, 1, bias=False, rng=0)", (1, 1, 1, 1))


def net():
    return mg.nn.Sequential(mg.nn.Dense(3, 2), mg.nn.BatchNorm(2))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@given(st.data())
def test_layer_cases(dtype, data):
    layer, x = data.draw(layer_cases(net, st.tuples(st.integers(2, 4), st.just(3)), dtype))
    assert x.dtype == dtype
    assert 2 <= len(x) <= 4
    assert spread_of(x) >= 1 / 8
    assert np.abs(x).min() >= MARGIN
    kinds = {name: str(tensor.dtype) for name, tensor in layer.named_state()}
    assert kinds.pop("1.num_batches_tracked") == "int64"
    assert set(kinds.values()) == {dtype}
    assert {type(p) for p in layer.parameters()} == {mg.nn.Parameter}
    assert layer(mg.tensor(x)).dtype == dtype


def test_layer_cases_draw_parameters():
    weights = [layer.weight.numpy() for layer, _ in collect(layer_cases(partial(mg.nn.Dense, 1, 1), (1, 1)), 20)]
    assert len({float(w[0, 0]) for w in weights}) > 5
    factory = partial(mg.nn.Dense, 1, 1)
    layer, x = simplest(layer_cases(factory, shapes(2, 2, 1, 1), kinks=(1.0,)), lambda case: True)
    mg.seed(0)
    assert layer.weight.item() == factory().weight.item()
    assert x.tolist() == [[0.0]]


def test_a_random_layer_is_the_same_in_a_replay():
    called = layer_cases(partial(mg.nn.Dropout, 0.5), (20,)).map(
        lambda case: case[0](mg.tensor(case[1])).numpy().tolist()
    )
    found = collect(called, 10)
    mg.seed(1)
    assert collect(called, 10) == found


@given(layer_cases(partial(mg.nn.Embedding, 3, 2), arrays((4,), "uint8")))
def test_arrays_are_taken_as_they_are(case):
    layer, x = case
    assert x.dtype == "uint8"
    assert layer(mg.tensor(x)).shape == (4, 2)


@given(st.data())
def test_a_factory_that_makes_no_layer(data):
    with pytest.raises(BadSubject, match=r"made \[\], which is no mg\.nn\.Module"):
        data.draw(layer_cases(list, (2,)))
