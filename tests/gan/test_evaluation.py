"""A run judged: what is printed and kept, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

import minigan as mg
from minigan.errors import RunError
from minigan.gan import PRESETS, Run
from minigan.gan.evaluation import evaluate, table
from minigan.nn import Module


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch):
    """MNIST is not at hand, so that the reference is the same on every machine."""
    monkeypatch.setenv("MINIGAN_DATA", str(tmp_path))


class Shows(Module):
    """A generator that shows given images, whatever the latents."""

    def __init__(self, images):
        self.images = images

    def forward(self, z):
        return mg.tensor(np.resize(self.images, (len(z), *self.images.shape[1:])))


def run_of(images, **settings):
    return Run(replace(PRESETS["gan"], **settings), Shows(images))


@pytest.fixture(scope="module")
def digits():
    return mg.data.digits()[0]


def test_copies_of_the_training_digits_are_real_and_copied(digits):
    figures = evaluate(run_of(digits[::20]), n=250)
    assert figures["memorisation"] == 0
    assert figures["reference"] == "5,000 embedded digits (of MNIST's training split)"
    assert figures["judge_frechet"] < 1.5 * figures["judge_frechet_real"]  # as many real digits, of those themselves
    np.testing.assert_allclose(figures["class_shares"], 0.1, atol=0.01)  # by a judge that errs in less than 1%
    # the training images, where they are given and others
    assert evaluate(run_of(digits[::20]), n=250, training=digits[1::20])["memorisation"] > 0.8


def test_the_figures_repeat_and_are_json(digits):
    run = Run(PRESETS["gan"], mg.gan.models.mlp_generator(rng=0))
    figures = evaluate(run, n=60, seed=1)
    assert figures == evaluate(run, n=60, seed=1) == json.loads(json.dumps(figures, allow_nan=False))
    assert figures != evaluate(run, n=60, seed=2)
    assert figures["judge_frechet"] > 10 * figures["judge_frechet_real"]  # noise is no digit
    assert figures["precision"] == 0


def test_the_table_has_every_figure(digits):
    figures = evaluate(run_of(digits[::50], data="mnist:gone"), n=100)
    assert figures["memorisation"] is None
    text = table(figures)
    for name in figures.keys() - {"n", "seed", "judge", "reference", "class_shares", "memorisation"}:
        assert f"{figures[name]:.3f}" in text
        assert name.removesuffix("_real") in text
    assert figures["reference"] in text
    assert "100 samples from seed 0" in text
    assert "the training images are not at hand" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("images", "n", "message"),
    [
        (np.zeros((1, 1, 28, 28)), 3, "at least 4, got 3"),
        (np.zeros((1, 3, 28, 28)), 4, r"takes grey images \(n, 1, 28, 28\), this run makes \(4, 3, 28, 28\)"),
        (np.full((1, 1, 28, 28), np.nan), 4, "its generator has diverged"),
    ],
)
def test_what_the_judge_cannot_judge_is_refused(images, n, message):
    with pytest.raises(RunError, match=message):
        evaluate(run_of(images.astype("float32")), n=n)


def test_runs_on_other_data_are_refused_before_anything_is_drawn(digits):
    run = run_of(digits)
    object.__setattr__(run.config, "data", "ring")
    with pytest.raises(RunError, match="the judge knows digits only, and this run was trained on ring"):
        evaluate(run)
