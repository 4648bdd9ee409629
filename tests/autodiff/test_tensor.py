"""What a Tensor shows, and its operators and methods, which are ops by another name."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.autodiff.registry import OPS
from minigan.errors import GraphError, ShapeError

F64 = {"rtol": 1e-12}  # a few float64 roundings, 1e-16 each
NAMES = ["exp", "log", "sqrt", "sin", "cos", "abs", "tanh", "sigmoid", "relu", "sum", "mean", "var"]


def leaf(values, name=None):
    return mg.tensor(np.array(values, float), requires_grad=True, name=name)


# -- what a Tensor shows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: mg.tensor([1.0, 2.0]), "Tensor([1. 2.], float32, shape (2,))"),
        (lambda: mg.tensor(2.5), "Tensor(2.5, float32)"),
        (lambda: leaf([1.0], "w"), "Tensor([1.], float64, shape (1,), name 'w', requires_grad)"),
        (lambda: leaf([1.0]) * 2, "Tensor([2.], float64, shape (1,), from mul)"),
        (lambda: mg.tensor([[1.0], [2.0]]), "Tensor([[1.]\n        [2.]], float32, shape (2, 1))"),
        (lambda: mg.tensor(np.array([1])) > 0, "Tensor([ True], bool, shape (1,))"),
    ],
)
def test_repr(make, expected):
    assert repr(make()) == expected


def test_facts_of_a_tensor():
    x = mg.tensor(np.zeros((2, 3), "float32"), requires_grad=True, name="x")
    assert (x.shape, x.ndim, x.size, str(x.dtype), x.backend, x.name) == ((2, 3), 2, 6, "float32", "numpy", "x")
    assert x.requires_grad
    assert x.is_leaf
    assert x.grad is None
    assert len(x) == 2
    assert mg.tensor(3.0).item() == float(mg.tensor(3.0)) == int(mg.tensor(3.0)) == 3
    assert bool(mg.tensor(0.0)) is False
    assert hash(x) == hash(x)


def test_copies_and_shared_memory():
    array = np.ones(3, "float32")
    assert not np.shares_memory(mg.tensor(array).data, array)
    assert mg.tensor(array, copy=False).data is array
    x = mg.tensor(array, requires_grad=True)
    assert np.shares_memory(x.detach().data, x.data)
    assert not x.detach().requires_grad
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
    assert [row.data.tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0]]
    assert mg.grad(second.sum() + 0 * first.sum(), x).data.tolist() == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("float64")])
def test_astype_is_recorded(dtype):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x.astype(dtype)
    assert str(y.dtype) == "float64"
    g = mg.grad((y * y).sum(), x)
    assert (str(g.dtype), g.data.tolist()) == ("float32", [2.0, 4.0])


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
    assert (y.dtype, y.data.tolist()) == (expected.dtype, expected.data.tolist())
    values = [t.data if isinstance(t, mg.Tensor) else t for t in (a, b)]
    np.testing.assert_allclose(y.data, OPERATORS[name](np.array(values[0]), np.array(values[1])), **F64)
    if y.requires_grad:
        xs = [t for t in (a, b) if isinstance(t, mg.Tensor)]
        for g, e in zip(mg.grad(y.sum(), xs), mg.grad(expected.sum(), xs), strict=True):
            assert g.data.tolist() == e.data.tolist()


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
    "to": (lambda x: x.to("numpy"), {"backend": "numpy", "source": "numpy"}),
}


@pytest.mark.parametrize("what", METHODS)
def test_a_method_is_the_op_of_its_name(what):
    method, attributes = METHODS[what]
    x = mg.tensor(A, requires_grad=True)
    y, expected = method(x), OPS[what.split()[0]](x, **attributes)
    assert (y.shape, y.dtype, y.data.tolist()) == (expected.shape, expected.dtype, expected.data.tolist())
    g, e = (mg.grad(t, x, np.ones(t.shape)) for t in (y, expected))
    assert g.data.tolist() == e.data.tolist()


@given(st.sampled_from([(), (1,), (2, 3), (2, 0, 3)]))
def test_empty_and_flat_tensors_pass_through(shape):
    x = mg.tensor(np.ones(shape), requires_grad=True)
    assert mg.grad((x * 2).sum(), x).data.tolist() == np.full(shape, 2.0).tolist()


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
