"""Laws 7 to 9 of the engine: dtypes, Tensors are not arrays, no silent None."""

from contextlib import suppress

import numpy as np
import pytest
from engine_support import SAMPLES, as_tensors, flat, float_dtypes, outputs_of, sample, seeds
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import backends
from minigan.autodiff.registry import OPS
from minigan.errors import DTypeError, MissingGradient

# -- law 7: dtype in, dtype out ------------------------------------------------------------------------------------

BINARY = ["add", "sub", "mul", "div", "pow", "matmul"]
FIXED = {"astype"}  # its output's dtype is what it was told


def _square(dtype):
    return np.arange(1, 5).reshape(2, 2).astype(dtype)


@pytest.mark.parametrize("name", sorted(set(SAMPLES) & set(OPS)))
@given(rng=seeds, dtype=float_dtypes, create_graph=st.booleans())
def test_law_7_every_op_keeps_its_inputs_dtype_and_so_do_its_gradients(name, rng, dtype, create_graph):
    arrays, attributes = sample(name, rng, dtype)
    leaves = as_tensors(arrays)
    results = flat([OPS[name](*leaves, **attributes)])
    assert {str(t.dtype) for t in results} <= {dtype, "bool"} or name in FIXED
    outputs = outputs_of(results)
    if outputs:
        xs = [t for t in flat(leaves) if t.requires_grad]
        other = {"float32": "float64", "float64": "float32"}[dtype]
        arriving = [np.ones(y.shape, other) for y in outputs]  # cast to the output's dtype
        for g in mg.grad(outputs, xs, arriving, create_graph=create_graph, allow_unused=True):
            assert g is None or str(g.dtype) == dtype


@pytest.mark.parametrize("name", sorted(set(SAMPLES) & set(OPS)))
def test_law_7_zero_dimensional_arrays_are_arrays_and_stay_so(name):
    arrays, attributes = sample(name, np.random.default_rng(0), "float32")
    if not attributes and all(isinstance(a, np.ndarray) and a.ndim < 3 for a in arrays):
        scalars = as_tensors([np.asarray(a.reshape(-1)[0]) for a in arrays])
        try:
            y = OPS[name](*scalars)
        except mg.errors.ShapeError:
            return  # an op of vectors or matrices
        assert type(y.data) is backends.current().array_type
        assert str(y.dtype) in ("float32", "bool")
        if y.requires_grad:
            for g in mg.grad(y, [t for t in scalars if t.requires_grad], allow_unused=True):
                assert g is None or (type(g.data) is type(y.data) and str(g.dtype) == "float32")


scalars = st.sampled_from(
    [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2), np.float16(2.5), np.bool_(True)]
)


@given(st.sampled_from([n for n in BINARY if n != "matmul"]), scalars, float_dtypes, st.booleans())
def test_law_7_python_and_numpy_scalars_are_weak(name, scalar, dtype, reflected):
    x = mg.tensor(_square(dtype), requires_grad=True)
    y = OPS[name](scalar, x) if reflected else OPS[name](x, scalar)
    assert str(y.dtype) == dtype
    assert str(mg.grad(y.sum(), x).dtype) == dtype


