"""No shipped layer fails a check of behaviour, and no check leaves anything changed."""

import functools

import numpy as np
import pytest
from badly_behaved import IMAGES, X, fingerprint, normal
from lossy import HostMean

import minigan as mg
from minigan import nn
from minigan.backends import random
from minigan.testing.behaviour import (
    check_batch_equivariance,
    check_deterministic,
    check_layouts,
    check_no_mutation,
)
from minigan.testing.inference import check_dtype, check_shape_inference
from minigan.testing.seal import untouched
from minigan.testing.state import check_backends, check_state_dict, check_train_eval

CHECKS = [
    check_shape_inference, check_dtype, check_layouts, check_no_mutation, check_batch_equivariance, check_deterministic,
    check_train_eval, check_state_dict, check_backends,
]  # fmt: skip

# -- what is right ----------------------------------------------------------------------------------------------------

SHIPPED = {
    "Dense": (lambda: nn.Dense(3, 2), X),
    "Dense of images": (lambda: nn.Dense(5, 2, bias=False), IMAGES),
    "Conv2d": (lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1), IMAGES),
    "Conv2d in groups": (lambda: nn.Conv2d(2, 4, (3, 2), dilation=2, groups=2, bias=False), IMAGES),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1), IMAGES),
    "BatchNorm": (lambda: nn.BatchNorm(3), X),
    "BatchNorm of images": (lambda: nn.BatchNorm(2), IMAGES),
    "LayerNorm": (lambda: nn.LayerNorm(3), X),
    "SpectralNorm": (lambda: nn.SpectralNorm(nn.Conv2d(2, 3, 3)), IMAGES),
    "SpectralNorm of ConvTranspose2d": (lambda: nn.SpectralNorm(nn.ConvTranspose2d(2, 3, 3)), IMAGES),
    "Dropout": (lambda: nn.Dropout(0.3), X),
    "Dropout of its own": (lambda: nn.Dropout(0.3, rng=1), X),
    "Embedding": (lambda: nn.Embedding(5, 2), np.array([0, 3, 4, 4])),
    "Flatten": (lambda: nn.Flatten(), IMAGES),
    "Reshape": (lambda: nn.Reshape(5, 10), IMAGES),
    "ReLU": (lambda: nn.ReLU(), X),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.2), X),
    "Tanh": (lambda: nn.Tanh(), X),
    "Sigmoid": (lambda: nn.Sigmoid(), X),
    "Softplus": (lambda: nn.Softplus(), X),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, stride=2, padding=1), IMAGES),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), IMAGES),
    "Upsample": (lambda: nn.Upsample(2), IMAGES),
    "Sequential": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm(3), nn.Dropout(), nn.ReLU(), nn.Flatten(), nn.Dense(75, 1)
        ),
        IMAGES,
    ),
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("layer", SHIPPED)
def test_no_shipped_layer_fails_a_check(layer, check, training):
    factory, x = SHIPPED[layer]
    check(factory if check is check_state_dict else factory().train(training), x)


def test_the_table_holds_every_layer():
    layers = {n for n in nn.__all__ if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)}
    made = {type(m).__name__ for factory, _ in SHIPPED.values() for m in factory().modules()}
    assert layers - made == {"Module", "ModuleList"}


FUNCTIONS = {
    "matmul": (mg.ops.matmul, normal(3, 4), normal(4, 3, seed=1)),
    "linear": (mg.ops.linear, normal(3, 2), normal(3, 2, seed=1), normal(3, seed=2)),
    "where": (mg.ops.where, normal(4, 3) > 0, normal(4, 3, seed=1), normal(3, seed=2)),
    "max": (functools.partial(mg.ops.max, axis=1), X),
    "mean": (mg.ops.mean, X),
    "var": (functools.partial(mg.ops.var, axis=1), X),
    "a function": (lambda x, w: (mg.ops.tanh(x) @ w, x.sum()), X, normal(3, 2, seed=1)),
    "a method": (nn.Dense(3, 2).forward, X),
    "integers only": (lambda i: i * 2, np.arange(4)),
    "one number": (mg.ops.exp, np.float32(0.5)),
}


