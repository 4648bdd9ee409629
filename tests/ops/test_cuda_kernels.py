"""The CUDA kernels equal the plain ones: the same sources, run thread by thread on the CPU."""

import numpy as np
import pytest
from cuda_support import COMPILER, SimulatedBackend
from hypothesis import given
from hypothesis import strategies as st
from support import arriving_at, arriving_laid_out, assert_close, gamma, laid_out, positive, rngs

from minigan.autodiff.registry import OPS
from minigan.backends.cuda import kernels
from minigan.backends.cuda.rules import FAST_RULES
from minigan.backends.plain import PlainKernels
from minigan.ops.conv import small_side

from .cases import CASES
from .kernel_support import PLAIN, PRECISIONS, assert_same_gradients, data, drawn, fast_and_plain

pytestmark = [pytest.mark.host, pytest.mark.skipif(COMPILER is None, reason="g++ on Linux compiles the kernels here")]
CUDA = SimulatedBackend()
PLAIN_ONES = {name: kernel for name, kernel in vars(PlainKernels).items() if callable(kernel) and name[0] != "_"}
OWN = {name for name, kernel in PLAIN_ONES.items() if getattr(kernels.CudaKernels, name) is not kernel}
OWN |= {"matmul", "tanh"}
CALLED = sorted(name for name in CASES if OWN & set(OPS[name].kernel.__code__.co_names))
SIZES = st.sampled_from([1, 2, 15, 16, 17, 63, 64, 65, 130])  # about the sides of a block's part of a product
LONG = st.sampled_from([1, 16, 17, 64, 200, 513])  # what is summed, in one share or more

every_fast_rule = pytest.mark.parametrize(("name", "inputs"), sorted(FAST_RULES))


@pytest.fixture(autouse=True)
def launched(monkeypatch):
    """The kernels that a test launched; rows are cut into chunks as large ones are."""
    names, launch = [], CUDA.launch
    monkeypatch.setattr(kernels, "CHUNK", 3)
    monkeypatch.setattr(CUDA, "launch", lambda kernel, *rest: (names.append(kernel), launch(kernel, *rest)))
    return names


def uniform(rng, *shape, dtype, data=None):
    """Numbers in [-1, 1], with `data` in any memory layout."""
    x = rng.uniform(-1, 1, shape).astype(dtype)
    return x if data is None else laid_out(data.draw, x, rng)


def test_every_kernel_is_compared_here():
    called = {name for op in OPS.values() for name in op.kernel.__code__.co_names}
    assert OWN - called == {"adam", "fold", "running_statistics"}, (
        "a kernel that no op reaches needs a test of its own here"
    )
    assert {"conv2d", "conv_transpose2d", "conv2d_weight_grad", "batch_norm_train", "embedding"} & set(CASES) <= set(
        CALLED
    )


@pytest.mark.parametrize("name", CALLED)
@given(data, rngs, PRECISIONS)
def test_kernels_equal_the_plain_ones(name, data, rng, dtype):
    call, bound = drawn(data, rng, name, dtype)
    own = OPS[name].kernel(CUDA, *call.arguments(), **call.attributes)
    plain = OPS[name].kernel(PLAIN, *call.arguments(), **call.attributes)
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (own, plain)), strict=True):
        assert_close(a, b, bound)
        assert a.dtype == b.dtype


@pytest.mark.parametrize("name", CALLED)
@given(data)
def test_arrays_of_several_dtypes(name, data):
    """A kernel has one dtype; where arrays have two, the plain one serves."""
    call = data.draw(CASES[name]).map(lambda a: a.astype(data.draw(PRECISIONS)))
    own = OPS[name].kernel(CUDA, *call.arguments(), **call.attributes)
    plain = OPS[name].kernel(PLAIN, *call.arguments(), **call.attributes)
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (own, plain)), strict=True):
        assert_close(a, b, 1e-4)  # float32, and a few dozen terms below 8
        assert a.dtype == b.dtype
    for served in (key[1] for key in FAST_RULES if key[0] == name):
        arriving = [g.astype(data.draw(PRECISIONS)) for g in arriving_at(call, np.random.default_rng(0))]
        fast, exact = fast_and_plain(CUDA, name, served, call, arriving)
        if fast is not None:
            for a, b in zip(*((r,) if len(served) == 1 else r for r in (fast, exact)), strict=True):
                assert_close(a, b, 1e-4)