@given(scalars)
def test_law_7_scalars_in_operators_and_attributes_are_weak_too(scalar):
    x = mg.tensor(_square("float32"), requires_grad=True)
    results = [
        x + scalar,
        scalar + x,
        scalar * x,
        scalar / x,
        scalar - x,
        x**scalar,
        scalar**x,
        mg.ops.leaky_relu(x, scalar),
    ]
    results.append(mg.ops.where(x > scalar, x, scalar))
    assert {str(y.dtype) for y in results} == {"float32"}


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("integer", ["int64", "int32", "int8", "uint8"])
@pytest.mark.parametrize("floats", ["float32", "float64"])
def test_law_7_floats_stay_as_they_are_beside_integer_arrays(name, integer, floats):
    x = mg.tensor(_square(floats), requires_grad=True)
    for a, b in ((x, _square(integer)), (_square(integer), x), (x, mg.tensor(_square(integer)))):
        y = OPS[name](a, b)
        assert str(y.dtype) == floats
        assert str(mg.grad(y.sum(), x).dtype) == floats


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("create_graph", [False, True])
def test_law_7_float32_beside_a_float64_array_promotes_and_each_gradient_keeps_its_own(name, create_graph):
    a, b = (mg.tensor(_square(d), requires_grad=True) for d in ("float32", "float64"))
    y = OPS[name](a, b)
    assert str(y.dtype) == "float64"
    da, db = mg.grad(y.sum(), (a, b), create_graph=create_graph, retain_graph=True)
    assert (str(da.dtype), str(db.dtype)) == ("float32", "float64")
    y.sum().backward()
    assert (str(a.grad.dtype), str(b.grad.dtype)) == ("float32", "float64")


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "sub", "mul", "matmul"]), st.integers(0, 9), st.integers(0, 9)),
        min_size=1,
        max_size=5,
    )
)
def test_law_7_in_any_mixed_graph_a_gradient_has_its_inputs_dtype(steps):
    values = leaves = [mg.tensor(_square(d) / 8, requires_grad=True) for d in ("float32", "float64", "float32")]
    for name, i, j in steps:
        values = [*values, OPS[name](values[i % len(values)], values[j % len(values)])]
    for create_graph in (False, True):
        settings = {"create_graph": create_graph, "retain_graph": True, "allow_unused": True}
        grads = mg.grad(values[-1].sum(), values[:-1], **settings)
        assert all(g is None or g.dtype == t.dtype for t, g in zip(values, grads, strict=False))
    values[-1].sum().backward()
    assert all(x.grad is None or x.grad.dtype == x.dtype for x in leaves)


def test_law_7_lists_and_numbers_are_float32_and_integers_alone_give_it_where_a_float_comes_out():
    whole = mg.tensor(_square("int64"))
    assert str(mg.tensor([1, 2]).dtype) == str(mg.tensor(3).dtype) == str(mg.ops.exp(1.0).dtype) == "float32"
    assert str(mg.ops.exp(whole).dtype) == str((whole / 2).dtype) == str((whole + 0.5).dtype) == "float32"
    assert str(whole.mean().dtype) == "float32"
    assert str((whole + whole).dtype) == str((whole * 2).dtype) == "int64"


def test_law_7_integers_carry_no_gradient():
    whole = mg.tensor(_square("int64"))
    for attempt in (
        lambda: mg.tensor(_square("int64"), requires_grad=True),
        lambda: setattr(whole, "requires_grad", True),
    ):
        with pytest.raises(DTypeError, match=r"int64.*only floats.*astype\('float32'\)"):
            attempt()
    x = mg.tensor(_square("float32"), requires_grad=True)
    assert not (x > 2).requires_grad
    assert not x.astype("int64").requires_grad
    with pytest.raises(MissingGradient, match="int64"):
        mg.grad((x * whole).sum(), whole)


# -- law 8: a Tensor never silently becomes an array ----------------------------------------------------------------

CALLS = {
    "tanh": lambda t: np.tanh(t),
    "exp": lambda t: np.exp(t),
    "abs": lambda t: np.abs(t),
    "neg": lambda t: np.negative(t),
    "sign": lambda t: np.sign(t),
    "sum": lambda t: np.sum(t),
    "mean": lambda t: np.mean(t, axis=0),
    "var": lambda t: np.var(t),
    "max": lambda t: np.max(t),
    "reshape": lambda t: np.reshape(t, -1),
    "transpose": lambda t: np.transpose(t),
    "broadcast_to": lambda t: np.broadcast_to(t, (2, 2)),
    "where": lambda t: np.where(np.ones(2) > 0, t, 0),
    "concatenate": lambda t: np.concatenate([t, t]),
    "stack": lambda t: np.stack([t, t]),
    "add": lambda t: np.add(t, 1.0),
    "sub": lambda t: np.subtract(t, 1.0),
    "mul": lambda t: np.multiply(np.ones(2), t, out=np.ones(2)),
    "div": lambda t: np.divide(t, t),
    "pow": lambda t: np.power(t, 2),
    "matmul": lambda t: np.matmul(t, t),
    "greater": lambda t: np.greater(t, t),
}


