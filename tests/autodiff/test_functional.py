"""Gradients as functions: backward, grad, vjp, jvp, hvp, no_grad; and what a Tensor shows and can be asked to do."""

import threading

import numpy as np
import pytest
from engine_support import integers, seeds
from hypothesis import given

import minigan as mg
from minigan.autodiff.registry import OPS

F64 = {"rtol": 1e-12}  # a few float64 roundings, 1e-16 each


def leaf(values, name=None):
    return mg.tensor(np.array(values, float), requires_grad=True, name=name)


# -- backward and grad ----------------------------------------------------------------------------------------------


def test_backward_adds_to_every_leaf_that_requires_a_gradient():
    a, b, constant = leaf([1, 2]), leaf([3, 4]), mg.tensor([5.0, 6.0])
    h = a * b
    loss = (h * constant).sum()
    loss.backward(retain_graph=True)
    loss.backward(np.array(10.0))
    np.testing.assert_array_equal(a.grad.numpy(), 11 * np.array([15, 24]))
    np.testing.assert_array_equal(b.grad.numpy(), 11 * np.array([5, 12]))
    assert h.grad is constant.grad is None
    assert not a.grad.requires_grad
    a.grad = None
    (a * 2).sum().backward()
    assert a.grad.numpy().tolist() == [2.0, 2.0]


def test_backward_of_a_leaf_and_of_a_tensor_with_a_gradient_given():
    x = leaf([1, 2])
    x.backward([3.0, 4.0])
    (x * 2).backward(mg.tensor([1.0, 1.0]))
    assert x.grad.numpy().tolist() == [5.0, 6.0]


def test_grad_answers_in_the_form_that_it_was_asked():
    x, y = leaf(2.0), leaf(3.0)
    z = x * y
    assert isinstance(mg.grad(z, x, retain_graph=True), mg.Tensor)
    for form in (list, tuple):
        (only,) = mg.grad(z, form([x]), retain_graph=True)
        both = mg.grad(z, form([y, x]), retain_graph=True)
        assert only.item() == 3.0
        assert isinstance(both, tuple)
        assert [g.item() for g in both] == [2.0, 3.0]
    assert x.grad is y.grad is None


def test_grad_of_several_outputs_is_the_gradient_of_their_weighted_sum():
    x = leaf([1, 2])
    y, z = x * x, x.sum()
    g = mg.grad([y, z, mg.tensor(1.0)], x, [np.array([1.0, 10.0]), None, None])
    assert g.numpy().tolist() == [3.0, 41.0]


def test_grad_by_intermediates_and_by_an_output_itself():
    x = leaf([0.5, 1.0])
    images = mg.ops.tanh(x)  # a generator's, say
    score = (images * images * 3).sum()
    at_images, at_x, at_score = mg.grad(score, [images, x, score])
    np.testing.assert_allclose(at_images.numpy(), 6 * images.numpy(), **F64)
    np.testing.assert_allclose(at_x.numpy(), 6 * images.numpy() * (1 - images.numpy() ** 2), **F64)
    assert at_score.item() == 1.0


def test_an_intermediate_and_what_lies_behind_it_as_inputs_and_outputs_at_once():
    x = leaf(2.0)
    h = x * x
    y = h * x
    dx, dh = mg.grad([y, h], [x, h], [np.array(1.0), np.array(10.0)])
    assert (dx.item(), dh.item()) == (3 * 4 + 10 * 4, 2 + 10)


@pytest.mark.parametrize("by_op", ["pow", "mul"])
@given(rng=seeds)
def test_create_graph_to_order_four(by_op, rng):
    x = mg.tensor(integers(rng, 3), requires_grad=True)
    y = x**4.0 if by_op == "pow" else x * x * x * x
    expected = [lambda a: 4 * a**3, lambda a: 12 * a**2, lambda a: 24 * a, lambda a: 24 + 0 * a]
    for derivative in expected:
        y = mg.grad(y.sum(), x, create_graph=True)
        np.testing.assert_allclose(y.numpy(), derivative(x.numpy()), **F64)


@pytest.mark.parametrize(("name", "cycle"), [("exp", ["exp"] * 4), ("sin", ["cos", "-sin", "-cos", "sin"])])
def test_create_graph_to_order_four_of_functions(name, cycle):
    x = leaf([0.3, 1.2])
    y = OPS[name](x)
    for derivative in cycle:
        y = mg.grad(y.sum(), x, create_graph=True)
        expected = getattr(np, derivative.lstrip("-"))(x.numpy()) * (-1 if derivative.startswith("-") else 1)
        np.testing.assert_allclose(y.numpy(), expected, **F64)


