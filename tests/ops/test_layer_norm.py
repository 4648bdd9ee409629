"""Layer norm by its definition; gradients and layouts of the op under it are in `test_every_op`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import anywhere, assert_close, rngs

import minigan as mg
from minigan.errors import ShapeError


@given(rngs, st.integers(0, 2), st.integers(1, 2), st.booleans(), st.booleans(), st.sampled_from([1e-5, 0.1]))
def test_definition(rng, outer, inner, scaled, shifted, eps):
    """Mean 0 and variance var/(var + eps) over the last axes, then weight and bias; each sample by itself."""
    shape = (2, 3)[:outer] + (4, 3)[:inner]
    x, weight, bias = anywhere(rng, shape), anywhere(rng, shape[outer:]), anywhere(rng, shape[outer:])
    axes = tuple(range(outer, len(shape)))
    y = mg.ops.layer_norm(x, shape[outer:], weight if scaled else None, bias if shifted else None, eps).numpy()
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
    expected = expected * (weight if scaled else 1) + (bias if shifted else 0)
    # statistics of at most 12 values of size 2; where they happen to lie close together, eps >= 1e-5 leaves 1/std <= 316
    assert_close(y, expected, 1e-12)


def test_one_axis_by_its_length():
    x = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(mg.ops.layer_norm(x, 3).numpy(), mg.ops.layer_norm(x, (3,)).numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3, 2), 3), r"x must end in normalized_shape \(3,\).*got \(3, 2\)"),
        (((3,), (2, 3)), r"x must end in normalized_shape \(2, 3\)"),
        (((3,), ()), r"at least one value"),
        (((3, 0), 0), r"at least one value"),
        (((2, 3), 3, np.ones(2)), r"weight must be of normalized_shape \(3,\), got \(2,\)"),
        (((2, 3), 3, None, np.ones((1, 3))), r"bias must be of normalized_shape \(3,\), got \(1, 3\)"),
    ],
)
def test_bad_shapes(arguments, message):
    shape, *rest = arguments
    with pytest.raises(ShapeError, match=message):
        mg.ops.layer_norm(np.ones(shape), *rest)
