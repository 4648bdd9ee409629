"""Strategies keep what they promise: margins, shapes, every setting reached, nothing thrown away, short cases."""

import inspect
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from drawing import collect, lies, simplest, spread_of
from hypothesis import given, settings
from hypothesis import strategies as st

import minigan as mg
from minigan.testing import LAYOUTS, arrays, conv_geometry, layer_strategies, shapes, strategies
from minigan.testing.strategies import MARGIN, SMALL

many = settings(max_examples=200)


# -- arrays -----------------------------------------------------------------------------------------------------------


@pytest.mark.host
@many
@given(st.data(), shapes(), st.sampled_from(["float64", "float32", "float16"]), st.booleans())
def test_floats_keep_away_from_kinks(data, shape, dtype, unique):
    kinks = data.draw(st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.3, math.pi / 2, 6.0]) | st.floats(-2, 2), max_size=3))
    a = data.draw(arrays(shape, dtype, kinks, unique))
    assert (a.shape, a.dtype) == (shape, dtype)
    assert np.all(np.abs(a) <= 2)
    distances = np.abs(np.subtract.outer(a.astype("float64"), kinks))
    assert distances.min(initial=np.inf) >= MARGIN
    assert unique or np.array_equal(a * 8, np.round(a * 8))  # multiples of 1/8: they print short


@pytest.mark.parametrize("magnitude", [0.25, 1.0, 3.0, 100.0])
@given(st.data())
def test_the_magnitude_bounds_values(magnitude, data):
    a = data.draw(arrays((4, 5), magnitude=magnitude))
    assert np.all(np.abs(a) <= magnitude)
    assert np.all(np.abs(a) >= MARGIN)


@many
@given(st.data(), shapes(max_side=6), st.sampled_from(["float64", "float32"]))
def test_unique_floats_are_apart(data, shape, dtype):
    a = data.draw(arrays(shape, dtype, unique=True))
    # a step is halved when fewer than n of its multiples lie in two stretches of 1.9, so 2 * 1.9 / (2 step) - 2 < n
    assert spread_of(a) >= min(1 / 8, 1.9 / (a.size + 2))
    assert a.size > 32 or spread_of(a) >= 1 / 8


@many
@given(st.data(), shapes(), st.sampled_from(["int64", "int8", "uint8", "uint64"]), st.booleans())
def test_integers(data, shape, dtype, unique):
    a = data.draw(arrays(shape, dtype, unique=unique, magnitude=3))
    assert (a.shape, a.dtype) == (shape, dtype)
    assert len(set(a.ravel().tolist())) == a.size or not unique
    most = max(3, (a.size - 1 if a.dtype.kind == "u" else a.size // 2) if unique else 0)
    assert all(-most <= v <= most for v in a.ravel().tolist())


@pytest.mark.host
def test_every_value_of_the_small_dtypes_is_drawn():
    drawn = lambda **options: {v for a in collect(arrays((20,), layout="C", **options), 400) for v in a.tolist()}
    assert drawn(dtype="bool") == {False, True}
    assert drawn(dtype="uint8") == {0, 1, 2}
    assert drawn(dtype="int8", magnitude=100) == set(range(-100, 101))
    assert drawn(dtype="float32") == {k / 8 for k in range(-16, 17)} - {0}
    assert drawn(kinks=()) == {k / 8 for k in range(-16, 17)}


@pytest.mark.parametrize("name", LAYOUTS)
@given(st.data())
def test_arrays_in_a_layout(name, data):
    assert lies(name, data.draw(arrays(shapes(), layout=name)))
    if name != "broadcast":
        a = data.draw(arrays(shapes(max_dims=3), unique=True, layout=name))
        assert lies(name, a)
        assert spread_of(a) > 0


def test_any_layout_is_every_layout():
    """By what only that layout does to an array of two long axes."""
    only = {
        "C": lambda a: a.flags.c_contiguous and a.flags.writeable,
        "F": lambda a: a.flags.f_contiguous and a.base is None,
        "permuted": lambda a: a.flags.f_contiguous and a.base is not None,
        "strided": lambda a: min(a.strides) >= 16,
        "negative-stride": lambda a: min(a.strides) < 0,
        "broadcast": lambda a: min(a.strides) == 0,
        "read-only": lambda a: a.flags.c_contiguous and not a.flags.writeable,
    }
    reached = lambda found: {name for name, test in only.items() if any(map(test, found))}
    assert reached(collect(arrays((2, 3)), 200)) == set(LAYOUTS)
    assert reached(collect(arrays((2, 3), unique=True), 200)) == set(LAYOUTS) - {"broadcast"}


@pytest.mark.host
def test_shapes_reach_their_bounds():
    found = collect(shapes())
    assert {len(s) for s in found} == {0, 1, 2, 3, 4}
    assert {n for s in found for n in s} == {0, 1, 2, 3, 4}
    assert all(len(s) == 2 and set(s) <= {3, 4} for s in collect(shapes(2, 2, 3, 4), 50))


@settings(max_examples=10)
@given(arrays((200, 300), layout="C"), arrays((200, 300), unique=True))
def test_large_arrays(a, b):
    assert (a.shape, b.shape) == ((200, 300), (200, 300))
    assert set(np.unique(a)) <= {k / 8 for k in range(-16, 17)} - {0}
    blocks = a.ravel()[: 2 * SMALL].reshape(2, SMALL)
    assert np.all(a == 1) or not np.array_equal(*blocks)  # they don't repeat what was drawn
    assert spread_of(b) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "diagonal"}, "unknown layout 'diagonal'; there is: any, C, F"),
        ({"layout": "broadcast", "unique": True}, "repeats values"),
        ({"dtype": "complex64"}, "floats, integers or booleans, got complex64"),
        ({"magnitude": 0}, "magnitude must be positive"),
        ({"magnitude": math.inf}, "magnitude must be positive"),
        ({"magnitude": 1e6, "dtype": "float16"}, "a number that float16 has"),
        ({"kinks": np.arange(-2, 2.1, 0.1)}, "float64 has no 1 different values within ±2.0 and 0.1 from the kinks"),
        ({"magnitude": 0.05}, "use a larger magnitude"),
    ],
)
def test_arrays_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        arrays((2,), **options)


