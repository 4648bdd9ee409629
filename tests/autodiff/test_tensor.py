"""What a Tensor shows, and its operators and methods, which are ops by another name."""

import copy
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from engine_support import seeds
from hypothesis import given
from hypothesis import strategies as st
from support import share_memory

import minigan as mg
from minigan import backends
from minigan.autodiff.registry import OPS
from minigan.errors import GraphError, ShapeError

HOME = backends.current().name
F64 = {"rtol": 1e-12}  # a few float64 roundings, 1e-16 each
NAMES = ["exp", "log", "sqrt", "sin", "cos", "abs", "tanh", "sigmoid", "relu", "sum", "mean", "var"]


def leaf(values, name=None):
    return mg.tensor(np.array(values, float), requires_grad=True, name=name)


# -- what a Tensor shows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: mg.tensor([1.0, 2.0]), "Tensor([1. 2.], float32, shape (2,)@)"),
        (lambda: mg.tensor(2.5), "Tensor(2.5, float32@)"),
        (lambda: leaf([1.0], "w"), "Tensor([1.], float64, shape (1,)@, name 'w', requires_grad)"),
        (lambda: leaf([1.0]) * 2, "Tensor([2.], float64, shape (1,)@, from mul)"),
        (lambda: mg.tensor([[1.0], [2.0]]), "Tensor([[1.]\n        [2.]], float32, shape (2, 1)@)"),
        (lambda: mg.tensor(np.array([1])) > 0, "Tensor([ True], bool, shape (1,)@)"),
    ],
)
def test_repr(make, expected, backend):
    """Where it lives stands in the place of @, unless that is the host."""
    assert repr(make()) == expected.replace("@", "" if backend == "numpy" else f", {backend}")


def test_facts_of_a_tensor(backend):
    x = mg.tensor(np.zeros((2, 3), "float32"), requires_grad=True, name="x")
    assert (x.shape, x.ndim, x.size, str(x.dtype), x.backend, x.name) == ((2, 3), 2, 6, "float32", backend, "x")
    assert x.requires_grad
    assert x.is_leaf
    assert x.grad is None
    assert len(x) == 2
    assert mg.tensor(3.0).item() == float(mg.tensor(3.0)) == int(mg.tensor(3.0)) == 3
    assert bool(mg.tensor(0.0)) is False
    assert hash(x) == hash(x)


def test_copies_and_shared_memory():
    array = backends.current().from_host(np.ones(3, "float32"))
    assert not share_memory(mg.tensor(array).data, array)
    assert mg.tensor(array, copy=False).data is array
    x = mg.tensor(array, requires_grad=True)
    assert share_memory(x.detach().data, x.data)
    assert not x.detach().requires_grad
    assert share_memory(mg.tensor(x, copy=False).data, x.data)
    assert not share_memory(mg.tensor(x).data, x.data)


@pytest.mark.host  # from a device they are copies
def test_the_values_are_a_view_of_the_hosts_memory():
    x = mg.tensor(np.ones(3))
    assert np.shares_memory(x.numpy(), x.data)


def test_requires_grad_may_be_set_on_leaves_only():
    x = mg.tensor([1.0])
    x.requires_grad = True
    y = x * 2
    with pytest.raises(GraphError, match="detach"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad


def test_iteration_gives_the_rows_and_ends():
    x = leaf([[1, 2], [3, 4]])
    first, second = x
    assert [row.numpy().tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0]]
    assert mg.grad(second.sum() + 0 * first.sum(), x).numpy().tolist() == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("float64")])
def test_astype_is_recorded(dtype):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x.astype(dtype)
    assert str(y.dtype) == "float64"
    g = mg.grad((y * y).sum(), x)
    assert (str(g.dtype), g.numpy().tolist()) == ("float32", [2.0, 4.0])


# -- operators and methods are the ops -----------------------------------------------------------------------------

