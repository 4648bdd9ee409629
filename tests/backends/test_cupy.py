"""The CuPy backend as far as it can be proved without a GPU: what it asks of CuPy exists, and what is missing is said."""

import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigan as mg
from minigan import backends
from minigan.backends import cupy as backend
from minigan.backends.device import DeviceBackend
from minigan.errors import BackendError
from minigan.testing import STRICT
from minigan.testing.strict import cupy_api

PACKAGE = Path(mg.__file__).parent
ROOMS = ["ops", "nn", "optim", "gan", "autodiff", "backends/plain.py", "backends/device.py", "backends/base.py"]
OWN = {name for name in dir(DeviceBackend) if not name.startswith("__")} | {
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


# -- what is missing is said, with the command that mends it -----------------------------------------------------------


def fake(version="14.0.0", count=None, error=None):
    """A module that stands for CuPy with so many GPUs, or the error that asking for them gives."""

    class CUDARuntimeError(RuntimeError):
        pass

    def count_devices():
        if error:
            raise CUDARuntimeError(error)
        return count

    runtime = SimpleNamespace(getDeviceCount=count_devices, CUDARuntimeError=CUDARuntimeError)
    return SimpleNamespace(__version__=version, cuda=SimpleNamespace(runtime=runtime), ndarray=type("ndarray", (), {}))


@pytest.mark.parametrize(
    ("module", "parts"),
    [
        (None, ["cannot be imported", "pip install 'minigan[cuda12]'", "minigan[cuda13]"]),
        (fake("13.6.0", 1), ["CuPy 14 or newer", "13.6.0", "pip install 'minigan[cuda12]'"]),
        (
            fake(error="driver version is insufficient"),
            ["driver version is insufficient", "nvidia-smi", "minigan[cuda12]"],
        ),
        (fake(count=0), ["no GPU", "backend 'numpy'"]),
    ],
)
def test_what_is_missing_is_named(module, parts, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.delitem(backends._by_name, "cupy", raising=False)
    before = backends.current()
    with pytest.raises(BackendError) as caught:
        mg.set_backend("cupy")
    assert all(part in str(caught.value) for part in parts), caught.value
    assert backends.current() is before


def test_with_a_gpu_the_backend_is_found_once(monkeypatch):
    module = fake(count=1)
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(backends, "_by_name", dict(backends._by_name))
    monkeypatch.setattr(backends, "by_type", dict(backends.by_type))
    backends._by_name.pop("cupy", None)
    found = backends.get("cupy")
    assert isinstance(found, backend.CuPyBackend)
    assert backends.get("cupy") is found
    assert backends.by_type[module.ndarray] is found


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
