"""Binary cross-entropy on logits: the textbook's formula where that can be computed, and both tails where it cannot."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import assert_close, run

import minigan as mg
from minigan.errors import DTypeError, ShapeError
from minigan.ops import loss

from .cases import CASES

pytestmark = pytest.mark.filterwarnings("ignore:bce_with_logits takes logits")  # where drawn ones lie in [0, 1]
BOUND = 1e-14  # means of at most 27 terms, each of some ten roundings


@given(st.data())
def test_textbook(data):
    """Values, and gradients by the logits and by targets of either shape."""
    call = data.draw(CASES["bce_with_logits"])
    x, target = call.inputs["x"], call.inputs["target"]
    p = 1 / (1 + np.exp(-x))
    (y,), grads = run(call, [np.array(1.0)])
    assert_close(y, np.asarray(np.mean(-target * np.log(p) - (1 - target) * np.log(1 - p))), BOUND)
    assert_close(grads[0], (p - target) / x.size, BOUND)
    for dtarget in grads[1:]:
        each = -x / x.size
        assert_close(dtarget, each if target.shape == x.shape else np.asarray(each.sum()), BOUND)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("target", "loss", "slopes"), [(0.0, [0, 1e4], [0, 1]), (1.0, [1e4, 0], [-1, 0])])
def test_far_tails_neither_overflow_nor_warn(target, loss, slopes, dtype):
    for i, value in enumerate((-1e4, 1e4)):
        x = mg.tensor(np.array([value], dtype), requires_grad=True)
        y = mg.ops.bce_with_logits(x, target)
        dx = mg.grad(y, x, create_graph=True)
        assert y.item() == loss[i]
        assert dx.item() == slopes[i]
        assert mg.grad(dx, x).item() == 0
        assert y.dtype == dx.dtype == np.dtype(dtype)


@pytest.mark.parametrize(("logit", "target"), [(40.0, 1.0), (-40.0, 0.0)])
def test_a_confident_logit_keeps_its_loss(logit, target):
    y = mg.ops.bce_with_logits(np.array([logit]), target)
    np.testing.assert_allclose(y.item(), np.exp(-40.0), rtol=1e-15)  # log(1 + e) is e there, to a few roundings


@given(st.data())
def test_a_number_is_a_target_for_every_logit(data):
    call = data.draw(CASES["bce_with_logits"])
    x = call.inputs["x"]
    for target in (0.9, np.float32(0.5), 1):
        number, array = mg.ops.bce_with_logits(x, target), mg.ops.bce_with_logits(x, np.full(x.shape, target, x.dtype))
        assert_close(number.numpy(), array.numpy(), BOUND)


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 1), (1, 2, 3)])
def test_a_target_does_not_broadcast(shape):
    for function in (mg.ops.bce_with_logits, mg.ops.mse_loss, mg.ops.l1_loss):
        with pytest.raises(ShapeError, match=r"a number or of x's shape \(2, 3\), got"):
            function(np.zeros((2, 3)), np.zeros(shape))


def test_a_number_as_logits_is_named():
    with pytest.raises(DTypeError, match=r"bce_with_logits\(x 2\.0, target \(\).*is a number given where an array"):
        mg.ops.bce_with_logits(2.0, np.array(0.5))


@given(CASES["mse_loss"])
def test_distances_are_their_definitions(call):
    x, target = call.arguments()
    assert_close(mg.ops.mse_loss(x, target).numpy(), np.mean((x - target) ** 2), BOUND)
    assert_close(mg.ops.l1_loss(x, target).numpy(), np.mean(np.abs(x - target)), BOUND)


def test_l1_is_flat_where_x_is_its_target():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    assert mg.grad(mg.ops.l1_loss(x, 1.0), x).numpy().tolist() == [0.0, 0.5]


@pytest.fixture
def fresh_warnings():
    """As if no loss had warned yet."""
    loss._warn_once.cache_clear()
    yield
    loss._warn_once.cache_clear()


probabilities = np.array([[0.25, 0.75], [0.5, 0.5]])
LOSSES = {
    "bce_with_logits": lambda x: mg.ops.bce_with_logits(x, 1.0),
    "cross_entropy": lambda x: mg.ops.cross_entropy(x, np.array([0, 1])),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "make",
    [
        lambda: probabilities,
        pytest.param(
            lambda: mg.tensor(probabilities, requires_grad=True), marks=pytest.mark.host
        ),  # a device isn't read
        lambda: mg.tensor(3 * probabilities, requires_grad=True).sigmoid(),
        lambda: mg.tensor(3 * probabilities, requires_grad=True).softmax(),
    ],
)
def test_probabilities_draw_one_warning(name, make, fresh_warnings):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LOSSES[name](make())
        LOSSES[name](make())
    assert [str(w.message)[: len(name) + 13] for w in caught] == [f"{name} takes logits"]
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "x",
    [
        probabilities + 0.6,
        probabilities - 0.6,
        np.zeros((2, 2)),
        mg.tensor(probabilities, requires_grad=True) * 1,  # logits that an op made may lie there
    ],
)
def test_logits_draw_none(name, x, fresh_warnings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LOSSES[name](x)