A, B = np.array([[1.0, 2.0], [3.0, 0.5]]), np.array([[2.0, 1.0], [3.0, 4.0]])
OPERATORS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "matmul": lambda a, b: a @ b,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
}
SIDES = {
    "tensors": lambda a, b: (mg.tensor(a, requires_grad=True), mg.tensor(b, requires_grad=True)),
    "array first": lambda a, b: (a, mg.tensor(b, requires_grad=True)),
    "array second": lambda a, b: (mg.tensor(a, requires_grad=True), b),
    "number first": lambda a, b: (2.0, mg.tensor(b, requires_grad=True)),
    "number second": lambda a, b: (mg.tensor(a, requires_grad=True), 2),
    "NumPy scalar first": lambda a, b: (np.float64(2.0), mg.tensor(b, requires_grad=True)),
    "NumPy scalar second": lambda a, b: (mg.tensor(a, requires_grad=True), np.float32(2.0)),
    "list first": lambda a, b: (a.tolist(), mg.tensor(b, requires_grad=True)),
}


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_is_the_op_of_its_name_from_both_sides(name, sides):
    if name == "matmul" and "number" in sides + sides.replace("NumPy scalar", "number"):
        return  # a number is no matrix
    a, b = SIDES[sides](A, B)
    y, expected = OPERATORS[name](a, b), OPS[name](a, b)
    assert isinstance(y, mg.Tensor)
    assert (y.dtype, y.numpy().tolist()) == (expected.dtype, expected.numpy().tolist())
    values = [t.numpy() if isinstance(t, mg.Tensor) else t for t in (a, b)]
    np.testing.assert_allclose(y.numpy(), OPERATORS[name](np.array(values[0]), np.array(values[1])), **F64)
    if y.requires_grad:
        xs = [t for t in (a, b) if isinstance(t, mg.Tensor)]
        for g, e in zip(mg.grad(y.sum(), xs), mg.grad(expected.sum(), xs), strict=True):
            assert g.numpy().tolist() == e.numpy().tolist()


METHODS = {
    "neg": (lambda x: -x, {}),
    "abs": (lambda x: abs(x), {}),
    **{n: (lambda x, n=n: getattr(x, n)(), {}) for n in NAMES},
    "sum over an axis": (lambda x: x.sum(0, keepdims=True), {"axis": 0, "keepdims": True}),
    "mean over an axis": (lambda x: x.mean(axis=1), {"axis": 1}),
    "var over an axis": (lambda x: x.var(axis=(0, 1), ddof=1), {"axis": (0, 1), "ddof": 1}),
    "broadcast_to": (lambda x: x.broadcast_to((3, 2, 2)), {"shape": (3, 2, 2)}),
    "sum_to": (lambda x: x.sum_to(shape=(1, 2)), {"shape": (1, 2)}),
    "reshape": (lambda x: x.reshape(4, -1), {"shape": (4, -1)}),
    "reshape of a tuple": (lambda x: x.reshape((4, 1)), {"shape": (4, 1)}),
    "transpose": (lambda x: x.transpose(), {}),
    "transpose by T": (lambda x: x.T, {}),
    "transpose with axes": (lambda x: x.transpose(1, 0), {"axes": (1, 0)}),
    "transpose of a tuple": (lambda x: x.transpose((0, 1)), {"axes": (0, 1)}),
    "getitem": (lambda x: x[0], {"index": (0,)}),
    "getitem by slices": (lambda x: x[:, None, ::-1], {"index": (slice(None), None, slice(None, None, -1))}),
    "getitem by a tensor": (lambda x: x[mg.tensor(np.array([1, 1]))], {"index": (np.array([1, 1]),)}),
    "getitem by a mask": (lambda x: x[x > 1], {"index": (A > 1,)}),
    "astype": (lambda x: x.astype("float32"), {"dtype": "float32"}),
    "to": (lambda x: x.to(HOME), {"backend": HOME, "source": HOME}),
}


@pytest.mark.parametrize("what", METHODS)
def test_a_method_is_the_op_of_its_name(what):
    method, attributes = METHODS[what]
    x = mg.tensor(A, requires_grad=True)
    y, expected = method(x), OPS[what.split()[0]](x, **attributes)
    assert (y.shape, y.dtype, y.numpy().tolist()) == (expected.shape, expected.dtype, expected.numpy().tolist())
    g, e = (mg.grad(t, x, np.ones(t.shape)) for t in (y, expected))
    assert g.numpy().tolist() == e.numpy().tolist()


@given(st.sampled_from([(), (1,), (2, 3), (2, 0, 3)]))
def test_empty_and_flat_tensors_pass_through(shape):
    x = mg.tensor(np.ones(shape), requires_grad=True)
    assert mg.grad((x * 2).sum(), x).numpy().tolist() == np.full(shape, 2.0).tolist()


def test_a_tensor_that_is_neither_true_nor_false_says_so():
    for ask in (bool, float, mg.Tensor.item):
        with pytest.raises(ShapeError, match=r"shape \(2,\)"):
            ask(mg.tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="no axes"):
        len(mg.tensor(1.0))