def test_a_penalty_on_a_gradient_reaches_the_weights_by_backward():
    w, x = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[1.0, -1.0]])
    slope = mg.grad((mg.ops.linear(x, w) ** 2.0).sum(), x, create_graph=True)  # 2 x w^T w
    (slope * slope).sum().backward()
    step = 1e-6

    def penalty(weight):
        return float(((2 * x.numpy() @ weight.T @ weight) ** 2).sum())

    for i in np.ndindex(2, 2):
        sides = [w.numpy().copy() for _ in range(2)]
        sides[0][i] += step
        sides[1][i] -= step
        # central difference of a quartic of values near 1000 in float64: eps * 1000 / step, about 2e-7, beside 1000
        assert w.grad.numpy()[i] == pytest.approx((penalty(sides[0]) - penalty(sides[1])) / (2 * step), rel=1e-7)


def test_the_gradient_that_arrives_may_be_differentiated_too():
    x, s = leaf([1, 2]), leaf([3, 4])
    g = mg.grad(x * x, x, s, create_graph=True)
    assert mg.grad(g.sum(), s, retain_graph=True).numpy().tolist() == [2.0, 4.0]
    assert mg.grad(g.sum(), x).numpy().tolist() == [6.0, 8.0]


def test_results_without_create_graph_are_leaves_without_history():
    x = leaf([1, 2])
    g = mg.grad((x * x).sum(), x)
    assert g.is_leaf
    assert not g.requires_grad


# -- vjp, jvp, hvp --------------------------------------------------------------------------------------------------


def cubic(a, b):
    return a * a * b, (a * b).sum()


@pytest.mark.parametrize("wrapped", [False, True])
@given(rng=seeds)
def test_vjp_and_jvp_are_transposes_of_each_other(wrapped, rng):
    at, along = ([integers(rng, 3) for _ in range(2)] for _ in range(2))
    given = [mg.tensor(a, requires_grad=True) for a in at] if wrapped else at
    ys, pullback = mg.vjp(cubic, *given)
    zs, tangents = mg.jvp(cubic, tuple(given), tuple(along))
    arriving = integers(rng, 3), np.array(2.0)
    for gradients in (pullback(*arriving), pullback(arriving)):  # again, and as one tuple
        assert isinstance(gradients, tuple)
        assert sum((g.numpy() * v).sum() for g, v in zip(gradients, along, strict=True)) == sum(
            (t.numpy() * d).sum() for t, d in zip(tangents, arriving, strict=True)
        )
    assert all(np.array_equal(y.numpy(), z.numpy()) for y, z in zip(ys, zs, strict=True))
    a, b = at
    np.testing.assert_array_equal(tangents[0].numpy(), 2 * a * b * along[0] + a * a * along[1])
    assert not any(t.requires_grad for t in (*ys, *zs, *tangents, *gradients))


def test_vjp_and_jvp_of_one_input_and_output_give_one_each():
    y, pullback = mg.vjp(lambda a: a * a, [1.0, 2.0])
    assert y.numpy().tolist() == [1.0, 4.0]
    assert pullback(np.ones(2)).numpy().tolist() == [2.0, 4.0]
    y, dy = mg.jvp(lambda a: a * a, [1.0, 2.0], [1.0, 1.0])
    assert (y.numpy().tolist(), dy.numpy().tolist()) == ([1.0, 4.0], [2.0, 4.0])


@given(rng=seeds)
def test_hvp_is_the_hessian_times_v(rng):
    matrix, x, v = integers(rng, 3, 3), integers(rng, 3), integers(rng, 3)
    quadratic = lambda a: (a * mg.ops.matmul(mg.tensor(matrix), a)).sum()
    np.testing.assert_array_equal(mg.hvp(quadratic, x, v).numpy(), (matrix + matrix.T) @ v)
    np.testing.assert_array_equal(
        mg.hvp(lambda a: (a * a * a).sum(), mg.tensor(x, requires_grad=True), v).numpy(), 6 * x * v
    )


