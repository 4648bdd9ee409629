"""Runs: the same seed, whole files, and what goes wrong."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minigan as mg
from minigan import backends
from minigan.errors import BackendError, RunError, TrainingFailed
from minigan.gan import PRESETS, Trainer, files


def small(out, model="gan", **changes):
    return replace(PRESETS[model], **{"steps": 4, "batch_size": 8, "judge": 0, "out": Path(out), **changes})


def content(folder):
    return {p.name: p.read_bytes() for p in Path(folder).rglob("*") if p.is_file() and p.stat().st_size}


@pytest.mark.parametrize("model", PRESETS)
def test_the_same_seed_gives_the_same_run_bit_for_bit(tmp_path, model):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        Trainer(small(tmp_path / name, model, seed=seed)).run()
    a, b, c = (content(tmp_path / name) for name in "abc")
    assert a == b
    assert a["generator.safetensors"] != c["generator.safetensors"]
    assert a["metrics.jsonl"] != c["metrics.jsonl"]


@pytest.mark.host
@pytest.mark.parametrize("model", ["gan", "dcgan"])
def test_what_ran_before_does_not_change_a_run_or_its_samples(tmp_path, model):
    """Whose threads serve decides how sums are rounded, and a convolution anywhere in the process lets minigan's serve."""
    samples = []
    for own in (False, True):
        with backends.own_threads(own):
            trainer = Trainer(small(tmp_path / str(own), model, batch_size=64, steps=2))
        with backends.own_threads(own):
            trainer.run()
        with backends.own_threads(own):
            samples.append(mg.gan.load(trainer.out).sample(64))
    assert content(tmp_path / "False") == content(tmp_path / "True")
    np.testing.assert_array_equal(*samples)


@pytest.fixture
def same_threads_afterwards():
    before = backends.threads()
    yield
    backends.set_threads(before)


def test_a_run_takes_the_threads_that_it_is_given(tmp_path, same_threads_afterwards):
    Trainer(small(tmp_path / "one", threads=1))
    assert backends.threads() == 1
    with pytest.raises(BackendError, match="threads must be from 1 to"):
        Trainer(small(tmp_path / "many", threads=10_000))
    assert not (tmp_path / "many").exists()
    assert backends.threads() == 1


def test_a_run_leaves_its_files(tmp_path):
    trainer = Trainer(small(tmp_path, steps=None, epochs=2, batch_size=1250))
    trainer.run()
    assert content(tmp_path).keys() == {
        "config.json",
        "metrics.jsonl",
        "losses.png",
        "report.html",
        "generator.safetensors",
        "samples.png",
        "samples-000.png",
        "samples-001.png",
        "samples-002.png",
        "000000004.safetensors",
        "000000008.safetensors",
    }
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(m["step"], m["epoch"]) for m in lines] == [(4, 1), (8, 2)]
    assert json.loads((tmp_path / "config.json").read_text())["batch_size"] == 1250
    assert (tmp_path / "samples.png").read_bytes() == (tmp_path / "samples-002.png").read_bytes()


@pytest.mark.parametrize("latent", ["normal", "uniform"])
def test_a_run_is_read_back(tmp_path, latent):
    trainer = Trainer(small(tmp_path, "dcgan", latent=latent))
    trainer.run()
    run = mg.gan.load(tmp_path)
    assert run.config == replace(trainer.config, out=tmp_path)
    images = run.sample(3, seed=1)
    assert (images.shape, images.dtype) == ((3, 1, 28, 28), np.float32)
    np.testing.assert_array_equal(images, run.sample(3, seed=1))
    assert np.abs(images - run.sample(3, seed=2)).max() > 0
    for key, value in trainer.kept.state_dict().items():
        np.testing.assert_array_equal(value, run.generator.state_dict()[key])
    with pytest.raises(RunError, match="at least 1, got 0"):
        run.sample(0)


def test_a_folder_that_holds_a_run_is_refused_and_kept(tmp_path):
    Trainer(small(tmp_path)).run()
    before = content(tmp_path)
    with pytest.raises(RunError, match="holds a run already"):
        Trainer(small(tmp_path))
    assert content(tmp_path) == before


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written to"):
        Trainer(small(tmp_path / "file" / "run"))


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_files(tmp_path, player):
    trainer = Trainer(small(tmp_path, steps=None, epochs=2, batch_size=1250))
    plain, step = getattr(trainer.loss, player), trainer.step

    def breaks_in_the_second_epoch():
        if trainer.done == 7:
            trainer.loss = replace(trainer.loss, **{player: lambda *logits: plain(*logits) * float("nan")})
        return step()

    trainer.step = breaks_in_the_second_epoch
    with pytest.raises(TrainingFailed, match=rf"the {player}'s loss is nan at step 8, epoch 2.*--lr.*epoch 1"):
        trainer.run()
    run = mg.gan.load(tmp_path)
    assert np.isfinite(run.sample(4)).all()
    assert not (tmp_path / "samples-002.png").exists()