@every_fast_rule
@given(data, rngs, PRECISIONS)
def test_fast_rules_equal_the_plain_ones(name, inputs, data, rng, dtype):
    call, bound = drawn(data, rng, name, dtype)
    arriving = [arriving_laid_out(data.draw, g, rng) for g in arriving_at(call, rng)]
    fast, plain = fast_and_plain(CUDA, name, inputs, call, arriving)
    assert_same_gradients(inputs, call, fast, plain, bound)


@pytest.mark.parametrize(
    ("name", "inputs", "kernel"),
    [
        ("relu", ("x",), "leaky_relu_grad"),
        ("leaky_relu", ("x",), "leaky_relu_grad"),
        ("tanh", ("x",), "tanh_grad"),
        ("linear", ("bias",), "channel_sums"),
        ("conv2d", ("bias",), "channel_sums"),
        ("conv_transpose2d", ("bias",), "channel_sums"),
        ("batch_norm_train", ("x", "weight", "bias"), "batch_norm_grad"),
        ("bce_with_logits", ("x",), "bce_with_logits_grad"),
    ],
)
def test_fast_rules_serve_in_training(name, inputs, kernel, launched):
    """What declined would be right, and slow."""
    dy, x = (uniform(np.random.default_rng(i), 4, 6, 3, 3, dtype="float32") for i in range(2))
    vector, number = dy[0, :, 0, 0], dy[0, 0, 0, 0, None].reshape(())
    given = {
        "relu": (dy, x), "tanh": (dy, x), "leaky_relu": (dy, x, 0.2), "linear": (dy[..., 0, 0], (6,)),
        "conv2d": (dy,), "conv_transpose2d": (dy,),
        "batch_norm_train": (dy, None, None, x, vector, vector, vector), "bce_with_logits": (number, x, 0.9),
    }[name]  # fmt: skip
    assert FAST_RULES[name, inputs](CUDA, *given) is not None
    assert kernel in launched


# -- products larger than a block's part -------------------------------------------------------------------------------


@given(data, rngs, PRECISIONS, SIZES, LONG, SIZES, st.sampled_from([(), (2,), (3, 2)]))
def test_products(data, rng, dtype, m, k, n, batch):
    """In any memory layout, with k in one share or several, and with one matrix for a whole batch."""
    shapes = (*batch, m, k), (*data.draw(st.sampled_from([batch, ()]), "batch of b"), k, n)
    a, b = (uniform(rng, *shape, dtype=dtype, data=data) for shape in shapes)
    own = CUDA.matmul(a, b)
    # every sum is of k products of numbers of 1 at most, in whatever order
    assert_close(own, np.matmul(a.astype("float64"), b).astype(dtype), k * gamma(k + 1, dtype))
    assert own.dtype == np.dtype(dtype)


def test_a_small_product_is_cut_into_shares(launched):
    CUDA.matmul(np.ones((20, 700), "float32"), np.ones((700, 20), "float32"))
    assert launched == ["matmul", "add_up"]