@pytest.mark.parametrize(
    "check", [c for c in CHECKS if c not in (check_train_eval, check_state_dict, check_batch_equivariance)]
)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_pass_as_layers_do(name, check):
    f, *xs = FUNCTIONS[name]
    check(f, *xs)


def test_samples_may_come_in_several_inputs_beside_what_they_share():
    check_batch_equivariance(lambda x, y, w: (x * y) @ w, X, normal(4, 3, seed=1), normal(3, 2, seed=2))
    check_batch_equivariance(lambda x: x - x.mean(axis=0), X, coupled=True)


def test_layers_may_draw_from_one_generator():
    rng = np.random.default_rng(0)
    check_state_dict(lambda: nn.Dense(3, 2, rng=rng), X)


def test_the_empty_batch_may_be_refused_with_a_value_error():
    def refuses(x):
        if not x.shape[0]:
            raise ValueError("no samples")
        return x * 2

    check_shape_inference(refuses, X)


def test_rounding_at_a_kink_is_no_failure_and_one_axis_may_be_one_sample():
    flat = nn.Sequential(nn.Upsample(3), nn.LayerNorm(3, eps=0.1), nn.LeakyReLU())  # LeakyReLU of rounding errors
    for rng in range(20):
        check_dtype(flat, normal(1, 1, 1, 1, seed=rng), rng=rng)
    check_train_eval(nn.LayerNorm(3), normal(3))


# -- what is left behind: nothing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_a_check_leaves_everything_as_it_was(check):
    layer = nn.Sequential(
        nn.Conv2d(2, 3, 3, rng=0), nn.BatchNorm(3), nn.Dropout(0.5, rng=1), nn.SpectralNorm(nn.Conv2d(3, 1, 1, rng=0))
    )
    layer[1].eval()
    layer[0].bias.requires_grad = False
    layer(mg.tensor(IMAGES)).sum().backward()
    loss = layer(mg.tensor(IMAGES)).sum()
    before = fingerprint(layer, IMAGES)
    check((lambda: nn.Dense(5, 2)) if check is check_state_dict else layer, IMAGES)
    assert fingerprint(layer, IMAGES) == before
    loss.backward()  # nor does a graph from before say that its values were changed


def test_untouched_puts_back_what_a_layer_keeps_anywhere():
    layer = HostMean()
    layer.parts, layer.table, layer.rng = [nn.Dense(3, 2, rng=0)], {"a": np.ones(2)}, np.random.default_rng(0)
    part, weight, position = layer.parts[0], layer.parts[0].weight.numpy().copy(), layer.rng.bit_generator.state
    layer.table["itself"] = layer
    default = random.generator()
    with pytest.raises(KeyError), untouched(layer):
        layer.eval()
        layer.mean += 1
        layer.extra = 1
        layer.rng.random()
        layer.table["a"][0], layer.table["b"] = 5, 1
        part.weight.assign_(0.0)
        part.weight.grad = mg.tensor(weight)
        layer.parts.clear()
        mg.seed(1)
        raise KeyError
    assert layer.training
    assert not hasattr(layer, "extra")
    assert layer.parts == [part]
    assert part.weight.grad is None
    assert layer.rng.bit_generator.state == position
    assert random.generator() is default
    assert list(layer.table) == ["a", "itself"]
    np.testing.assert_array_equal(layer.mean, np.zeros(3))
    np.testing.assert_array_equal(layer.table["a"], np.ones(2))
    np.testing.assert_array_equal(part.weight.numpy(), weight)


@pytest.mark.parametrize(
    "surround",
    [
        lambda layer: lambda x: layer(x),
        lambda layer: functools.partial(lambda part, x: part(x), layer),
        lambda layer: functools.partial(lambda x, part: part(x), part=layer),
        lambda layer: layer.forward,
    ],
    ids=["closure", "partial", "keyword", "method"],
)
def test_untouched_reaches_the_layers_that_a_function_holds(surround):
    layer = nn.BatchNorm(3)
    f = surround(layer)
    with untouched(f):
        f(mg.tensor(X))
        layer.eval()
    assert layer.training
    np.testing.assert_array_equal(layer.running_mean.numpy(), np.zeros(3))
