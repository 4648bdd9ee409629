"""nn.summary: one row a call of a layer, parameters counted once, and a module that never notices."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import nn


class Residual(nn.Module):
    """x + scale * inner(x): a parameter of its own beside a submodule, and every input passed on."""

    def __init__(self, inner):
        self.scale = nn.Parameter([2.0], name="scale")
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x) * self.scale


class Counting(nn.Module):
    """A module that changes itself whenever it is called, in every way there is."""

    def __init__(self):
        self.calls = nn.Buffer([0.0], name="calls")
        self.last = None

    def forward(self, x):
        self.calls.assign_(self.calls + 1)
        self.last, self.new = x, x
        return x


class Failing(nn.Module):
    def forward(self, x):
        raise RuntimeError("this layer fails")


dense = st.builds(lambda bias, seed: nn.Dense(3, 3, bias, rng=seed), st.booleans(), st.integers(0, 9))
plain = st.builds(lambda make: make(), st.sampled_from([nn.ReLU, nn.Tanh, Counting, nn.Dropout]))
layers = st.one_of(dense, plain, st.builds(nn.BatchNorm, st.just(3)))


@st.composite
def networks(draw):
    """Trees of layers (N, 3) -> (N, 3), some of them in several places, frozen in part, in mixed modes."""
    pool = draw(st.lists(layers, min_size=1, max_size=4))

    def grown(depth):
        if depth == 0 or draw(st.booleans()):
            return draw(st.sampled_from(pool))
        if draw(st.booleans()):
            return Residual(grown(depth - 1))
        return nn.Sequential(*(grown(depth - 1) for _ in range(draw(st.integers(1, 3)))))

    network = nn.Sequential(grown(2), grown(2))
    for m in network.modules():
        if draw(st.booleans()):
            m.training = draw(st.booleans())
    for p in network.parameters():
        p.requires_grad = draw(st.booleans())
        p.grad = mg.tensor(np.ones(p.shape, "float32")) if draw(st.booleans()) else None
    return network


def everything(network):
    """All that a module is: its attributes with their identities, in order, and all values."""
    attributes = [[(k, id(v)) for k, v in vars(m).items()] for m in network.modules()]
    values = [(k, t.numpy().tolist(), t.requires_grad, id(t.grad), t._version[0]) for k, t in network.named_state()]
    return attributes, values, [m.training for m in network.modules()]


@given(networks(), st.sampled_from([(), ((2, 3),)]))
def test_rows_and_totals_count_every_parameter_once(network, inputs):
    table = nn.summary(network, *inputs)
    assert table.trainable == sum(p.size for p in network.parameters() if p.requires_grad)
    assert table.fixed == sum(p.size for p in network.parameters() if not p.requires_grad)
    assert sum(row.parameters for row in table.rows) == table.trainable + table.fixed


@given(networks(), st.booleans(), st.sampled_from([(), ((2, 3),)]))
def test_the_module_stays_as_it_was_even_where_it_fails(network, fails, inputs):
    if fails:
        setattr(network, "2", Failing())
    before = everything(network)
    if fails and inputs:
        with pytest.raises(RuntimeError, match="this layer fails"):
            nn.summary(network, *inputs)
    else:
        nn.summary(network, *inputs)
    assert everything(network) == before


@given(networks(), st.sampled_from([(), ((2, 3),)]))
def test_text_and_html_show_the_same_cells(network, inputs):
    table = nn.summary(network, *inputs)
    root = ET.fromstring(table._repr_html_())
    shown = [tuple(cell.text or "" for cell in tr) for tr in root.find("tbody")]
    assert shown == [row.cells() for row in table.rows]
    assert table.total in "".join(root.find("tfoot").itertext())
    head, rule, *lines, last_rule, total = str(table).splitlines()
    assert {len(line) for line in (head, rule, *lines, last_rule)} == {len(head)}
    for line, cells in zip(lines, shown, strict=True):
        assert line.split() == " ".join(cells).split()
    assert total == table.total


@given(networks())
def test_without_an_input_the_layers_are_there_and_a_hint_at_the_shapes(network):
    assert network._repr_html_() == nn.summary(network)._repr_html_()
    assert "nn.summary(module, x)" in network._repr_html_()
    assert "nn.summary" not in nn.summary(network, (2, 3))._repr_html_()
    called = {row.path for row in nn.summary(network, (2, 3)).rows}
    assert {row.path for row in nn.summary(network).rows} == called


def rows(table):
    return [row.cells() for row in table.rows]


def test_rows_stand_in_the_order_of_the_calls_with_what_was_never_called_at_the_end():
    class Backwards(nn.Module):
        def __init__(self):
            self.spare = nn.Dense(3, 1)
            self.last = nn.Dense(4, 2)
            self.first = nn.Sequential(nn.Dense(3, 4, bias=False), nn.ReLU())

        def forward(self, x):
            return self.last(self.first(x))

    assert rows(nn.summary(Backwards(), (5, 3))) == [
        ("first.0", "Dense(3, 4, bias=False)", "(5, 4)", "12"),
        ("first.1", "ReLU()", "(5, 4)", "0"),
        ("last", "Dense(4, 2, bias=True)", "(5, 2)", "10"),
        ("spare", "Dense(3, 1, bias=True)", "not called", "4"),
    ]


def test_a_layer_that_is_called_twice_has_two_rows_and_its_parameters_once():
    shared = nn.Dense(3, 3)
    table = nn.summary(nn.Sequential(shared, nn.Tanh(), shared), (1, 3))
    assert [(row.path, row.cells()[3]) for row in table.rows] == [("0", "12"), ("1", "0"), ("0", "shared")]


def test_a_weight_that_two_layers_share_counts_once():
    a, b = nn.Dense(3, 3), nn.Dense(3, 3)
    b.weight = a.weight
    assert [row.parameters for row in nn.summary(nn.Sequential(a, b), (1, 3)).rows] == [12, 3]


def test_a_parameter_beside_submodules_has_a_row():
    assert rows(nn.summary(nn.Sequential(Residual(nn.ReLU())), (1, 3))) == [
        ("0.inner", "ReLU()", "(1, 3)", "0"),
        ("0", "Residual", "(1, 3)", "1"),
    ]


def test_a_layer_alone_and_a_large_number():
    assert rows(nn.summary(nn.Dense(100, 784), (1, 100))) == [("", "Dense(100, 784, bias=True)", "(1, 784)", "79,184")]


@pytest.mark.parametrize("wrap", [lambda a: a, mg.tensor], ids=["array", "Tensor"])
def test_integers_go_in_as_an_array_and_several_inputs_side_by_side(wrap):
    class Conditional(nn.Module):
        def __init__(self):
            self.names = nn.Embedding(10, 4)

        def forward(self, z, label):
            return z, self.names(label)

    table = nn.summary(nn.Sequential(nn.Embedding(10, 4), nn.Flatten()), wrap(np.array([[1, 2, 3]])))
    assert [row.output for row in table.rows] == ["(1, 3, 4)", "(1, 12)"]
    table = nn.summary(Conditional(), (2, 3), wrap(np.array([1, 9])))
    assert [row.output for row in table.rows] == ["(2, 4)"]


def test_every_output_of_a_layer_has_its_shape():
    class Two(nn.Module):
        def forward(self, x):
            return x, x.sum(), "text"

    assert nn.summary(Two(), (2, 3)).rows[0].output == "(2, 3), (), str"


def test_nothing_is_recorded():
    class Looking(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter([1.0])

        def forward(self, x):
            y = x * self.weight
            seen.append((y.requires_grad, self.training))
            return y

    seen = []
    nn.summary(Looking(), mg.tensor([1.0], requires_grad=True))
    assert seen == [(False, False)]


def test_settings_are_escaped_and_stay_in_one_line():
    class Odd(nn.Module):
        def settings(self):
            return "a < b,\n c & d"

    table = nn.summary(nn.Sequential(Odd()))
    assert table.rows[0].layer == "Odd(a < b, c & d)"
    assert "a &lt; b, c &amp; d" in table._repr_html_()


@pytest.mark.parametrize("wrong", [3, "text", None, (1, -2), (1, 2.0), [1, 2]])
def test_an_input_that_is_none_is_named(wrong):
    with pytest.raises(TypeError, match=r"Tensors, arrays, or shapes such as \(1, 100\)"):
        nn.summary(nn.ReLU(), wrong)


def test_only_modules_have_a_summary():
    with pytest.raises(TypeError, match="shows a Module, got function"):
        nn.summary(mg.ops.avg_pool2d, (1, 2))