@given(rngs, SIZES, LONG, SIZES)
def test_tf32_is_the_product_of_rounded_numbers(rng, m, k, n):
    a, b = uniform(rng, m, k, dtype="float32"), uniform(rng, k, n, dtype="float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CUDA, "precision", "tf32")
        own = CUDA.matmul(a, b)
    rounded = [(((x.view("u4") + 0x1000) & ~np.uint32(0x1FFF)).view("f4")).astype("float64") for x in (a, b)]
    # products of numbers with ten bits are exact in float32; their sums are rounded as float32's are
    assert_close(own, (rounded[0] @ rounded[1]).astype("float32"), k * gamma(k + 1, "float32"))


@given(data, rngs, PRECISIONS, st.sampled_from(["fp32", "tf32"]))
def test_convolutions_larger_than_a_block(data, rng, dtype, precision):
    pairs = {
        "kernel": st.integers(1, 5), "stride": st.integers(1, 3), "padding": st.integers(0, 3), "dilation": st.integers(1, 3),
        "more": st.integers(0, 9),
    }  # fmt: skip
    kernel, stride, padding, dilation, more = (
        data.draw(st.tuples(sides, sides), name) for name, sides in pairs.items()
    )
    large = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + m for d, k, p, m in zip(dilation, kernel, padding, more, strict=True)
    )
    small = small_side(large, kernel, stride, padding, dilation)
    n, c, o = (data.draw(st.sampled_from(sizes)) for sizes in ([1, 3], [1, 5, 70], [1, 6, 66]))
    shapes = (n, c, *large), (n, o, *small), (o, c, *kernel), (o,)
    x, dy, weight, bias = (uniform(rng, *shape, dtype=dtype, data=data) for shape in shapes)
    rest = stride, padding, dilation, 1
    calls = {
        "conv2d": ((x, weight, bias, small, *rest), c * kernel[0] * kernel[1]),
        "conv2d_input_grad": ((dy, weight, large, *rest), o * kernel[0] * kernel[1]),
        "conv2d_weight_grad": ((x, dy, kernel, *rest), n * small[0] * small[1]),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CUDA, "precision", precision)
        for name, (arguments, terms) in calls.items():
            own, plain = (getattr(xp, name)(*arguments) for xp in (CUDA, PLAIN))
            # sums of numbers of 1 at most; with TF32 each factor is rounded to ten bits of mantissa, by 2^-11 at most
            coarse = 2 * 2.0**-11 * terms if precision == "tf32" and dtype == "float32" else 0
            assert_close(own, plain, (terms + 1) * gamma(terms + 2, dtype) + coarse)
            assert own.dtype == plain.dtype


@given(
    data,
    rngs,
    PRECISIONS,
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 2),
    st.integers(1, 2),
)
def test_patches_and_fold(data, rng, dtype, side, kernel, stride, padding, dilation):
    large = (max(1, dilation * (kernel - 1) + 1 - 2 * padding) + side,) * 2
    rest = [(v, v) for v in (stride, padding, dilation)]
    small = small_side(large, (kernel, kernel), *rest)
    x = uniform(rng, 2, 3, *large, dtype=dtype, data=data)
    windows = CUDA.patches(x, (kernel, kernel), small, *rest)
    np.testing.assert_array_equal(windows, PLAIN.patches(x, (kernel, kernel), small, *rest))
    # at most one window for each tap adds a number of 1 at most
    bound = kernel**2 * gamma(kernel**2, dtype)
    assert_close(CUDA.fold(windows, large, *rest), PLAIN.fold(windows, large, *rest), bound)


@given(data, PRECISIONS, st.sampled_from([(0, 3), (2, 0), (0, 3, 2, 2), (2, 3, 0, 2)]))
def test_nothing_is_launched_for_arrays_of_size_0(data, dtype, shape):
    x = np.zeros(shape, dtype)
    for xp in (CUDA, PLAIN):
        assert xp.relu(x).shape == shape
    np.testing.assert_array_equal(CUDA.channel_sums(x), np.zeros(shape[1:2]))
    for m, k, n in ((0, 2, 3), (2, 0, 3), (2, 3, 0)):
        y = CUDA.matmul(np.zeros((m, k), dtype), np.zeros((k, n), dtype))
        np.testing.assert_array_equal(y, np.zeros((m, n)))


def test_more_matrices_than_a_grid_has_layers():
    a = np.ones((65536, 1, 2), "float32")
    np.testing.assert_array_equal(CUDA.matmul(a, a.transpose(0, 2, 1)), np.full((65536, 1, 1), 2))


@given(rngs, PRECISIONS, st.integers(1, 300))
def test_activations_of_what_is_no_number(rng, dtype, n):
    """Nothing hides that a run has broken."""
    x = rng.choice(np.array([np.nan, np.inf, -np.inf, -0.0, 1.5, -1.5], dtype), n)
    for own, plain in ((CUDA.relu(x), PLAIN.relu(x)), (CUDA.leaky_relu(x, 0.2), PLAIN.leaky_relu(x, 0.2))):
        np.testing.assert_array_equal(own, plain)


# -- the rest ----------------------------------------------------------------------------------------------------------