def test_a_copy_stays_on_its_backend_and_a_gradient_must_fit():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    twin = copy.deepcopy(x * x)
    assert twin.backend == x.backend
    np.testing.assert_array_equal(twin.numpy(), [1.0, 4.0])
    for wrong in (np.ones(2), mg.tensor([1.0]), 1.0):
        with pytest.raises(ValueError, match=r"grad must be None or a Tensor of shape \(2,\)"):
            x.grad = wrong
    assert x.grad is None


# -- what a notebook shows -----------------------------------------------------------------------------------------

labels = st.none() | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=8)
DTYPES = ["float16", "float32", "float64", "int64", "int8", "bool"]
SHAPES = [
    (),
    (1,),
    (7,),
    (0,),
    (2, 3),
    (40, 50),
    (2, 0, 3),
    (0, 1, 28, 28),
    (2, 1, 28, 28),
    (2, 3, 32, 32),
    (2, 2, 2, 2, 2),
]


def parts(x):
    """The facts in the head, the range by name, and the preview, out of well-formed HTML."""
    root = ET.fromstring(x._repr_html_().replace("<br/>", "\n"))
    text = "".join(root.itertext())
    preview = "".join(root.find("pre").itertext())
    ranges = dict(re.findall(r"\b(min|mean|max) ([-+.\w]+)", text.removesuffix(preview)))
    return text.removesuffix(preview), {k: float(v) for k, v in ranges.items()}, preview


@given(shape=st.sampled_from(SHAPES), dtype=st.sampled_from(DTYPES), name=labels, rng=seeds)
def test_html_says_what_a_tensor_is_and_stays_small(backend, shape, dtype, name, rng):
    array = np.asarray(np.clip(rng.normal(scale=30, size=shape), -99, 99)).astype(dtype)
    x = mg.tensor(array, name=name)
    head, ranges, preview = parts(x)
    for fact in ("Tensor", name or "", dtype, f"shape {shape}", backend):
        assert fact in head
    if array.size:
        a = array.astype("float64")
        # five digits are shown, 5e-5 of the value; a mean of 0 is exact but for the order of a sum
        assert ranges == pytest.approx({"min": a.min(), "mean": a.mean(), "max": a.max()}, rel=1e-4, abs=1e-12)
    else:
        assert ranges == {}
    assert len(preview.splitlines()) <= 7  # one matrix, three rows from each end
    assert len(x._repr_html_()) < 1500


def test_html_escapes_what_users_write():
    html = mg.tensor([1.0], name="<script>alert(1)</script> & 'co'")._repr_html_()
    assert "<script" not in html
    assert parts(mg.tensor([1.0], name="<b> & \"'"))[0].startswith("Tensor <b> & \"' float32")


def test_html_fetches_nothing_runs_nothing_and_brings_no_colours_of_its_own():
    html = mg.tensor(np.zeros((2, 1, 28, 28)))._repr_html_()
    for foreign in ("<script", "<img", "<style", "http", "url(", "class=", "background:#", "color:#"):
        assert foreign not in html


def test_html_says_where_a_tensor_comes_from():
    x = leaf([1.0, 2.0], "x")
    assert parts(x)[0].count("requires_grad") == 1
    assert "from mul" in parts(x * 2)[0]
    assert "requires_grad" not in parts(x * 2)[0]
    assert "requires_grad" not in parts(x.detach())[0]
    assert parts(mg.nn.Parameter([1.0], name="weight"))[0].startswith("Parameter weight")


def test_html_previews_the_values_and_of_many_axes_the_first_matrix():
    assert parts(mg.tensor([[1.0, -2.5]]))[2] == "[[ 1.  -2.5]]"
    assert parts(mg.tensor(np.arange(12).reshape(2, 1, 2, 3)))[2] == "x[0, 0] = [[0 1 2]\n           [3 4 5]]"
    assert parts(mg.tensor(np.zeros((0, 1, 2))))[2] == "[]"


def test_html_gives_the_range_of_what_is_finite_and_counts_the_rest():
    head, ranges, _ = parts(mg.tensor([np.nan, 1.0, np.inf, -np.inf, 2.0]))
    assert ranges == {"min": 1.0, "mean": 1.5, "max": 2.0}
    assert "3 not finite" in head
    assert "1 not finite" in parts(mg.tensor(np.nan))[0]
    assert "not finite" not in parts(mg.tensor([1.0]))[0]
    assert parts(mg.tensor(np.full(2, 1e308)))[1]["mean"] == np.inf  # the sum is; no warning