@pytest.mark.parametrize("name", CALLS)
def test_law_8_numpys_functions_name_minigans_op(name):
    with pytest.raises(TypeError, match=r"numpy\.\w+ got a minigan Tensor.*x\.numpy\(\)") as caught:
        CALLS[name](mg.tensor([1.0, 2.0]))
    assert f"minigan.ops.{name}(" in str(caught.value) or name not in OPS


CONVERSIONS = {
    "asarray": lambda t: np.asarray(t),
    "array": lambda t: np.array(t, dtype="float64"),
    "array of a list": lambda t: np.array([t, t]),
    "tensor of a list": lambda t: mg.tensor([t, t]),
    "out of ops": lambda t: np.fft.fft(t),
    "reduce": lambda t: np.add.reduce(t),
    "outer": lambda t: np.multiply.outer(np.ones(2), t),
    "floor division": lambda t: np.ones(2) // t,
    "in place": lambda t: np.ones(2).__iadd__(t),
    "item assignment": lambda t: np.ones((2, 2)).__setitem__(0, t),
    "linalg": lambda t: np.linalg.norm(t),
}


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("what", CONVERSIONS)
def test_law_8_no_other_way_leads_silently_to_an_array(what, requires_grad):
    with pytest.raises(TypeError, match=r"minigan Tensor.*numpy\("):
        CONVERSIONS[what](mg.tensor([1.0, 2.0], requires_grad=requires_grad))


OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "@": lambda a, b: a @ b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


@pytest.mark.parametrize("symbol", OPERATORS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_law_8_an_array_beside_a_tensor_in_an_operator_is_the_op(symbol, dtype):
    array, operator = _square(dtype), OPERATORS[symbol]
    t = mg.tensor(_square("float32") + 1, requires_grad=True)
    for y, expected in (
        (operator(array, t), operator(array, t.numpy())),
        (operator(t, array), operator(t.numpy(), array)),
    ):
        assert isinstance(y, mg.Tensor)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)  # int64 beside float32 is float64 in NumPy
        assert y.requires_grad == (symbol in "+-*/**@")


def test_law_8_the_values_come_out_by_name_and_writing_into_them_changes_nothing():
    t = mg.tensor([1.0, 2.0])
    with suppress(ValueError):  # a copy may be written into
        t.numpy()[0] = 5
    assert t.numpy().tolist() == [1.0, 2.0]


@pytest.mark.host  # a device's values are copied
def test_law_8_the_values_come_out_read_only():
    with pytest.raises(ValueError, match="read-only"):
        mg.tensor([1.0, 2.0]).numpy()[0] = 5


# -- law 9: no silent None -------------------------------------------------------------------------------------------