@pytest.mark.parametrize(("dtype", "count"), [("bool", 3), ("int8", 257), ("float16", 5000)])
@given(st.data())
def test_more_different_values_than_a_dtype_has(dtype, count, data):
    with pytest.raises(ValueError, match=f"{dtype} has no {count} different values"):
        data.draw(arrays((count,), dtype, unique=True))


# -- convolutions -----------------------------------------------------------------------------------------------------

KINDS = pytest.mark.parametrize("transposed", [False, True], ids=["conv2d", "conv_transpose2d"])


def both(value):
    return value if isinstance(value, tuple) else (value, value)


@KINDS
@pytest.mark.parametrize("ndim", [1, 2])
@many
@given(st.data())
def test_the_op_gives_the_shape_that_the_geometry_implies(transposed, ndim, data):
    g = data.draw(conv_geometry(ndim, transposed))
    op = mg.ops.conv_transpose2d if transposed else mg.ops.conv2d
    x, weight = mg.tensor(np.ones(g.x_shape)), mg.tensor(np.ones(g.weight_shape))
    bias = g.bias_shape and mg.tensor(np.ones(g.bias_shape))
    assert op(x, weight, bias, **g.options).shape == g.output_shape
    assert min(g.output_shape[1:]) > 0
    assert g.bias_shape in (None, g.output_shape[1:2])
    if ndim == 1:
        assert {g.x_shape[2], g.weight_shape[2], g.output_shape[2]} == {1}


@pytest.mark.host
@KINDS
def test_every_setting_is_reached(transposed):
    found = collect(conv_geometry(transposed=transposed))
    for axis in (0, 1):
        values = lambda name, axis=axis: {both(g.options[name])[axis] for g in found}
        assert values("stride") == {1, 2, 3}
        assert values("padding") == {0, 1, 2}
        assert values("dilation") == {1, 2, 3}
        assert not transposed or values("output_padding") == {0, 1, 2}
        assert {g.weight_shape[2 + axis] for g in found} == {1, 2, 3}
    assert {g.options["groups"] for g in found} == {1, 2}
    assert {g.x_shape[0] for g in found} == {0, 1, 2, 3}
    assert {g.bias_shape is None for g in found} == {False, True}
    assert {g.weight_shape[2] == g.weight_shape[3] for g in found} == {False, True}
    assert {type(g.options["stride"]) for g in found} == {int, tuple}
    assert {g.x_shape[1] == g.output_shape[1] for g in found} == {False, True}
    small = [(g.x_shape if transposed else g.output_shape)[2:] for g in found]
    assert {min(size) > 1 for size in small} == {False, True}  # several windows, and a single one
    if transposed:  # output_padding of a stride or more, which only dilation allows
        assert any(both(g.options["output_padding"])[0] >= both(g.options["stride"])[0] for g in found)
    else:
        assert {rest(g) for g in found} >= {0, 1, 2}
        plain = [g for g in found if g.options["padding"] == 0]
        assert any(rest(g) and min(g.output_shape[2:]) > 1 for g in plain)


