"""The embedded digits and the loader."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg


def test_the_digits_are_the_first_500_training_images_of_each_class():
    images, labels = mg.data.digits()
    assert (images.shape, images.dtype) == ((5000, 1, 28, 28), np.float32)
    assert (images.min(), images.max()) == (-1.0, 1.0)
    np.testing.assert_array_equal(np.bincount(labels), [500] * 10)
    raw = ((images + 1) * 127.5).round().astype(np.uint8)
    # of the pixels in MNIST's training file: the selected images were compared with it when the file was made
    assert hashlib.sha256(raw.tobytes()).hexdigest() == DIGITS_SHA256


DIGITS_SHA256 = "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f"

sizes = st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


@given(sizes, st.integers(0, 1000))
def test_an_epoch_shows_each_sample_at_most_once_and_pairs_stay_together(size, seed):
    n, batch = size
    loader = mg.data.Loader(np.arange(n), np.arange(n) * 10, batch_size=batch, seed=seed)
    seen = []
    for a, b in loader:
        assert len(a) == batch
        np.testing.assert_array_equal(a * 10, b)
        seen += a.tolist()
    assert len(seen) == len(set(seen)) == n // batch * batch
    assert (loader.epoch, loader.position) == (1, 0)


@given(sizes, st.integers(0, 1000), st.integers(0, 30), st.integers(1, 30))
def test_a_state_dict_continues_the_order_exactly(size, seed, before, after):
    n, batch = size
    loader = mg.data.Loader(np.arange(n), batch_size=batch, seed=seed)
    for _ in range(before):
        loader.next()
    other = mg.data.Loader(np.arange(n), batch_size=batch, seed=seed + 1)
    other.load_state_dict(loader.state_dict())
    for _ in range(after):
        np.testing.assert_array_equal(loader.next()[0], other.next()[0])


def test_epochs_and_seeds_have_different_orders():
    orders = []
    for seed in (0, 1):
        loader = mg.data.Loader(np.arange(50), batch_size=50, seed=seed)
        orders += [tuple(loader.next()[0]), tuple(loader.next()[0])]
    assert len(set(orders)) == 4


@pytest.mark.parametrize("batch_size", [0, 6, -1])
def test_a_batch_must_fit_the_data(batch_size):
    with pytest.raises(ValueError, match=f"from 1 to the 5 samples there are, got {batch_size}"):
        mg.data.Loader(np.arange(5), batch_size=batch_size)


def test_arrays_must_be_of_one_length():
    with pytest.raises(ValueError, match=r"one length, got \[4, 5\]"):
        mg.data.Loader(np.arange(5), np.arange(4), batch_size=2)


def test_a_state_of_other_data_is_refused():
    state = mg.data.Loader(np.arange(5), batch_size=2).state_dict()
    with pytest.raises(ValueError, match="size 5, this loader has 6"):
        mg.data.Loader(np.arange(6), batch_size=2).load_state_dict(state)
