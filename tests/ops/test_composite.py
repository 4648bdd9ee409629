"""Functions made of ops: values by their definitions, gradients by central differences of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import assert_close

import minigan as mg
from minigan.errors import DTypeError, ShapeError

pytestmark = pytest.mark.filterwarnings("ignore:cross_entropy takes logits")  # where drawn ones lie in [0, 1]
seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 3)


def differences(function, x, h=1e-5):
    """Central differences of a scalar function, coordinate by coordinate."""
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[i] = h
        g[i] = (function(x + d) - function(x - d)) / (2 * h)
    return g


def check(function, x, rng):
    """Values weighted at random: the gradient, and the Hessian times a vector, against differences."""
    weights = rng.normal(size=function(mg.tensor(x)).shape)
    scalar = lambda t: (function(t) * weights).sum()
    gradient = lambda a: mg.grad(scalar(t := mg.tensor(a, requires_grad=True)), t, allow_unused=True).numpy()
    g, v = gradient(x), rng.normal(size=x.shape)
    # differences of values of order 10 with step 1e-5 err by 1e-10 in rounding and in the third derivative
    assert_close(g, differences(lambda a: scalar(mg.tensor(a)).item(), x), 1e-6)
    assert_close(mg.hvp(scalar, x, v).numpy(), (gradient(x + 1e-5 * v) - gradient(x - 1e-5 * v)) / 2e-5, 1e-5)


@given(sides, st.integers(2, 4), seeds)
def test_cross_entropy(n, classes, seed):
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(size=(n, classes)), rng.integers(0, classes, n)
    expected = -np.log((np.exp(x) / np.exp(x).sum(1, keepdims=True))[np.arange(n), labels]).mean()
    assert_close(mg.ops.cross_entropy(x, labels).numpy(), expected, 1e-13)  # sums of at most 4 terms, an exp and a log
    check(lambda t: mg.ops.cross_entropy(t, mg.tensor(labels)), x, rng)


@given(seeds, st.lists(st.integers(1, 3), max_size=2))
def test_embedding_adds_up_where_a_row_is_named_twice(seed, shape):
    rng = np.random.default_rng(seed)
    weight, index = rng.normal(size=(3, 2)), rng.integers(0, 3, shape)
    index = np.asarray(index)
    np.testing.assert_array_equal(mg.ops.embedding(index, weight).numpy(), weight[index])
    check(lambda w: mg.ops.embedding(index, w), weight, rng)


@given(sides, sides, sides, st.integers(1, 3), seeds)
def test_upsampling_repeats_pixels(c, h, w, scale, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, c, h, w))
    check(lambda t: mg.ops.upsample_nearest2d(t, scale), x, rng)


@given(sides, st.tuples(sides, sides), st.integers(0, 2), seeds)
def test_gradient_of_average_pooling(c, kernel, extra, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, c, kernel[0] + extra, kernel[1] * 2))
    check(lambda t: mg.ops.avg_pool2d(t, kernel), x, rng)


@given(st.sampled_from([0.0, 0.25, 0.9]), seeds)
def test_dropout_keeps_or_zeroes_and_its_gradient_is_of_the_same_draw(p, seed):
    x = mg.tensor(np.full((40, 5), 2.0), requires_grad=True)
    y = mg.ops.dropout(x, p, rng=seed)
    kept = y.numpy() != 0
    assert_close(y.numpy(), kept * 2.0 / (1 - p), 1e-15)  # one division and one product
    assert_close(mg.grad(y.sum(), x).numpy(), kept / (1 - p), 1e-15)
    assert abs(kept.mean() - (1 - p)) < 6 * np.sqrt(p * (1 - p) / 200) + 1e-12  # six standard errors of 200 draws
    assert mg.ops.dropout(x, p, training=False) is x


def test_dropout_keeps_the_dtype():
    assert mg.ops.dropout(np.ones(3, "float32"), 0.5, rng=0).dtype == np.float32


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mg.ops.cross_entropy(np.zeros((2, 3)), np.array([0, 3])), ShapeError, "from 0 to 2, got 0 to 3"),
        (lambda: mg.ops.cross_entropy(np.zeros((2, 3)), np.array([0, -1])), ShapeError, "from 0 to 2, got -1 to 0"),
        (lambda: mg.ops.cross_entropy(np.zeros((2, 3)), np.array([0.0, 1.0])), DTypeError, "integers, got float64"),
        (lambda: mg.ops.cross_entropy(np.zeros((2, 3)), np.array([0])), ShapeError, r"got \(2, 3\) and \(1,\)"),
        (lambda: mg.ops.embedding(np.array([0.5]), np.zeros((2, 3))), DTypeError, "integers, got float64"),
        (
            lambda: mg.ops.embedding(np.array([2]), np.zeros((2, 3))),
            ShapeError,
            "index must be from 0 to 1, got 2 to 2",
        ),
        (lambda: mg.ops.dropout(np.ones(2), 1.0), ValueError, r"p must be in \[0, 1\), got 1.0"),
        (lambda: mg.ops.upsample_nearest2d(mg.tensor(np.ones((2, 2)))), ShapeError, r"\(N, C, H, W\)"),
        (lambda: mg.ops.avg_pool2d(np.ones((1, 1, 2, 2)), 3), ShapeError, "the output would be empty"),
    ],
)
def test_mistakes_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
