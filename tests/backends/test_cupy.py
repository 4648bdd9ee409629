"""The CuPy backend as far as it can be proved without a GPU: what it asks of CuPy exists."""

import ast
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_support import parameters
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigan as mg
from minigan.backends.cuda.launching import MODULE_OF
from minigan.backends.cuda.source import code
from minigan.backends.cupy import CuPyBackend
from minigan.testing import STRICT
from minigan.testing.strict import cupy_api

PACKAGE = Path(mg.__file__).parent
ROOMS = [
    "ops",
    "nn",
    "optim",
    "gan",
    "autodiff",
    "backends/plain.py",
    "backends/device.py",
    "backends/base.py",
    "backends/cuda",
]
OWN = {name for name in dir(CuPyBackend) if not name.startswith("__")} | {
    "name",
    "module",
    "array_type",
    "fast_rules",
}

# -- every function and keyword exists in CuPy -------------------------------------------------------------------------


def asked(source, receivers):
    """(function, number of positional arguments, keywords) of every call of an array module's function."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) in receivers
        ):
            yield node.func.attr, len(node.args), [k.arg for k in node.keywords]


def calls():
    for room in ROOMS:
        path = PACKAGE / room
        for file in [path] if path.is_file() else path.rglob("*.py"):
            receivers = (
                {"xp", "self"} if room.startswith("backends") else {"xp", "self._home", "output._home", "like._home"}
            )
            for call in asked(file.read_text(), receivers):
                yield f"{room}: {call[0]}", call


def fault(name, positional, keywords):
    """What CuPy would not take, or None."""
    if name in OWN or name in cupy_api()["constants"]:
        return None
    accepted = cupy_api()["functions"].get(name)
    if accepted is None:
        return f"CuPy has no {name}"
    many = any(p.startswith("*") for p in accepted)
    unknown = [k for k in keywords if k not in accepted and "**kwargs" not in accepted]
    return f"{name} takes {accepted}" if unknown or (positional > len(accepted) and not many) else None


def test_every_function_and_keyword_that_minigan_asks_for_exists_in_cupy():
    found = list(calls())
    assert {"tanh", "take_along_axis", "argsort", "where", "result_type"} <= {call[0] for _, call in found}
    assert [f"{where}: {text}" for where, call in found if (text := fault(*call))] == []


def test_the_check_sees_what_cupy_lacks():
    source = "xp.insert(a, 0, 1); xp.sum(a, where=m); xp.tanh(a, out=b); xp.clip(1, 2, 3, 4, 5)"
    assert [bool(fault(*call)) for call in asked(source, {"xp"})] == [True, True, False, True]


def test_the_committed_list_is_what_cupy_offers():
    pytest.importorskip("cupy", exc_type=ImportError)
    from minigan.testing.make_cupy_api import api

    ours, theirs = cupy_api(), api()
    if ours["version"] != theirs["version"]:
        pytest.skip(f"the list is of CuPy {ours['version']}, installed is {theirs['version']}")
    assert ours == theirs


# -- additions without atomics ----------------------------------------------------------------------------------------


@given(st.data())
def test_scatter_add_on_a_device_is_numpys(data):
    """Whole numbers, so that sums are exact; indices with repeats, masks, slices, several arrays, none at all."""
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    mask = np.random.default_rng(data.draw(st.integers(0, 99))).random(shape) < 0.5
    several = hnp.integer_array_indices(shape, result_shape=st.sampled_from([(0,), (1,), (7,), (3, 5)]))
    index = data.draw(st.one_of(several, hnp.basic_indices(shape), st.just(mask)))
    x = np.random.default_rng(0).integers(-9, 9, np.zeros(shape)[index].shape).astype("float32")
    expected = np.zeros(shape, "float32")
    np.add.at(expected, index, x)
    found = STRICT.scatter_add(STRICT.from_host(x), STRICT.indices(index), shape)
    assert np.array_equal(STRICT.to_host(found), expected)


# -- kernels are launched as CuPy launches them ------------------------------------------------------------------------


class Cupy(SimpleNamespace):
    """CuPy as far as a launch needs it, on NumPy's arrays; `launched` has what came."""

    ndarray = np.ndarray

    def __init__(self):
        super().__init__(launched=[], compiled=[])

    def __getattr__(self, name):
        return getattr(np, name)

    def RawModule(self, code, options):
        self.compiled.append((code, options))
        names = {kernel: lambda *given, kernel=kernel: self.launched.append((kernel, *given)) for kernel in MODULE_OF}
        return SimpleNamespace(get_function=names.__getitem__)


@pytest.mark.host
def test_a_kernels_arguments_are_of_the_sizes_that_it_expects():
    """CuPy copies what it is given as it is: an integer of the wrong size would shift all that come after."""
    cupy = Cupy()
    xp = CuPyBackend(cupy)
    x, weight = np.ones((2, 3, 5, 5), "float32"), np.ones((4, 3, 3, 3), "float32")
    for _ in range(2):
        xp.conv2d(x, weight, None, (3, 3), (1, 1), (0, 0), (1, 1), 1)
        xp.leaky_relu(x, 0.2)
        xp.batch_norm(x, None, x[0, :, 0, 0], 1e-5)
    assert [len(cupy.compiled), len({options for _, options in cupy.compiled})] == [3, 1]  # each module once
    assert {"conv2d", "leaky_relu", "batch_norm"} <= {name for name, *_ in cupy.launched}
    sizes = {"int": np.int32, "Index": np.int64, "double": np.float64}
    for name, blocks, threads, values in cupy.launched:
        assert threads == (256, 1, 1)
        assert all(type(b) is int and b > 0 for b in blocks)
        for parameter, value in zip(parameters(name, code(MODULE_OF[name])), values, strict=True):
            kind = parameter.rsplit(" ", 1)[0]
            if kind.endswith("*"):
                assert isinstance(value, np.ndarray) or (type(value) is np.uintp and value == 0), (name, parameter)
            else:
                assert type(value) is sizes[kind], (name, parameter, value)


@pytest.mark.host
@given(hnp.array_shapes(min_dims=0, max_dims=4, max_side=3), st.data())
def test_what_comes_from_the_host_lies_as_it_did(shape, data):
    """CuPy's `array` makes C order of all but Fortran's: images and weights would lose theirs, and be copied at each step."""
    order = data.draw(st.permutations(range(len(shape))))
    given = np.arange(np.prod(shape, dtype=int)).reshape(shape).transpose(order)
    cupy = Cupy()
    cupy.array = lambda a: np.array(a, order="F" if a.flags.fnc else "C")
    moved = CuPyBackend(cupy).from_host(given)
    np.testing.assert_array_equal(moved, given)
    long = [axis for axis in range(given.ndim) if given.shape[axis] > 1]  # strides of the others say nothing
    assert [moved.strides[axis] for axis in long] == [given.strides[axis] for axis in long]


@pytest.mark.host
def test_the_precision_is_part_of_what_is_compiled():
    cupy = Cupy()
    xp = CuPyBackend(cupy)
    for xp.precision in ("fp32", "tf32", "fp32"):
        xp.matmul(np.ones((2, 2), "float32"), np.ones((2, 2), "float32"))
    assert [("-DTF32" in options) for _, options in cupy.compiled] == [False, True]
