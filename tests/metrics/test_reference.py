"""Real digits beside real digits, and where they are found without a download."""

import numpy as np
import pytest

import minigan as mg
from minigan.metrics import reference
from minigan.metrics.reference import training_images

pytestmark = pytest.mark.host  # where the judge looks at images


def write_split(folder, split, images, labels):
    for kind, array in (("images-idx3", ((images[:, 0] + 1) * 127.5).round()), ("labels-idx1", labels)):
        header = np.array([0x800 + array.ndim, *array.shape], ">u4").tobytes()
        (folder / f"{split}-{kind}-ubyte").write_bytes(header + array.astype("uint8").tobytes())


@pytest.fixture
def no_cache(tmp_path_factory, monkeypatch):
    """A cache folder in which nothing lies."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MINIGAN_DATA", str(folder))
    return folder


@pytest.fixture(scope="module")
def real():
    images, _ = mg.data.digits()
    return mg.metrics.Reference("half of the embedded digits", images[::2], held_back=False)


def test_other_real_digits_are_at_the_floor_and_worse_ones_are_above_it(real):
    others = mg.data.digits()[0][1::2]
    found = real.compare(others)
    # digits that are as many as the reference, where its floor compares halves: about half of the floor
    assert 0.2 <= found["judge_frechet"] / found["judge_frechet_real"] <= 1
    for name in ("precision", "recall", "confidence", "entropy_of_mean"):
        assert abs(found[name] - found[f"{name}_real"]) <= 0.05  # of a thousand digits, with errors of 1%
    assert sum(found["class_shares"]) == pytest.approx(1)
    rng = np.random.default_rng(0)
    last = found["judge_frechet"]
    for noise in (0.3, 0.6, 1.2):
        noisy = np.clip(others + noise * rng.normal(size=others.shape), -1, 1).astype(np.float32)
        assert real.compare(noisy)["judge_frechet"] > 2 * last
        last = real.compare(noisy)["judge_frechet"]


def test_a_missing_class_and_one_digit_alone_are_seen(real):
    images, labels = mg.data.digits()
    found = real.compare(images[1::2])
    without = real.compare(images[1::2][labels[1::2] != 3])
    assert without["judge_frechet"] > 5 * found["judge_frechet"]
    assert without["recall"] < found["recall"] - 0.05
    assert abs(without["precision"] - found["precision"]) <= 0.05
    assert without["class_shares"][3] <= 0.01
    copies = real.compare(np.repeat(images[1:2], 100, axis=0))
    assert copies["recall"] <= 0.01
    assert copies["entropy_of_mean"] < 0.5


def test_figures_are_the_same_each_time_and_grow_with_fewer_samples(real):
    others = mg.data.digits()[0][1::2]
    assert real.compare(others) == real.compare(others)
    few, many = real.compare(others[::10]), real.compare(others)
    assert few["judge_frechet_real"] > many["judge_frechet_real"]
    assert few["judge_frechet"] > many["judge_frechet"]


def test_too_few_images_are_refused(real):
    with pytest.raises(ValueError, match="at least 4 images, got 3"):
        real.compare(real.images[:3])


@pytest.fixture
def no_network(monkeypatch):
    import pooch

    monkeypatch.setattr(pooch, "retrieve", lambda *_, **__: pytest.fail("a download was tried"))


@pytest.mark.usefixtures("no_cache", "no_network")
def test_without_the_test_split_the_embedded_digits_serve(tmp_path):
    images, labels = mg.data.digits()
    source = f"mnist:{tmp_path}"
    write_split(tmp_path, "train", images[::50], labels[::50])
    for name in ("digits", "mnist", source, "mnist:nowhere"):
        assert reference(name).name == "5,000 embedded digits (of MNIST's training split)"
        assert not reference(name).held_back
    assert reference("digits") is reference("mnist")
    assert training_images("mnist") is None
    assert training_images("mnist:nowhere") is None
    np.testing.assert_array_equal(training_images("digits"), images)
    np.testing.assert_array_equal(training_images(source), images[::50])


@pytest.mark.usefixtures("no_network")
def test_the_test_split_is_taken_from_the_runs_folder_or_else_from_the_cache(no_cache, tmp_path):
    images, labels = mg.data.digits()
    write_split(no_cache, "t10k", images[::50], labels[::50])
    for source in ("digits", "mnist", f"mnist:{tmp_path}"):
        found = reference(source)
        assert (found.name, found.held_back) == ("100 MNIST test digits", True)
    write_split(tmp_path, "t10k", images[::100], labels[::100])
    own = reference(f"mnist:{tmp_path}")
    assert reference(f"mnist:{tmp_path}/.") is own  # judged once
    assert sorted(map(bytes, own.images)) == sorted(map(bytes, images[::100]))