def rest(g):
    """Rows at the end of the padded image that no window reaches."""
    stride, padding, dilation = (both(g.options[name])[0] for name in ("stride", "padding", "dilation"))
    last = (g.output_shape[2] - 1) * stride + dilation * (g.weight_shape[2] - 1)
    return g.x_shape[2] + 2 * padding - 1 - last


@KINDS
def test_without_groups(transposed):
    assert {g.options["groups"] for g in collect(conv_geometry(transposed=transposed, groups=False), 50)} == {1}


@pytest.mark.parametrize("ndim", [0, 3])
def test_other_dimensions_are_refused(ndim):
    with pytest.raises(ValueError, match=f"ndim must be 2, or 1 for images of height 1, got {ndim}"):
        conv_geometry(ndim)


# -- nothing thrown away, and short cases -----------------------------------------------------------------------------


@pytest.mark.parametrize("module", [strategies, layer_strategies])
def test_nothing_is_filtered(module):
    """Also not by hypothesis: its sets, dictionaries and unique lists throw away."""
    throws = r"assume\(|filter\(|reject\(|st\.(?:sets|frozensets|dictionaries)|st\.\w+\([^)]*unique"
    assert re.findall(throws, inspect.getsource(module)) == []


@pytest.mark.host
def test_arrays_shrink_to_the_simplest():
    a = simplest(arrays(shapes()), lambda a: a.size > 0)
    assert (a.shape, a.tolist()) == ((), 1.0)
    assert a.flags.c_contiguous
    assert a.flags.writeable
    assert simplest(arrays((2, 2), kinks=()), lambda a: True).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert simplest(arrays((3,), "int8"), lambda a: True).tolist() == [0, 0, 0]
    assert simplest(arrays((4,), unique=True), lambda a: True).tolist() == [1.0, -1.0, 2.0, -2.0]


@pytest.mark.host
@pytest.mark.parametrize("unique", [False, True])
def test_the_shape_shrinks_before_the_values(unique):
    """Also where the values that matter lie anywhere, and the arrays that were found first are large."""
    strategy = arrays(shapes(max_side=9), unique=unique)
    a = simplest(strategy, lambda a: a.ndim == 2 and min(a.shape) > 1 and len(set(a.ravel().tolist())) > 2)
    assert a.shape == (2, 2)
    assert set(a.ravel().tolist()) <= {1.0, -1.0, 2.0, -2.0}


@pytest.mark.host
def test_elements_shrink_one_by_one():
    a = simplest(arrays((4, 4)), lambda a: a[1, 2] < 0 and a[3, 3] > 1)
    expected = np.ones((4, 4))
    expected[1, 2], expected[3, 3] = -1, 2
    assert np.array_equal(a, expected)


@st.composite
def convolutions(draw, transposed):
    g = draw(conv_geometry(transposed=transposed))
    return g, draw(arrays(g.x_shape)), draw(arrays(g.weight_shape))


@KINDS
def test_a_geometry_shrinks_to_the_least_then_its_values_are_short(transposed):
    """A bug of stride 2 in height alone, which shows in any values."""
    op = mg.ops.conv_transpose2d if transposed else mg.ops.conv2d

    def fails(case):
        g, *inputs = case
        return both(g.options["stride"])[0] == 2 and op(*map(mg.tensor, inputs), **g.options).numpy().any()

    g, x, weight = simplest(convolutions(transposed), fails)
    assert g.options == {**dict.fromkeys(g.options, 1), "stride": (2, 1), "padding": 0} | (
        {"output_padding": 0} if transposed else {}
    )
    assert g.bias_shape is None
    assert (x.tolist(), weight.tolist()) == ([[[[1.0]]]], [[[[1.0]]]])


# -- without hypothesis -----------------------------------------------------------------------------------------------


@pytest.mark.host
@pytest.mark.parametrize("name", ["arrays", "layers"])
def test_the_strategies_say_what_to_install(name):
    code = f"""
import sys
sys.modules["hypothesis"] = None
import minigan.testing
print(sorted(minigan.testing.LAYOUTS)[:2], hasattr(minigan.testing, "nonsense"))
from minigan.testing import {name}
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "['C', 'F'] False"
    assert (
        'ImportError: the strategies of minigan.testing need hypothesis: pip install "minigan[testing]"'
        in result.stderr
    )


@pytest.mark.host
def test_importing_minigan_testing_loads_no_hypothesis():
    code = (
        "import sys, minigan.testing as t; print('hypothesis' in sys.modules, 'arrays' in dir(t), t.shapes.__module__)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True", "minigan.testing.strategies"]
