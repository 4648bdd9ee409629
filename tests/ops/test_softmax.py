"""softmax and its logarithm: the definition where that can be computed, and the tails where it cannot."""

import numpy as np
from hypothesis import given
from support import assert_close

import minigan as mg

from .cases import CASES


@given(CASES["softmax"])
def test_they_are_their_definitions(call):
    (x,), axis = call.arguments(), call.attributes["axis"]
    expected = np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)
    assert_close(mg.ops.softmax(x, axis).numpy(), expected, 1e-14)  # a sum of at most 3 terms and a division
    assert_close(mg.ops.log_softmax(x, axis).numpy(), np.log(expected), 1e-14)  # and a logarithm


def test_nothing_overflows_and_small_logarithms_are_kept():
    x = np.array([1000.0, 0.0, -1000.0])
    np.testing.assert_array_equal(mg.ops.softmax(x).numpy(), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(mg.ops.log_softmax(x).numpy(), [0.0, -1000.0, -2000.0])