def test_ctrl_c_leaves_the_last_epochs_files_whole(tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    Trainer(small(whole, steps=4, batch_size=1250)).run()
    trainer = Trainer(small(stopped, steps=None, epochs=3, batch_size=1250))
    plain, calls = trainer.step, []

    def interrupted():
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return plain()

    trainer.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    a, b = content(whole), content(stopped)
    assert a.keys() == b.keys()
    told_apart = {"config.json", "report.html", "000000004.safetensors"}  # by their settings
    assert all(a[name] == b[name] for name in a.keys() - told_apart)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    target = tmp_path / "file"
    files.write(target, "old")

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(target, "new")
    assert content(tmp_path) == {"file": b"old"}


def test_a_batch_larger_than_the_data_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(RunError, match="a batch of 5001 is larger than the data, 5000 images"):
        Trainer(small(tmp_path / "run", batch_size=5001))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "epochs must be at least 1, got 0"),
        ("steps", -1, "steps must be at least 1"),
        ("batch_size", 0, "batch_size must be at least 1"),
        ("lr", 0.0, "lr must be above 0"),
        ("lr", float("nan"), "lr must be above 0"),
        ("lr_d", -1.0, "lr_d must be above 0"),
        ("smoothing", 0.0, "smoothing must be above 0"),
        ("smoothing", 1.5, "smoothing must be above 0 and at most 1"),
        ("beta1", 1.0, "beta1 must be from 0 to below 1, got 1.0"),
        ("beta2", -0.1, "beta2 must be from 0 to below 1"),
        ("condition", "film", "condition must be one of projection, concatenation, got 'film'"),
        ("seed", -1, "seed must be at least 0"),
        ("loss", "hinge-ish", "loss must be one of minimax, non-saturating, least-squares"),
        ("model", "vae", "model must be one of gan, dcgan"),
    ],
)
def test_settings_that_make_no_sense_are_named(field, value, message):
    with pytest.raises(RunError, match=message):
        replace(PRESETS["gan"], **{field: value})


@pytest.fixture
def run(tmp_path):
    Trainer(small(tmp_path, steps=1)).run()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("config.json", None, "is not a run: it has no config.json"),
        ("config.json", b"{", r"config\.json is damaged"),
        ("config.json", b'{"model": "gan", "future": 1}', r"config\.json is damaged or of another version"),
        ("config.json", b'{"model": "vae"}', r"config\.json is damaged or of another version"),
        ("generator.safetensors", None, r"has no generator\.safetensors yet"),
        ("generator.safetensors", b"", r"generator\.safetensors is damaged"),
        ("generator.safetensors", b"truncated", r"generator\.safetensors is damaged"),
    ],
)
def test_a_damaged_run_is_named(run, name, damage, message):
    (run / name).unlink() if damage is None else (run / name).write_bytes(damage)
    with pytest.raises(RunError, match=message):
        mg.gan.load(run)


def test_the_weights_of_another_model_are_refused(run):
    text = (run / "config.json").read_text().replace('"gan"', '"dcgan"')
    (run / "config.json").write_text(text)
    with pytest.raises(RunError, match="is missing"):
        mg.gan.load(run)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunError, match="is not a run"):
        mg.gan.load(tmp_path / "nowhere")


@pytest.mark.parametrize("statistics", ["running", "standing"])
def test_the_same_latent_gives_the_same_image_whatever_stands_beside_it(tmp_path, statistics):
    Trainer(small(tmp_path, "dcgan")).run()
    run = mg.gan.load(tmp_path)
    before = run.generator.state_dict()
    many, few = (run.sample(n, seed=1, statistics=statistics) for n in (300, 2))
    # float32 rounding of sums of some thousand terms, which are taken in another order for another number of images
    np.testing.assert_allclose(many[:2], few, atol=1e-5)
    assert all((before[k] == v).all() for k, v in run.generator.state_dict().items())


def test_batch_statistics_are_those_of_the_images_made_together(tmp_path):
    Trainer(small(tmp_path, "dcgan")).run()
    run = mg.gan.load(tmp_path)
    before = run.generator.state_dict()
    many, few, alone = (run.sample(n, seed=1, statistics="batch") for n in (250, 2, 250))
    assert np.abs(many[:2] - few).max() > 1e-3
    np.testing.assert_array_equal(many, alone)
    assert all((before[k] == v).all() for k, v in run.generator.state_dict().items())


def test_standing_statistics_are_those_of_the_weights_as_they_are(tmp_path):
    """After two steps the running ones are still half those of the start."""
    Trainer(small(tmp_path, "dcgan", steps=2)).run()
    run = mg.gan.load(tmp_path)
    batch, standing, running = (run.sample(250, statistics=s) for s in ("batch", "standing", "running"))
    assert np.abs(standing - batch).mean() < np.abs(running - batch).mean() / 2
    with pytest.raises(RunError, match="statistics must be one of running, batch, standing, got 'none'"):
        run.sample(1, statistics="none")
