"""Two backends side by side: they do not mix, and `to` goes between them."""

import weakref

import numpy as np
import pytest
from test_bad_input import ones, says

import minigan as mg
from minigan.errors import BackendError
from minigan.testing import STRICT


@pytest.fixture(autouse=True)
def _host_by_default():
    with mg.backend("numpy"):
        yield


def tracked(backend):
    with mg.backend(backend):
        return mg.tensor(ones(3), requires_grad=True)


def test_backends_do_not_mix():
    here, there = tracked("numpy"), tracked("strict")
    assert (here.backend, there.backend) == ("numpy", "strict")
    for a, b, home in ((here, there, "numpy"), (there, here, "strict"), (there, ones(3), "strict")):
        parts = ["add(", "different backends", "numpy", "strict", f"x.to('{home}')"]
        says(BackendError, parts, lambda a=a, b=b: mg.ops.add(a, b))


def test_a_gradient_from_another_backend_is_refused():
    y, g = tracked("strict") * 2, tracked("numpy")
    says(BackendError, ["gradient on numpy", "output on strict", "gradient.to('strict')"], lambda: y.backward(g))


@pytest.mark.parametrize("create_graph", [False, True])
def test_to_brings_values_and_gradients_to_the_other_backend_and_back(create_graph):
    here, there = tracked("numpy"), tracked("strict")
    for x, y in ((there, there.to("numpy")), (here, here.to("strict")), (here, here.to("numpy"))):
        other = mg.tensor(y.detach(), requires_grad=True)
        g, h = mg.grad((y * other).sum(), [x, other], create_graph=create_graph)
        assert [t.backend for t in (g, h)] == [x.backend, y.backend]
    assert (there.to("numpy").backend, here.to("strict").backend) == ("numpy", "strict")


def test_an_op_runs_where_its_arrays_live_and_new_ones_are_made_where_it_is_said():
    there = tracked("strict")
    y = mg.ops.tanh(there * 2.0).mean()
    assert y.backend == "strict"
    assert mg.grad(y, there, retain_graph=True).backend == "strict"
    assert y.backward(np.float32(1)) is None
    assert there.grad.backend == "strict"
    with mg.backend("strict"):
        for made in (mg.tensor([1.0]), mg.tensor(ones(3)), mg.ops.exp(ones(3)), mg.ops.exp([1.0]), mg.ops.exp(1.0)):
            assert made.backend == "strict"  # what lies in the host's memory goes to the current backend
        here = tracked("numpy")
        assert mg.tensor(here).backend == mg.grad((here * 2.0).sum(), here).backend == "numpy"  # a Tensor stays
    assert mg.tensor([1.0]).backend == mg.tensor(ones(3)).backend == "numpy"


def test_values_come_over_when_they_are_assigned():
    there = tracked("strict")
    for value in (np.arange(3.0), mg.tensor(np.arange(3.0)), [0, 1, 2]):
        there.detach().assign_(0.0)
        there.detach().assign_(value)
        assert there.numpy().tolist() == [0, 1, 2]
    assert there.backend == "strict"


@pytest.mark.parametrize(
    "ask", [lambda: tracked("numpy").to("cuda"), lambda: mg.set_backend("cuda"), lambda: tracked("cuda")]
)
def test_an_unknown_backend(ask):
    says(BackendError, ["unknown backend 'cuda'", "numpy"], ask)


def test_the_strict_backend_is_as_strict_as_a_device():
    x = STRICT.from_host(np.arange(3.0))
    for touch in (
        lambda: np.sum(x), lambda: np.tanh(x), lambda: np.asarray(x), lambda: x + np.ones(3), lambda: np.ones(3) * x,
        lambda: x[np.array([0])], lambda: STRICT.maximum(x, np.ones(3)), lambda: STRICT.sum(x, where=x > 0), lambda: bool(x[0] > 0),
        lambda: float(x[0]), lambda: list(x), lambda: x.item, lambda: STRICT.add.at, lambda: STRICT.put_along_axis_,
        lambda: x * np.float32(2),
    ):  # fmt: skip
        with pytest.raises((TypeError, AttributeError)):
            touch()


def test_the_strict_backends_arrays_can_be_written_into_and_watched_as_a_devices():
    x = STRICT.from_host(np.arange(3.0))
    STRICT.broadcast_to(x, (2, 3))[...] = 5.0  # NumPy's broadcast arrays are read-only
    assert STRICT.to_host(x).tolist() == [5.0] * 3
    assert weakref.ref(x)() is x


def test_the_strict_backend_counts():
    x = STRICT.from_host(np.ones((2, 3)))
    launches, reads = STRICT.launches, STRICT.host_reads
    x.reshape(3, 2).transpose(1, 0)[:1]  # views cost nothing
    assert (STRICT.launches, STRICT.host_reads) == (launches, reads)
    y = x * 2 + 1
    y += x
    assert (STRICT.launches, STRICT.host_reads) == (launches + 3, reads)
    STRICT.to_host(y)
    assert STRICT.host_reads == reads + 1
