"""Two backends side by side: they do not mix, and `to` goes between them."""

import numpy as np
import pytest
from test_bad_input import ones, says, tracked

import minigan as mg
from minigan import backends
from minigan.backends.base import Backend
from minigan.errors import BackendError

# -- backends ---------------------------------------------------------------------------------------------------------


class Foreign(np.ndarray):
    """Arrays of a second backend: NumPy's by another type."""


class ForeignBackend(Backend):
    """NumPy's functions, whose results are of that type whatever NumPy makes of subclasses."""

    def __getattr__(self, name):
        function = getattr(np, name)
        return lambda *args, **attributes: self._own(function(*args, **attributes))

    def _own(self, y):
        return y.view(Foreign) if isinstance(y, np.ndarray) else y

    def array(self, a):
        return np.array(a).view(Foreign)

    def asarray(self, a):
        return np.asarray(a).view(Foreign)

    def from_host(self, array):
        return self.array(array)

    def to_host(self, array):
        return np.array(array)


@pytest.fixture
def foreign(monkeypatch):
    """A backend of that name, for one test."""
    xp = ForeignBackend("foreign", np, Foreign)
    monkeypatch.setitem(backends._by_name, "foreign", xp)
    monkeypatch.setitem(backends.by_type, Foreign, xp)
    return xp


def test_backends_do_not_mix(foreign):
    here, there = tracked(3), mg.tensor(foreign.array(ones(3)), requires_grad=True)
    assert (here.backend, there.backend) == ("numpy", "foreign")
    for a, b, home in ((here, there, "numpy"), (there, here, "foreign")):
        parts = ["add(", "different backends", "numpy", "foreign", f"x.to('{home}')"]
        says(BackendError, parts, lambda a=a, b=b: mg.ops.add(a, b))


@pytest.mark.parametrize("create_graph", [False, True])
def test_to_brings_values_and_gradients_to_the_other_backend_and_back(foreign, create_graph):
    here, there = tracked(3), mg.tensor(foreign.array(ones(3)), requires_grad=True)
    for x, y in ((there, there.to("numpy")), (here, here.to("foreign")), (here, here.to("numpy"))):
        other = mg.tensor(y.data, requires_grad=True)
        g, h = mg.grad((y * other).sum(), [x, other], create_graph=create_graph)
        assert [t.backend for t in (g, h)] == [x.backend, y.backend]
    assert (there.to("numpy").backend, here.to("foreign").backend) == ("numpy", "foreign")


def test_an_op_runs_where_its_arrays_live_and_new_ones_are_made_where_it_is_said(foreign):
    there = mg.tensor(foreign.array(ones(3)), requires_grad=True)
    y = mg.ops.tanh(there * 2.0).mean()
    assert y.backend == "foreign"
    assert mg.grad(y, there).backend == "foreign"
    with mg.backend("foreign"):
        assert mg.tensor([1.0]).backend == "foreign"
        assert mg.tensor(ones(3)).backend == "numpy"  # arrays keep their place
    assert mg.tensor([1.0]).backend == "numpy"


@pytest.mark.parametrize(
    "ask", [lambda: tracked(3).to("cuda"), lambda: mg.set_backend("cuda"), lambda: mg.backend("cuda").__enter__()]
)
def test_an_unknown_backend(ask):
    says(BackendError, ["unknown backend 'cuda'", "numpy"], ask)
