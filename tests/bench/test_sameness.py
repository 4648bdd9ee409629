"""Which differences rounding explains, and which are another computation."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minigan.bench.sameness import difference


def gradients(seed):
    rng = np.random.default_rng(seed)
    return {"d.0.weight": rng.normal(size=(8, 5)).astype("float32"), "d.0.bias": rng.normal(size=8).astype("float32")}


@given(st.integers(0, 99), st.sampled_from(["d.0.weight", "d.0.bias"]), st.floats(0.2, 3))
def test_a_wrong_gradient_is_named_and_rounding_is_not(seed, name, factor):
    grads = gradients(seed)
    rng = np.random.default_rng(seed)
    rounded = {k: a * (1 + 1e-6 * rng.normal(size=a.shape).astype("float32")) for k, a in grads.items()}
    assert difference([0.5], rounded, [0.5], grads) is None
    grads[name] = grads[name] * np.float32(1 + factor)
    assert f"the gradient of {name} is off by" in difference([0.5], rounded, [0.5], grads)


@given(st.integers(0, 99), st.sampled_from(["d.0.weight", "d.0.bias"]))
def test_ten_bits_are_rounding_in_tf32_alone_and_another_gradient_is_none(seed, name):
    grads = gradients(seed)
    rng = np.random.default_rng(seed)
    cut = {k: a + np.float32(0.07) * rng.permutation(a.reshape(-1)).reshape(a.shape) for k, a in grads.items()}
    assert "is off by" in difference([0.5], cut, [0.5], grads)
    assert difference([0.5002], cut, [0.5], grads, "tf32") is None
    assert "loss 0 is off" in difference([0.52], cut, [0.5], grads, "tf32")
    cut[name] = -grads[name]
    assert f"the gradient of {name} is off by" in difference([0.5], cut, [0.5], grads, "tf32")


def test_a_little_everywhere_is_found_and_so_is_much_in_one_element():
    grads = {"d.0.weight": np.random.default_rng(0).normal(size=(300, 300)).astype("float32")}
    everywhere = {"d.0.weight": grads["d.0.weight"] * np.float32(1.02)}
    assert "in the root of its mean square" in difference([0.5], everywhere, [0.5], grads)
    wrong = {"d.0.weight": grads["d.0.weight"].copy()}
    wrong["d.0.weight"][7, 9] += 0.3  # 1e-3 of the root of the mean square
    assert "in some element" in difference([0.5], wrong, [0.5], grads)


def test_one_wrong_element_is_found_and_so_is_what_no_norm_shows():
    grads, wrong = gradients(0), gradients(0)
    wrong["d.0.weight"][0] = wrong["d.0.weight"][0, ::-1]  # the same norm
    assert "d.0.weight" in difference([0.5], wrong, [0.5], grads)
    wrong = gradients(0)
    wrong["d.0.bias"][3] = np.nan
    assert "d.0.bias" in difference([0.5], wrong, [0.5], grads)


def test_a_wrong_loss_a_missing_gradient_and_a_wrong_shape_are_found():
    grads = gradients(0)
    assert difference([0.5, 0.7], grads, [0.5, 0.701], grads).startswith("loss 1 is off by 0.001, where it is 0.7")
    assert "d.0.bias on one side only" in difference([0.5], {"d.0.weight": grads["d.0.weight"]}, [0.5], grads)
    assert "shape (5, 8)" in difference([0.5], grads | {"d.0.weight": grads["d.0.weight"].T}, [0.5], grads)


def test_what_is_nothing_but_rounding_is_no_difference():
    """A critic's last bias: -1 + 1."""
    grads = gradients(0) | {"d.9.bias": np.full(1, 1e-10, "float32")}
    assert difference([0.5], grads | {"d.9.bias": np.full(1, -1e-9, "float32")}, [0.5], grads) is None
