"""Data by a name, in the settings of a run."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from idx_support import write
from PIL import Image

import minigan as mg
from minigan.errors import DataError, RunError
from minigan.gan import PRESETS, Trainer
from minigan.gan.config import TrainConfig


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    write(tmp_path, rng.integers(0, 256, (9, 28, 28)).astype(np.uint8), rng.integers(0, 10, 9).astype(np.uint8))
    return tmp_path


def test_the_names_are_the_functions(folder, monkeypatch):
    for source, expected in (("digits", mg.data.digits()), (f"mnist:{folder}", mg.data.mnist(folder=folder))):
        for loaded, array in zip(mg.data.load(source), expected, strict=True):
            np.testing.assert_array_equal(loaded, array)
    monkeypatch.chdir(folder.parent)
    assert len(mg.data.load(f"mnist:{folder.name}")[0]) == 9


def test_a_folder_of_images_has_the_size_and_channels_that_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGAN_DATA", str(tmp_path / "cache"))
    (tmp_path / "cats: mine").mkdir()
    Image.new("RGB", (9, 5), (255, 0, 0)).save(tmp_path / "cats: mine" / "a.png")
    source = f"folder:{tmp_path}/cats: mine"
    for asked, size, channels in (({}, 64, 3), ({"size": 8}, 8, 3), ({"size": 9, "channels": 1}, 9, 1)):
        images, labels = mg.data.load(source, **asked)
        np.testing.assert_array_equal(images, mg.data.folder(tmp_path / "cats: mine", size, channels))
        assert images.shape == (1, channels, size, size)
        assert labels is None
    for wrong, message in (({"size": 0}, "size must be .* got 0"), ({"channels": 0}, "channels must be 1 or 3, got 0")):
        with pytest.raises(DataError, match=message):
            mg.data.load(source, **wrong)


def test_digits_of_another_size_are_refused(folder):
    for source in ("digits", f"mnist:{folder}"):
        assert mg.data.load(source, size=28, channels=1)[0].shape[1:] == (1, 28, 28)
        for asked, message in (
            ({"size": 64}, "size must be 28, got 64; images of other sizes come from a folder, folder:PATH"),
            ({"channels": 3}, "channels must be 1, got 3; images of"),
            ({"size": 0}, "size must be 28, got 0"),
        ):
            with pytest.raises(DataError, match=f"{source} has 28 x 28 grey images: {message}"):
                mg.data.load(source, **asked)


@pytest.mark.parametrize(
    "source", ["", "mnist:", "digits:", "digits:folder", "folder", "folder:", "MNIST", "fashion", " mnist", 5, None]
)
def test_a_name_that_there_is_not_is_refused_with_those_there_are(source):
    message = f"data must be one of digits, mnist, mnist:FOLDER, folder:PATH, ring, grid, line, got {source!r}$"
    for refusing in (mg.data.check, mg.data.load, lambda name: replace(PRESETS["gan"], data=name)):
        with pytest.raises(RunError, match=message):
            refusing(source)


@pytest.mark.parametrize("source", ["digits", "mnist", "mnist:a folder", "mnist:C:\\Ziffern\\é", "folder:my: cats"])
def test_the_name_comes_back_from_config_json(tmp_path, source):
    config = replace(PRESETS["dcgan"], data=source, out=tmp_path)  # nothing is read yet
    (tmp_path / "config.json").write_text(config.to_json())
    assert TrainConfig.read(tmp_path) == config


def test_a_run_trains_on_the_images_that_were_named(folder, tmp_path):
    config = replace(PRESETS["gan"], data=f"mnist:{folder}", batch_size=9, steps=1, out=tmp_path / "run")
    trainer = Trainer(config)
    (real,) = trainer.loader.next()
    images, _ = mg.data.mnist(folder=folder)
    np.testing.assert_array_equal(np.sort(real, axis=0), np.sort(images, axis=0))
    with pytest.raises(RunError, match="a batch of 10 is larger than the data, 9 images"):
        Trainer(replace(config, batch_size=10))
    with pytest.raises(DataError, match="there is no folder nowhere"):
        Trainer(replace(config, data="mnist:nowhere", out=tmp_path / "other"))
    assert not (tmp_path / "other").exists()


some_arrays = arrays(
    st.sampled_from(["float32", "uint8"]), array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
)


@given(some_arrays, some_arrays)
def test_the_fingerprint_is_that_of_shape_kind_and_values(a, b):
    same = a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    assert (mg.data.fingerprint(a) == mg.data.fingerprint(b)) == same
    assert mg.data.fingerprint(a.copy(order="F")) == mg.data.fingerprint(a)  # whatever the order in memory


@given(arrays("float32", (2, 1, 3, 3), elements=st.floats(-1, 1, width=32)), st.integers(0, 17))
def test_one_changed_value_changes_the_fingerprint(images, where):
    changed = images.copy()
    changed.flat[where] += 1
    assert mg.data.fingerprint(changed) != mg.data.fingerprint(images)
