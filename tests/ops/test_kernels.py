"""What the NumPy backend computes in its own way equals the plain form: kernels, and fused gradient rules."""

import random
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from support import arriving_at, arriving_laid_out, assert_close, gamma, laid_out, positive, rngs

from minigan.autodiff.registry import OPS
from minigan.backends import filtering, passes, pool
from minigan.backends.numpy import NUMPY, PATCH_BYTES
from minigan.backends.passes import ADAM_BLOCK, BLOCK
from minigan.backends.plain import PlainKernels

from .cases import CASES
from .kernel_support import PLAIN, PRECISIONS, assert_same_gradients, data, drawn, fast_and_plain

WITHOUT_AN_OP = {"adam"}

LOOPS = {"numpy": passes}
if NUMPY.compiled is not passes:
    LOOPS["compiled"] = NUMPY.compiled


@contextmanager
def ways(draw, loops=tuple(LOOPS)):
    """A block in which the backend works in a drawn way, and small arrays are cut and counted as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(NUMPY), "compiled", LOOPS[draw(st.sampled_from(loops), "loops")])
        patch.setattr(pool._pool, "size", draw(st.integers(1, 3), "threads"))
        patch.setattr("minigan.backends.numpy.LARGE", draw(st.sampled_from([1, 3, 1 << 14]), "LARGE"))
        patch.setattr("minigan.backends.numpy.RUN", draw(st.sampled_from([1, 32]), "RUN"))
        patch.setattr(pool._pool, "serving", draw(st.booleans(), "serving"))
        patch.setattr(
            "minigan.backends.numpy.PATCH_BYTES", draw(st.sampled_from([1, 256, 1024, PATCH_BYTES]), "PATCH_BYTES")
        )
        patch.setattr(passes, "THICK", draw(st.sampled_from([1, 8]), "THICK"))
        patch.setattr(passes, "BLOCK", draw(st.sampled_from([1, 7, BLOCK]), "BLOCK"))
        yield


def test_every_kernel_without_an_op_is_compared_here():
    plain = {name: kernel for name, kernel in vars(PlainKernels).items() if callable(kernel) and name[:2] != "__"}
    callers = [op.kernel for op in OPS.values()] + list(plain.values())
    called = {name for function in callers for name in function.__code__.co_names}
    own = plain.keys() & vars(type(NUMPY)).keys()
    assert own - called == WITHOUT_AN_OP, "a kernel that no op reaches needs a test of its own here"


# astype and to are about dtypes and backends; no kernel is behind them
@pytest.mark.parametrize("name", sorted(set(CASES) - {"astype", "to"}))
@given(data, rngs, PRECISIONS)
def test_kernels_equal_the_plain_ones(name, data, rng, dtype):
    """In parts and blocks that divide the work and that do not, with every kind of inner loops."""
    call, bound = drawn(data, rng, name, dtype)
    with ways(data.draw):
        own = OPS[name].kernel(NUMPY, *call.arguments(), **call.attributes)
    plain = OPS[name].kernel(PLAIN, *call.arguments(), **call.attributes)
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (own, plain)), strict=True):
        assert_close(a, b, bound)
        assert a.dtype == b.dtype


@st.composite
def filtered_geometry(draw):
    """Batch, channels, outputs, size and padding of a 4x4 convolution of stride 2."""
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)), "padding")
    size = tuple(draw(st.integers(max(1, 4 - 2 * p), 19), "side") for p in padding)
    small = tuple((n + 2 * p - 4) // 2 + 1 for n, p in zip(size, padding, strict=True))
    return *(draw(st.integers(1, 3), name) for name in ("batch", "channels", "outputs")), size, small, padding


@pytest.mark.skipif("compiled" not in LOOPS, reason="only compiled loops filter: pip install 'minigan[fast]'")
@given(data, rngs, PRECISIONS, filtered_geometry())
def test_minimal_filtering_equals_the_plain_convolution(data, rng, dtype, geometry):
    n, c, o, size, small, padding = geometry
    x, dy, weight = (rng.uniform(-1, 1, shape).astype(dtype) for shape in ((n, c, *size), (n, o, *small), (o, c, 4, 4)))
    bias = rng.uniform(-1, 1, o).astype(dtype) if data.draw(st.booleans(), "bias") else None
    rest = (2, 2), padding, (1, 1), 1
    calls = {
        "conv2d": (x, weight, bias, small, *rest),
        "conv2d_input_grad": (dy, weight, size, *rest),
        "conv2d_weight_grad": (x, dy, (4, 4), *rest),
    }
    # what the roundings of a sum of so many products, and of the maps around it, may come to, times the sum of the magnitudes of
    # all that is added up, for values of 1 at most: the products of the maps' coefficients add up to 20, 21 and 28 an axis
    tiles = n * filtering.tiles(small)[0] * filtering.tiles(small)[1]
    bounds = {
        name: magnitude * terms * gamma(terms + 20, dtype)
        for name, magnitude, terms in zip(calls, (20**2, 21**2, 28**2), (4 * c, o, tiles), strict=True)
    }
    for name, arguments in calls.items():
        with ways(data.draw, ["compiled"]), pytest.MonkeyPatch.context() as patch:
            patch.setattr(filtering, "CHANNELS", 1)
            patch.setattr(filtering, "ROWS", data.draw(st.sampled_from([1, 2, 3]), "ROWS"))
            serving = filtering.serves((o, c, 4, 4), x, dy, small, rest)
            own = getattr(NUMPY, name)(*arguments)
        assert serving
        plain = getattr(PLAIN, name)(*arguments)
        assert own.dtype == plain.dtype
        assert_close(own, plain, bounds[name])


every_fast_rule = pytest.mark.parametrize(("name", "inputs"), sorted(NUMPY.fast_rules))


@every_fast_rule
@given(data, rngs, PRECISIONS)
def test_fast_rules_equal_the_plain_ones(name, inputs, data, rng, dtype):
    call, bound = drawn(data, rng, name, dtype)
    arriving = [arriving_laid_out(data.draw, g, rng) for g in arriving_at(call, rng)]
    with ways(data.draw):
        fast, plain = fast_and_plain(NUMPY, name, inputs, call, arriving)
    assert_same_gradients(inputs, call, fast, plain, bound)


@every_fast_rule
def test_no_fast_rule_always_declines(name, inputs, monkeypatch):
    """It may for rare settings, or for small arrays; then the plain rule serves."""
    monkeypatch.setattr("minigan.backends.numpy.LARGE", 1)

    def served(call):
        return fast_and_plain(NUMPY, name, inputs, call, arriving_at(call, np.random.default_rng(0)))[0] is not None

    find(CASES[name], served, settings=settings(database=None, phases=[Phase.generate]), random=random.Random(0))


@given(
    data,
    rngs,
    PRECISIONS,
    st.sampled_from([1, 7, ADAM_BLOCK - 1, ADAM_BLOCK, ADAM_BLOCK + 1, 2 * ADAM_BLOCK + 3]),
    st.sampled_from([(0.9, 0.999), (0.5, 0.999), (0.0, 0.9)]),
    st.sampled_from([1, 2, 1000]),
)
def test_adam_equals_the_plain_one(data, rng, dtype, size, betas, step):
    value, grad, m = (rng.standard_normal(size).astype(dtype) for _ in range(3))
    v = positive(rng, (size,)).astype(dtype)
    results = []
    for xp in (NUMPY, PLAIN):
        state = [a.copy() for a in (value, m, v)]
        given_grad = grad.copy()
        with ways(data.draw):
            assert xp.adam(state[0], given_grad, *state[1:], 1e-3, betas, 1e-8, step) is None
        np.testing.assert_array_equal(given_grad, grad)
        results.append(state)
    for own, plain in zip(*results, strict=True):
        assert_close(own, plain, 8 * np.finfo(dtype).eps)  # the same eight operations, in another order
        assert own.dtype == np.dtype(dtype)
    assert not np.array_equal(results[0][0], value)


@given(data, rngs, PRECISIONS)
def test_where_chooses_bit_by_bit(data, rng, dtype):
    """Numbers or arrays in any layout; infinities, NaN and the sign of zero come through."""
    shape = data.draw(st.sampled_from([(7,), (3, 4), (2, 3, 2, 2)]), "shape")
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.5], dtype)

    def chosen(name):
        value = rng.choice(special, shape)
        return float(value.flat[0]) if data.draw(st.booleans(), name) else laid_out(data.draw, value, rng)

    condition = laid_out(data.draw, rng.random(shape) > 0.5, rng)
    a, b = chosen("a"), chosen("b")
    with ways(data.draw):
        own = NUMPY.where(condition, a, b)
    plain = np.where(condition, a, b)
    assert own.dtype == plain.dtype
    np.testing.assert_array_equal(own, plain)
    np.testing.assert_array_equal(np.signbit(own), np.signbit(plain))


@pytest.mark.parametrize("op", ["leaky_relu", "relu", "batch_norm_train"])
@pytest.mark.parametrize("kind", ["byte order", "alignment"])
def test_arrays_that_compiled_loops_cannot_read_are_no_different(op, kind, monkeypatch):
    monkeypatch.setattr("minigan.backends.numpy.LARGE", 1)
    x = np.random.default_rng(0).standard_normal((6, 5)).astype("float32")
    odd = x.astype(">f4") if kind == "byte order" else np.frombuffer(b" " + x.tobytes(), "f4", offset=1).reshape(6, 5)
    results = [OPS[op].kernel(NUMPY, a, **OPS[op].attributes) for a in (x, odd)]
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in results), strict=True):
        assert_close(np.asarray(b, "float32"), a, 8 * gamma(8, "float32"))  # another order of summation


def test_what_replaces_a_function_of_numpys_takes_its_options_too():
    """Users' ops call them as they know them."""
    x, out = np.arange(6.0).reshape(2, 3), np.empty((2, 2))
    np.testing.assert_array_equal(NUMPY.reshape(x, (3, 2), order="F"), np.reshape(x, (3, 2), order="F"))
    assert NUMPY.matmul(x, x.T, out=out) is out
    np.testing.assert_array_equal(out, x @ x.T)
    np.testing.assert_array_equal(NUMPY.where(x > 2), np.where(x > 2))
    assert NUMPY.empty((300, 300), order="F").flags.f_contiguous