def test_parameters_are_constants_in_vjp_jvp_and_hvp():
    weight = leaf([2.0, 3.0])
    layer = lambda a: a * a * weight
    _, pullback = mg.vjp(layer, [1.0, 1.0])
    pullback([1.0, 1.0])
    mg.jvp(layer, [1.0, 1.0], [1.0, 1.0])
    mg.hvp(lambda a: layer(a).sum(), [1.0, 1.0], [1.0, 1.0])
    assert weight.grad is None


def test_vjp_jvp_and_hvp_leave_the_callers_tensors_alone():
    x = leaf([1.0, 2.0])
    mg.vjp(lambda a: a * a, x)[1]([1.0, 1.0])
    mg.jvp(lambda a: a * a, x, [1.0, 1.0])
    mg.hvp(lambda a: (a * a).sum(), x, [1.0, 1.0])
    assert x.grad is None
    assert x.requires_grad


def test_vjp_jvp_and_hvp_differentiate_inside_no_grad_too():
    square = lambda a: a * a
    with mg.no_grad():
        assert mg.vjp(square, [1.0, 2.0])[1]([1.0, 1.0]).numpy().tolist() == [2.0, 4.0]
        assert mg.jvp(square, [1.0, 2.0], [1.0, 1.0])[1].numpy().tolist() == [2.0, 4.0]
        assert mg.hvp(lambda a: square(a).sum(), [1.0, 2.0], [1.0, 1.0]).numpy().tolist() == [2.0, 2.0]


# -- no_grad --------------------------------------------------------------------------------------------------------


def recorded():
    return (mg.tensor([1.0], requires_grad=True) * 2).requires_grad


def test_no_grad_nests_and_ends_with_its_block_also_by_an_error():
    assert recorded()
    with mg.no_grad():
        assert not recorded()
        with mg.no_grad():
            assert not recorded()
        assert not recorded()
        with pytest.raises(ZeroDivisionError), mg.no_grad():
            1 / 0  # noqa: B018
        assert not recorded()
    assert recorded()


def test_one_no_grad_may_be_entered_again_and_again():
    quiet = mg.no_grad()
    with quiet:
        with quiet:
            assert not recorded()
        assert not recorded()
    assert recorded()
    with quiet:
        assert not recorded()
    assert recorded()


def test_no_grad_decorates_functions_and_methods():
    class Model:
        @mg.no_grad()
        def sample(self, n, *, scale=1):
            """Draw."""
            return n * scale, recorded()

    assert Model().sample(2, scale=3) == (6, False)
    assert (Model.sample.__name__, Model.sample.__doc__) == ("sample", "Draw.")
    assert recorded()


def test_no_grad_belongs_to_its_thread():
    inside, outside, results = threading.Event(), threading.Event(), {}

    def quiet():
        with mg.no_grad():
            inside.set()
            outside.wait(5)
            results["quiet"] = recorded()

    thread = threading.Thread(target=quiet)
    thread.start()
    inside.wait(5)
    results["main"] = recorded()
    outside.set()
    thread.join()
    assert results == {"main": True, "quiet": False}


def test_graphs_of_several_threads_do_not_disturb_each_other():
    results = {}

    def work(k):
        x = leaf(np.ones(4))
        for _ in range(20):
            y = x
            for _ in range(20):
                y = y * 1.0 + x
            y.sum().backward()
        results[k] = x.grad.numpy().tolist()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {k: [420.0] * 4 for k in range(4)}


def test_create_graph_records_inside_no_grad():
    x = leaf([1.0, 2.0])
    y = (x * x * x).sum()
    with mg.no_grad():
        first = mg.grad(y, x, create_graph=True)
        assert not recorded()
    assert mg.grad(first.sum(), x).numpy().tolist() == [6.0, 12.0]


@pytest.mark.parametrize("third", [1 / 3, np.float64(1 / 3), np.array(1 / 3)])
def test_what_arrives_or_is_assigned_is_rounded_to_its_tensors_dtype_and_no_further(third):
    x = mg.tensor(np.array([1.0]), requires_grad=True)
    y = x[0] * 1.0
    assert mg.grad(y, x, third, retain_graph=True).item() == 1 / 3
    y.backward(third)
    assert x.grad.item() == 1 / 3
    assert mg.grad(x * 1.0, x, [1 / 3]).item() == 1 / 3
    assert mg.tensor(np.zeros(1)).assign_([1 / 3]).item() == 1 / 3
