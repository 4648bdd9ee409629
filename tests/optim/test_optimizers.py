"""Optimisers against their definitions, and what every one owes its parameters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.errors import DTypeError, InPlaceChange, ShapeError
from minigan.testing import STRICT


def adam(value, grads, lr, betas, eps, weight_decay):
    """Algorithm 1 of Kingma and Ba (2015), line by line."""
    m, v = np.zeros_like(value), np.zeros_like(value)
    for t, g in enumerate(grads, start=1):
        g = g + weight_decay * value
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        value = value - lr * m_hat / (np.sqrt(v_hat) + eps)
    return value


def sgd(value, grads, lr, momentum, weight_decay):
    """The sum written out: every earlier gradient counts, by its age."""
    seen = []
    for g in grads:
        seen.append(g + weight_decay * value)
        value = value - lr * sum(momentum**age * g for age, g in enumerate(reversed(seen)))
    return value


def rmsprop(value, grads, lr, alpha, eps, weight_decay):
    """Tieleman and Hinton (2012), with eps beside the root."""
    v = np.zeros_like(value)
    for g in grads:
        g = g + weight_decay * value
        v = alpha * v + (1 - alpha) * g**2
        value = value - lr * g / (np.sqrt(v) + eps)
    return value


weight_decays = st.sampled_from([0.0, 0.1])
OPTIMIZERS = {
    "Adam": (
        adam,
        st.fixed_dictionaries(
            {
                "lr": st.just(0.01),
                "betas": st.sampled_from([(0.9, 0.999), (0.5, 0.999), (0.0, 0.9)]),
                "eps": st.just(1e-8),
                "weight_decay": weight_decays,
            }
        ),
    ),
    "SGD": (
        sgd,
        st.fixed_dictionaries(
            {"lr": st.just(0.01), "momentum": st.sampled_from([0.0, 0.9]), "weight_decay": weight_decays}
        ),
    ),
    "RMSProp": (
        rmsprop,
        st.fixed_dictionaries(
            {
                "lr": st.just(0.01),
                "alpha": st.sampled_from([0.99, 0.5]),
                "eps": st.just(1e-8),
                "weight_decay": weight_decays,
            }
        ),
    ),
}


def give(parameter, gradient):
    parameter.grad = mg.tensor(gradient)


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(
    st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_each_is_its_definition(name, shapes, seed, data):
    definition, strategy = OPTIMIZERS[name]
    settings, rng = data.draw(strategy), np.random.default_rng(seed)
    starts = [rng.normal(size=s) for s in shapes]
    grads = [[rng.normal(size=s) for s in shapes] for _ in range(4)]
    params = [mg.tensor(s, requires_grad=True) for s in starts]
    opt = getattr(mg.optim, name)(params, **settings)
    for step in grads:
        for p, g in zip(params, step, strict=True):
            give(p, g)
        opt.step()
    for i, p in enumerate(params):
        expected = definition(starts[i], [step[i] for step in grads], **settings)
        # a dozen float64 operations a step, in another order, on values of order 1
        np.testing.assert_allclose(p.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_long_parameters_cross_the_blocks_of_the_fast_kernel():
    rng = np.random.default_rng(0)
    start, grads = rng.normal(size=40_000), rng.normal(size=(3, 40_000))
    p = mg.tensor(start, requires_grad=True)
    opt = mg.optim.Adam([p], lr=0.1)
    for g in grads:
        give(p, g)
        opt.step()
    # as above
    np.testing.assert_allclose(p.numpy(), adam(start, grads, 0.1, (0.9, 0.999), 1e-8, 0.0), rtol=1e-12, atol=1e-12)


def test_a_parameter_without_a_gradient_stays_and_its_count_too():
    a, b = (mg.tensor([1.0, 2.0], requires_grad=True) for _ in "ab")
    opt = mg.optim.Adam([a, b], lr=0.1)
    give(a, [1.0, 1.0])
    opt.step()
    np.testing.assert_array_equal(b.numpy(), [1.0, 2.0])
    opt.zero_grad()
    assert a.grad is None
    give(b, [1.0, 1.0])
    opt.step()  # b's first step, so its bias correction is that of step 1: the whole learning rate
    np.testing.assert_allclose(b.numpy(), [0.9, 1.9], rtol=1e-6)  # float32 rounding
    assert opt.state_dict()["steps"] == [1, 1]


def test_parameters_keep_their_identity_and_layout_of_gradients_does_not_matter():
    w = mg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    array_before = w.numpy().copy()
    opt = mg.optim.Adam([w], lr=0.1)
    np.testing.assert_array_equal(w.numpy(), array_before)
    w.grad = mg.tensor(np.asfortranarray(np.array([[1.0, -1, 1], [-1, 1, -1]])), copy=False)
    opt.step()
    np.testing.assert_allclose(w.numpy(), array_before - 0.1 * np.array([[1, -1, 1], [-1, 1, -1]]), rtol=1e-6)


def test_an_array_that_was_replaced_is_taken_up_again():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    opt = mg.optim.Adam([w], lr=0.1)
    w.data = mg.tensor([5.0, 5.0]).data
    give(w, [1.0, 1.0])
    opt.step()
    np.testing.assert_allclose(w.numpy(), [4.9, 4.9], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings"), [("Adam", {"lr": 0.05}), ("SGD", {"lr": 0.01, "momentum": 0.9}), ("RMSProp", {"lr": 0.05})]
)
@given(st.integers(0, 5), st.integers(1, 5))
def test_a_state_dict_continues_a_run_exactly(name, settings, before, after):
    def run(opt, w, steps):
        for _ in range(steps):
            opt.zero_grad()
            (w * w * w).sum().backward()
            opt.step()

    w = mg.tensor([1.0, -2.0, 3.0], requires_grad=True)
    opt = getattr(mg.optim, name)([w], **settings)
    run(opt, w, before)
    twin = mg.tensor(w.numpy(), requires_grad=True)
    other = getattr(mg.optim, name)([twin])
    other.load_state_dict(opt.state_dict())
    run(opt, w, after)
    run(other, twin, after)
    np.testing.assert_array_equal(w.numpy(), twin.numpy())


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(st.permutations(range(3)), st.permutations(range(3)), st.sampled_from([2, 100]), st.sampled_from([0.0, 0.1]))
def test_order_in_memory_changes_nothing_and_a_gradient_stays_as_it_is(name, of_parameter, of_gradient, side, decay):
    """Of a small parameter, gathered with others, and of one that is large enough to be updated by itself."""

    def lying(array, axes):
        return np.ascontiguousarray(array.transpose(axes)).transpose(np.argsort(axes))

    rng = np.random.default_rng(0)
    start, grads = rng.normal(size=(2, 5, side**2)), rng.normal(size=(3, 2, 5, side**2))
    made = []
    for axes in (range(3), of_parameter):
        params = [mg.tensor(np.ones(3), requires_grad=True), mg.tensor(start, requires_grad=True)]
        params[1].data = mg.tensor(lying(start, axes), copy=False).data
        made.append((params, getattr(mg.optim, name)(params, weight_decay=decay)))
    (plain, opt), (moved, other) = made
    for step, g in enumerate(grads):
        if step == 2:
            opt.load_state_dict(other.state_dict())
        for params, axes in ((plain, range(3)), (moved, of_gradient)):
            give(params[0], np.ones(3))
            params[1].grad = mg.tensor(lying(g, axes), copy=False)
        opt.step()
        other.step()
        np.testing.assert_array_equal(moved[1].grad.numpy(), g)
    np.testing.assert_array_equal(plain[1].numpy(), moved[1].numpy())


@pytest.mark.host
@pytest.mark.parametrize("name", OPTIMIZERS)
@given(st.lists(st.tuples(st.sampled_from([1e-3, 1e-2]), st.booleans()), min_size=1, max_size=6), st.integers(0, 99))
def test_on_a_device_a_step_is_the_hosts_in_its_dtype(name, script, seed):
    """Rates and counts lie there, one for each parameter, and are written only when they have changed."""
    start, results = np.random.default_rng(seed).normal(size=(2, 5)).astype("float32"), []
    for backend in ("numpy", "strict"):
        with mg.backend(backend):
            params = [mg.tensor(row, requires_grad=True) for row in start]
            opt, rng = getattr(mg.optim, name)(params, lr=1e-3), np.random.default_rng(seed)
            for rate, both in script:
                opt.lr = rate
                for p in params:
                    p.grad = mg.tensor(rng.normal(size=5).astype("float32")) if both or p is params[0] else None
                opt.step()
            again = STRICT.launches
            opt.lr = rate
            opt.step()
            launches, again = STRICT.launches, STRICT.launches - again
            opt.lr = rate / 2
            opt.step()
            assert backend == "numpy" or STRICT.launches - launches == again + 1
            arrays = [params[0], *(v for k, v in opt.state_dict().items() if k not in ("settings", "steps"))]
            assert {str(a.dtype) for a in arrays} == {"float32"}
            results.append([np.stack([p.numpy() for p in params]), opt.state_dict()])
    (host, state), (device, other) = results
    # float32 in up to 8 steps of a dozen roundings each, on values of order 1
    np.testing.assert_allclose(device, host, rtol=1e-5, atol=1e-5)
    assert (state["steps"], state["settings"]) == (other["steps"], other["settings"])


def test_a_step_between_forward_and_backward_is_caught():
    w = mg.tensor([1.0], requires_grad=True, name="w")
    opt = mg.optim.Adam([w])
    loss = (w * w).sum()
    give(w, [1.0])
    opt.step()
    with pytest.raises(InPlaceChange, match=r"Adam\.step\(\) on 'w'"):
        loss.backward()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mg.optim.Adam([]), ValueError, "no parameters"),
        (lambda: mg.optim.Adam([mg.tensor([1.0], requires_grad=True)] * 2), ValueError, "twice"),
        (lambda: mg.optim.Adam([mg.tensor([1.0])]), DTypeError, "require a gradient"),
        (lambda: mg.optim.Adam([np.ones(3)]), DTypeError, "leaf Tensors"),
        (
            lambda: mg.optim.Adam([mg.tensor([1.0], requires_grad=True)], lr=-1),
            ValueError,
            "lr must be at least 0, got -1",
        ),
        (lambda: mg.optim.SGD([mg.tensor([1.0], requires_grad=True)], momentum=1.0), ValueError, "momentum must be in"),
        (lambda: mg.optim.RMSProp([mg.tensor([1.0], requires_grad=True)], alpha=-0.1), ValueError, "alpha must be in"),
        (lambda: mg.optim.Adam([mg.tensor([1.0], requires_grad=True)], betas=(0.9, 1.0)), ValueError, "betas"),
        (
            lambda: mg.optim.Adam([mg.tensor([1.0], requires_grad=True), mg.tensor(np.ones(2), requires_grad=True)]),
            DTypeError,
            "one dtype",
        ),
    ],
)
def test_mistakes_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_state_of_other_parameters_is_refused():
    opt = mg.optim.Adam([mg.tensor([1.0, 2.0], requires_grad=True)])
    other = mg.optim.Adam([mg.tensor([1.0], requires_grad=True)])
    with pytest.raises(ShapeError, match="other parameters"):
        opt.load_state_dict(other.state_dict())
    with pytest.raises(ShapeError, match="must have"):
        opt.load_state_dict({})
