"""Layouts keep values, and lie in memory as their names say."""

import numpy as np
import pytest
from drawing import lies
from hypothesis import given, settings
from hypothesis import strategies as st

from minigan import backends
from minigan.testing import LAYOUTS, arrays, shapes

DTYPES = ["float64", "float32", "float16", "int64", "int8", "uint8", "bool"]
rngs = st.builds(np.random.default_rng, st.integers(0, 2**32 - 1))


@pytest.mark.host
@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=200)
@given(st.data(), shapes(), rngs)
def test_a_layout_keeps_shape_dtype_and_values(name, data, shape, rng):
    a = data.draw(arrays(shape, data.draw(st.sampled_from(DTYPES))))
    before = a.copy()
    b = LAYOUTS[name](a, rng)
    assert (b.shape, b.dtype, type(b)) == (a.shape, a.dtype, np.ndarray)
    assert lies(name, b)
    assert not np.shares_memory(a, b)
    assert a.tobytes() == before.tobytes()
    if name != "broadcast":
        assert np.array_equal(a, b)
    elif a.size and a.ndim:  # one number along the axis of channels, the first
        axis = min(1, a.ndim - 1)
        assert np.array_equal(b, np.repeat(a.take([0], axis), a.shape[axis], axis))


@pytest.mark.parametrize("name", LAYOUTS)
@given(arrays(shapes(), layout="C"), rngs)
def test_layouts_of_the_backend_s_own_arrays(name, a, rng):
    here = backends.current()
    b = LAYOUTS[name](here.from_host(a), rng)
    assert backends.of(b) is here
    assert name == "broadcast" or np.array_equal(here.to_host(b), a)
    assert name == "read-only" or lies(name, LAYOUTS[name](a, rng))


@pytest.mark.host
@pytest.mark.parametrize("dtype", DTYPES)
@given(st.data(), shapes(max_dims=3), rngs)
def test_strided_arrays_lie_among_poison(dtype, data, shape, rng):
    a = data.draw(arrays(shape, dtype, layout="C"))
    b = LAYOUTS["strided"](a, rng)
    memory = b
    while memory.base is not None:
        memory = memory.base
    poison = {"f": np.isnan, "b": np.asarray}.get(a.dtype.kind, lambda m: m == np.iinfo(dtype).max)(memory)
    own = np.count_nonzero(a) if dtype == "bool" else 0  # of the other dtypes no array drawn here has it
    assert np.count_nonzero(poison) == memory.size - a.size + own
    assert memory.size >= (a.size and 2 * a.size + 1)