def _reasons():
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    yield (
        "not on the path",
        x,
        (x.detach() * mg.tensor([1.0, 1.0], requires_grad=True)).sum(),
        ["'x'", "not on any path"],
    )
    cut = x.detach()  # cut here
    yield "cut", x, cut.sum(), ["detach()", __file__, "cut = x.detach()  # cut here"]
    yield (
        "cut on the way",
        x,
        (cut * mg.tensor([1.0, 1.0], requires_grad=True)).sum(),
        ["'x'", "cut = x.detach()  # cut"],
    )
    yield "the constant itself", cut, (x * cut).sum(), ["detach()", "cut = x.detach()  # cut here"]
    whole = mg.tensor(np.array([1, 2]), name="labels")
    yield "integer", whole, (x * whole).sum(), ["'labels'", "int64", "only floats"]
    plain = mg.tensor([1.0, 2.0], name="plain")
    yield "no requires_grad", plain, (x * plain).sum(), ["'plain'", "requires_grad=True"]
    with mg.no_grad():
        outside = (x * 2).sum()  # not recorded
    yield "under no_grad", x, outside, ["no_grad()", __file__, "outside = (x * 2).sum()  # not recorded"]
    copied = mg.tensor(x * 2)  # a copy of values
    yield "by tensor()", x, copied.sum(), ["tensor()", "copied = mg.tensor(x * 2)  # a copy of values"]
    signs = mg.ops.sign(x)  # flat
    yield "an op without a gradient", x, signs.sum(), ["sign", "no gradient", "signs = mg.ops.sign(x)  # flat"]
    rounded = x.astype("int64")
    yield "through integers", x, (rounded * mg.tensor([1.0, 1.0], requires_grad=True)).sum(), ["'x'", "not on any path"]


@pytest.mark.parametrize(("x", "y", "parts"), [case[1:] for case in _reasons()], ids=[case[0] for case in _reasons()])
def test_law_9_the_error_says_why_nothing_arrives(x, y, parts):
    with pytest.raises(MissingGradient) as caught:
        mg.grad(y, x, retain_graph=True)
    for part in [*parts, "allow_unused=True"]:
        assert part in str(caught.value)
    assert mg.grad(y, x, allow_unused=True, retain_graph=True) is None
    assert mg.grad([y], [x], allow_unused=True, retain_graph=True) == (None,)


@pytest.mark.parametrize("create_graph", [False, True])
def test_law_9_allow_unused_gives_none_in_its_place_alone(create_graph):
    x, other = (mg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    y = (x * x).sum()
    with pytest.raises(MissingGradient):
        mg.grad(y, [other, x], create_graph=create_graph, retain_graph=True)
    none, some = mg.grad(y, [other, x], create_graph=create_graph, allow_unused=True)
    assert none is None
    assert some.numpy().tolist() == [2.0, 4.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_law_9_vjp_jvp_and_hvp_give_zeros_of_the_right_shape_and_dtype(dtype):
    x, v = (np.ones((2, 3), dtype) for _ in range(2))
    constant = np.full(4, 2, dtype)
    on_second = lambda a, b: b * 2.0
    results = [
        mg.vjp(on_second, x, v)[1](v)[0],
        mg.jvp(lambda a: mg.tensor(np.ones((2, 3), dtype)), x, v)[1],
        mg.jvp(on_second, (x, v), (v, 0 * v))[1],
        mg.hvp(lambda a: a.sum(), x, v),
        mg.hvp(lambda a: mg.tensor(constant).sum(), x, v),
        mg.hvp(lambda a: (a * 3).sum() + 1, x, v),
    ]
    for zero in results:
        assert (zero.shape, str(zero.dtype), float(np.abs(zero.numpy()).max())) == ((2, 3), dtype, 0.0)


def test_law_9_grad_is_none_until_something_arrives_and_why_says_why():
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    assert x.grad is None
    assert "'x' requires a gradient and none has arrived" in mg.why(x)
    y = x * 2  # made here
    assert "result of mul" in mg.why(y)
    assert "y = x * 2  # made here" in mg.why(y)
    y.sum().backward()
    assert y.grad is None
    assert mg.why(x) == "'x' has a gradient"
    for _, t, out, parts in _reasons():
        if not t.requires_grad:
            assert all(p in mg.why(t) for p in parts)
        elif not out.requires_grad:
            assert all(p in mg.why(out) for p in parts)


def test_law_9_backward_of_a_constant_says_why():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(MissingGradient, match=r"backward\(\): no gradient can flow.*detach\(\)"):
        x.detach().sum().backward()
    with pytest.raises(MissingGradient, match="requires_grad=True"):
        mg.tensor([1.0]).sum().backward()
