"""Changes in place after a call are noticed, or of no consequence; where they are neither, the check says so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import nn
from minigan.autodiff import graph, protocol
from minigan.autodiff.tensor import Tensor
from minigan.testing import LawBroken, check_changes_noticed, layers

X = np.random.default_rng(0).uniform(0.5, 2.0, (4, 3))


@given(layers(), st.booleans(), st.integers(0, 99))
def test_no_change_goes_unnoticed_by_a_shipped_layer_in_both_modes(case, training, rng):
    factory, shape = case
    layer, x = factory().train(training), np.random.default_rng(rng).standard_normal(shape)
    state, kept = layer.state_dict(), x.copy()
    check_changes_noticed(layer, x, rng=rng)
    assert np.array_equal(x, kept)
    for name, values in layer.state_dict().items():
        assert np.array_equal(values, state[name])


FUNCTIONS = {
    "identity": lambda x: x,
    "constant": lambda x: x.detach(),
    "integers": lambda x: x > 1.0,
    "read-only": lambda x: mg.ops.broadcast_to(x.sum(axis=0, keepdims=True), shape=(4, 3)),
    "several": lambda x: (mg.ops.sin(x.T), mg.ops.tanh(x)),
    "random": lambda x: mg.ops.dropout(x, 0.5),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_all_kinds_pass(name):
    check_changes_noticed(FUNCTIONS[name], X)


def a_view(x):
    return mg.ops.sin(x.T)


@pytest.mark.parametrize(
    ("f", "what"),
    [
        (mg.ops.sin, "input 'x'"),
        (a_view, "input 'x'"),
        (mg.ops.tanh, "output 0, detached,"),
        (nn.Softplus(), "input 'x'"),
        (nn.Dense(3, 2, rng=0), "input 'x'"),
    ],
)
def test_a_change_is_found_where_versions_are_not_compared(monkeypatch, f, what):
    monkeypatch.setattr(graph.Node, "values", lambda node: node.saved)
    with pytest.raises(LawBroken, match=f"changes are noticed: {what} changes after the call") as caught:
        check_changes_noticed(f, X)
    assert "check_changes_noticed(" in caught.value.repro


class Scaled(nn.Module):
    """x times a buffer or a parameter; only that is saved, and in the layer's hands."""

    def __init__(self, kind):
        self.scale = kind([2.0, 3.0, 4.0], name="scale")

    def forward(self, x):
        return x * self.scale.detach()


@pytest.mark.parametrize("kind", [nn.Buffer, nn.Parameter])
def test_a_layers_state_is_changed_too(monkeypatch, kind):
    check_changes_noticed(Scaled(kind), X)
    monkeypatch.setattr(graph.Node, "values", lambda node: node.saved)
    with pytest.raises(LawBroken, match="changes are noticed: 'scale' of the layer's state changes"):
        check_changes_noticed(Scaled(kind), X)


def test_a_change_is_found_where_views_count_their_own(monkeypatch):
    monkeypatch.setattr(protocol, "_shared", lambda y, given: [0, None])
    with pytest.raises(LawBroken, match="changes are noticed: input 'x' changes"):
        check_changes_noticed(a_view, X)


def test_a_change_is_found_where_constants_count_their_own(monkeypatch):
    detach = Tensor.detach

    def alone(t):
        constant = detach(t)
        constant._version = [0, None]
        return constant

    monkeypatch.setattr(Tensor, "detach", alone)
    with pytest.raises(LawBroken, match="changes are noticed: input 'x', detached, changes"):
        check_changes_noticed(mg.ops.sin, X)
