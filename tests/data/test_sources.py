"""Data by a name, in the settings of a run."""

from dataclasses import replace

import numpy as np
import pytest
from idx_support import write

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


@pytest.mark.parametrize("source", ["", "mnist:", "digits:", "digits:folder", "MNIST", "fashion", " mnist", 5, None])
def test_a_name_that_there_is_not_is_refused_with_those_there_are(source):
    message = f"data must be one of digits, mnist, mnist:FOLDER, got {source!r}$"
    for refusing in (mg.data.check, mg.data.load, lambda name: replace(PRESETS["gan"], data=name)):
        with pytest.raises(RunError, match=message):
            refusing(source)


@pytest.mark.parametrize("source", ["digits", "mnist", "mnist:a folder", "mnist:C:\\Ziffern\\é"])
def test_the_name_comes_back_from_config_json(tmp_path, source):
    config = replace(PRESETS["dcgan"], data=source, out=tmp_path)  # nothing is read yet
    assert TrainConfig.from_json(config.to_json(), tmp_path) == config


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