@given(data, rngs, PRECISIONS, st.integers(2, 400), st.sampled_from([1, 31, 33, 70]), st.floats(-100, 100))
def test_batch_norm_of_many_rows(data, rng, dtype, n, channels, offset):
    """Far from 0, too: squared distances are from each chunk's mean, not from 0."""
    x, dy = (uniform(rng, n, channels, dtype=dtype, data=data) for _ in range(2))
    x = x + np.asarray(offset, dtype)
    weight, bias = (uniform(rng, channels, dtype=dtype, data=data) for _ in range(2))
    exact = [a.astype("float64") for a in (x, weight, bias)]
    y, mean, inv_std = CUDA.batch_norm(x, weight, bias, 1e-2)
    # the mean is off by n roundings of numbers of the offset's size; its error is in every distance, and inv_std is 10 at most
    error = (abs(offset) + 1) * gamma(n + 4, dtype)
    for own, reference, steep in zip((y, mean, inv_std), PLAIN.batch_norm(*exact, 1e-2), (100, 1, 1000), strict=True):
        assert_close(own, reference.astype(dtype), steep * error)
    own = CUDA.batch_norm_grad(dy, x, weight, mean, inv_std)
    centred = (x - mean).astype("float64")
    moment, total = (dy * centred).sum(axis=0), dy.sum(axis=0, dtype="float64")
    scale = inv_std.astype("float64") * weight
    dx = scale * (dy - total / n - centred * inv_std**2 * moment / n)
    for a, b in zip(own, (dx, moment * inv_std, total), strict=True):
        # n products of numbers of 1 and of 2 at most, times inv_std, three times in dx
        assert_close(a, b.astype(dtype), 1000 * n * gamma(n + 8, dtype))


@given(data, rngs, PRECISIONS, st.integers(2, 9), st.floats(0, 1))
def test_running_statistics(data, rng, dtype, count, momentum):
    mean, running_mean, running_var = (uniform(rng, 5, dtype=dtype, data=data) for _ in range(3))
    inv_std = positive(rng, (5,)).astype(dtype)
    given = running_mean, running_var, mean, inv_std, count, momentum, 1e-5
    for own, plain in zip(*(xp.running_statistics(*given) for xp in (CUDA, PLAIN)), strict=True):
        assert_close(own, plain, 16 * np.finfo(dtype).eps)  # a few operations on a variance of 4, doubled, at most
        assert own.dtype == np.dtype(dtype)


@given(data, rngs, PRECISIONS, st.sampled_from([1, 7, 255, 256, 257, 700]), st.sampled_from([1, 2, 1000]))
def test_adam(data, rng, dtype, size, step):
    value, grad, m = (rng.standard_normal(size).astype(dtype) for _ in range(3))
    v, betas = (
        positive(rng, (size,)).astype(dtype),
        data.draw(st.sampled_from([(0.9, 0.999), (0.5, 0.999), (0.0, 0.9)])),
    )
    results = []
    for xp, lr, count in ((CUDA, np.asarray(1e-3, dtype), np.asarray(float(step))), (PLAIN, 1e-3, step)):
        state = [a.copy() for a in (value, m, v)]
        xp.adam(state[0], grad.copy(), *state[1:], lr, betas, 1e-8, count)
        results.append(state)
    for own, plain in zip(*results, strict=True):
        assert_close(own, plain, 8 * np.finfo(dtype).eps)  # the same eight operations, in another order
    assert not np.array_equal(results[0][0], value)


@given(rngs, PRECISIONS, st.integers(1, 700), st.booleans())
def test_cross_entropy_of_any_size(rng, dtype, n, smooth):
    """By one block of 256 threads, each with several logits; huge ones overflow nothing."""
    x = (rng.standard_normal(n) * 10 ** rng.uniform(-2, 3)).astype(dtype)
    target = rng.random(n).astype(dtype) if smooth else 0.9
    own, plain = (xp.bce_with_logits(x, target) for xp in (CUDA, PLAIN))
    # a mean of numbers of the largest logit's size
    assert_close(own, plain, (abs(x).max() + 1) * gamma(n + 8, dtype))
    assert own.shape == ()
    assert own.dtype == np.dtype(dtype)


@given(rngs, PRECISIONS, st.integers(1, 9), st.integers(0, 40), st.sampled_from([(), (3,), (2, 2)]))
def test_rows_are_gathered_where_they_belong(rng, dtype, rows, n, width):
    """Repeated places, negative ones, and rows that nothing belongs to."""
    index, x = (rng.integers(-rows, rows, n),), uniform(rng, n, *width, dtype=dtype)
    own, plain = (xp.scatter_add(x, index, (rows, *width)) for xp in (CUDA, PLAIN))
    assert_close(own, plain, n * gamma(n + 1, dtype))  # in the same order, but for what the compiler does
