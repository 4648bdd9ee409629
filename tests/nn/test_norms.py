"""LayerNorm's parameters, and SpectralNorm: the largest singular value, the gradient through it, its state."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_close, central_differences, rngs

import minigan as mg
from minigan import nn
from minigan.errors import ShapeError

LAYERS = {
    "dense": (lambda: nn.Dense(4, 3, rng=0), (2, 4)),
    "conv": (lambda: nn.Conv2d(2, 3, 3, padding=1, groups=1, rng=0), (2, 2, 4, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 2, stride=2, rng=0), (2, 2, 3, 3)),
}


def double(module):
    """The module in float64."""
    for _, tensor in module.named_state():
        tensor.data = tensor.detach().astype("float64").data
    return module


def matrix(weight, name):
    w = weight.numpy()
    return (w.swapaxes(0, 1) if name == "transposed" else w).reshape(w.shape[name == "transposed"], -1)


@pytest.mark.parametrize("name", LAYERS)
@given(rng=rngs)
@settings(max_examples=5)  # each runs some hundred power iterations
def test_the_largest_singular_value_becomes_one(name, rng):
    make, shape = LAYERS[name]
    layer = double(nn.SpectralNorm(make(), rng=rng))
    layer.layer.weight.assign_(rng.normal(size=layer.layer.weight.shape))
    x, plain = rng.normal(size=shape), double(make()).load_state_dict(layer.layer.state_dict())
    for _ in range(300):
        y = layer(mg.tensor(x))
    sigma = np.linalg.svd(matrix(layer.layer.weight, name), compute_uv=False)
    bias = np.asarray(plain(mg.tensor(0 * x)).numpy())  # what the layer adds whatever x is
    normalised = (plain(mg.tensor(x)).numpy() - bias) / sigma[0] + bias
    # power iteration errs by (s2/s1)^600 in sigma; singular values closer than 1 in 50 would need more
    if sigma[1] / sigma[0] < 0.98:
        assert_close(y.numpy(), normalised, 1e-4)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("order", [1, 2])
def test_the_gradient_goes_through_the_normalised_weight(name, order):
    """In evaluation u and v stand still, and the whole is an ordinary function of the weight."""
    make, shape = LAYERS[name]
    rng = np.random.default_rng(1)
    layer = double(nn.SpectralNorm(make(), rng=0)).eval()
    x, v = mg.tensor(rng.normal(size=shape)), rng.normal(size=layer.layer.weight.shape)

    def value(weight):
        layer.layer.weight.assign_(weight)
        first = (layer(x) ** 3).sum()
        if order == 1:
            return first
        return (mg.grad(first, layer.layer.weight, create_graph=True) * v).sum()

    at = layer.layer.weight.numpy().copy()
    analytic = mg.grad(value(at), layer.layer.weight).numpy()
    (numeric,) = central_differences(lambda w: [value(w).numpy()], [at], [np.ones(())])
    # differences with step 1e-5 err by 2e-11 times third derivatives, here below 1e4
    assert_close(analytic, numeric, 1e-6 if order == 1 else 1e-5)


def test_two_calls_in_one_graph():
    """D(real) and D(fake) before one backward: the second call moves u and v, and the first graph has its own."""
    layer = nn.SpectralNorm(nn.Dense(3, 1, rng=0), rng=0)
    loss = (layer(mg.tensor(np.ones((2, 3)))) + layer(mg.tensor(np.zeros((2, 3))))).sum()
    loss.backward()
    assert layer.layer.weight.grad is not None


def test_power_iteration_is_state_and_rests_in_evaluation():
    layer = nn.SpectralNorm(nn.Dense(5, 4, rng=0), rng=0)
    assert list(layer.state_dict()) == ["u", "v", "layer.weight", "layer.bias"]
    layer.layer.weight.assign_(np.random.default_rng(2).normal(size=(4, 5)))
    before = layer.state_dict()
    layer.eval()(mg.tensor(np.ones((1, 5), "float32")))
    assert all(np.array_equal(before[k], v) for k, v in layer.state_dict().items())
    layer.train()(mg.tensor(np.ones((1, 5), "float32")))
    assert not np.array_equal(before["u"], layer.state_dict()["u"])
    assert isinstance(layer.layer.weight, nn.Parameter)
    other = nn.SpectralNorm(nn.Dense(5, 4, rng=1), rng=1).load_state_dict(layer.state_dict())
    x = mg.tensor(np.ones((1, 5), "float32"))
    assert np.array_equal(other(x).numpy(), layer(x).numpy())


def test_the_weight_is_itself_again_after_an_error():
    layer = nn.SpectralNorm(nn.Dense(5, 4, rng=0), rng=0)
    weight = layer.layer.weight
    with pytest.raises(ShapeError):
        layer(mg.tensor(np.ones((1, 3))))
    assert layer.layer.weight is weight


def test_a_weight_of_zeros_gives_no_nan_from_the_iteration():
    layer = nn.SpectralNorm(nn.Dense(2, 2, rng=0), rng=0)
    layer.layer.weight.assign_(0.0)
    layer._iterate(3)
    assert np.isfinite(layer.u.numpy()).all()
    assert np.isfinite(layer.v.numpy()).all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.SpectralNorm(nn.ReLU()), ShapeError, r"a weight of at least two axes, got ReLU\(\)"),
        (lambda: nn.SpectralNorm(nn.LayerNorm(3)), ShapeError, "a weight of at least two axes, got LayerNorm"),
        (lambda: nn.SpectralNorm(nn.Dense(2, 2), 0), ValueError, "n_power_iterations must be at least 1, got 0"),
    ],
)
def test_bad_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()


@given(st.booleans(), st.booleans())
def test_layer_norm_has_the_parameters_that_are_asked_for(affine, bias):
    layer = nn.LayerNorm((2, 3), elementwise_affine=affine, bias=bias)
    assert list(layer.state_dict()) == ["weight"] * affine + ["bias"] * (affine and bias)
    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    assert np.array_equal(layer(x).numpy(), mg.ops.layer_norm(x, (2, 3)).numpy())
