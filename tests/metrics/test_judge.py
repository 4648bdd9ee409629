"""The judge that is shipped, and what it says of digits."""

import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import minigan as mg
from minigan import backends
from minigan.errors import DataError
from minigan.metrics.classifier import shifted
from minigan.metrics.reference import folder_of

WEIGHTS = files("minigan.metrics") / "judge.safetensors"


@pytest.fixture(scope="module")
def digits():
    return mg.data.digits()


def accuracy(images, labels):
    return (mg.metrics.judge().probabilities(images).argmax(axis=1) == labels).mean()


def test_the_file_is_small_and_says_what_it_is():
    assert WEIGHTS.stat().st_size <= 2_000_000
    with safe_open(WEIGHTS, "numpy") as stored:
        facts = stored.metadata()
        names = stored.keys()
        dtypes = {str(stored.get_tensor(name).dtype) for name in names}
    assert facts.keys() == {"version", "recipe", "test_accuracy"}
    assert float(facts["test_accuracy"]) >= 0.992
    assert dtypes == {"float32", "int64"}  # int64 counts batches
    assert mg.metrics.judge().facts == facts


def test_the_embedded_digits_are_recognised(digits):
    """They are of the training split, so that this says the weights are whole, not how good they are."""
    assert accuracy(*digits) >= 0.99


def test_the_test_split_is_recognised_as_the_file_says():
    try:
        images, labels = mg.data.mnist("test", folder_of("mnist"))
    except DataError:
        pytest.skip("MNIST's test split is not at hand; MINIGAN_DATA may name its folder")
    found = accuracy(images, labels)
    assert found >= 0.992
    # as in the file, but for digits on the edge, which another processor's rounding may move
    assert len(images) != 10_000 or abs(found - float(mg.metrics.judge().facts["test_accuracy"])) <= 0.0005


def test_features_are_64_that_all_fire_and_probabilities_sum_to_1(digits):
    images, _ = digits
    judge = mg.metrics.judge()
    features = judge.features(images)
    assert (features.shape, features.dtype) == ((5000, 64), "float32")
    assert features.min() == 0
    assert (features > 0).any(axis=0).all()
    probabilities = judge.classify(features)
    assert (probabilities.shape, probabilities.dtype) == ((5000, 10), "float32")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)  # of ten float32 numbers


def test_the_same_image_has_the_same_features_whatever_is_beside_it(digits):
    images = digits[0][::100]
    judge = mg.metrics.judge()
    whole = judge.features(images)
    order = np.random.default_rng(0).permutation(len(images))
    # sums may be blocked otherwise in another batch: roundings of float32 over some thousand products
    np.testing.assert_allclose(judge.features(images[order], batch=7), whole[order], rtol=1e-3, atol=1e-4)


@pytest.mark.host
@pytest.mark.parametrize("every", [1, 100, 1000])  # threads are chosen by size, and round otherwise
def test_nothing_that_ran_before_changes_a_bit_and_nothing_stays_behind(digits, every):
    images = digits[0][::every]
    judge = mg.metrics.judge()
    found = []
    for own in (False, True):
        with backends.own_threads(own):
            features = judge.features(images.astype("float64"))
        with backends.own_threads(own):
            probabilities = judge.classify(features)
        with backends.own_threads(own):
            np.testing.assert_array_equal(judge.probabilities(images), probabilities)
        found.append((features, probabilities))
        assert (mg.tensor(1.0, requires_grad=True) * 2).requires_grad  # gradients are on again
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not any(module.training for module in judge.network.modules())


@pytest.mark.parametrize("shape", [(0, 1, 28, 28), (2, 28, 28), (2, 3, 28, 28), (2, 1, 32, 32)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"takes images \(n, 1, 28, 28\), got"):
        mg.metrics.judge().features(np.zeros(shape))


def test_shifts_move_images_whole_and_each_way():
    images = np.full((500, 1, 28, 28), -1, np.float32)
    images[:, 0, 10, 20] = 1
    moved = shifted(images, np.random.default_rng(0))
    assert moved.shape == images.shape
    places = np.argwhere(moved == 1)
    assert len(places) == 500
    steps = {tuple(place) for place in places[:, 2:] - [10, 20]}
    assert steps == {
        (i, j) for i in range(-2, 3) for j in range(-2, 3)
    }  # 25, each missed by 500 draws once in a billion


@pytest.mark.host
def test_one_command_trains_a_judge(tmp_path):
    """On digits so few that it takes a second; the same seed gives the same weights."""
    images, labels = mg.data.digits()
    for split in ("train", "t10k"):
        for kind, array in (("images-idx3", (images[::20, 0] + 1) * 127.5), ("labels-idx1", labels[::20])):
            header = np.array([0x800 + array.ndim, *array.shape], ">u4").tobytes()
            (tmp_path / f"{split}-{kind}-ubyte").write_bytes(header + array.round().astype("uint8").tobytes())
    for name in ("a", "b"):
        command = [sys.executable, "-m", "minigan.metrics.train_judge", f"mnist:{tmp_path}", "--out", tmp_path / name]
        done = subprocess.run([*command, "--epochs", "2"], capture_output=True, text=True, timeout=120, check=True)
        assert "of 250 test digits" in done.stdout
    a, b = (load_file(tmp_path / name) for name in "ab")
    assert a.keys() == b.keys() == mg.metrics.judge().network.state_dict().keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])
    with safe_open(tmp_path / "a", "numpy") as stored:
        assert stored.metadata().keys() == mg.metrics.judge().facts.keys()
