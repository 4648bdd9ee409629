"""The toy GAN: its layers, its runs on points, and what is said of them."""

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from stop_support import stop

import minigan as mg
from minigan.data.sources import TOYS
from minigan.errors import RunError
from minigan.gan import PRESETS, Run, Trainer, pictures, points
from minigan.gan.evaluation import evaluate, table
from minigan.nn import Module
from minigan.testing import check_grads

seeds = st.integers(0, 2**32 - 1)
dims_of = {"ring": 2, "grid": 2, "line": 1}


@pytest.fixture(autouse=True)
def few_points(monkeypatch):
    monkeypatch.setattr("minigan.data.sources.POINTS", 80)


def settings(out, **changes):
    return replace(PRESETS["toy"], **{"steps": 4, "batch_size": 8, "judge": 0, "out": Path(out), **changes})


@given(seeds, st.integers(1, 3), st.integers(1, 5))
def test_standard_coordinates_and_back(seed, dims, n):
    rng = np.random.default_rng(seed)
    data = rng.normal(rng.uniform(-5, 5, dims), rng.uniform(0.1, 5), (50, dims)).astype("float32")
    there, back = points.Standardise(dims), points.Standardise(dims, back=True)
    for layer in (there, back):
        layer.fit(data)
    standard = there(mg.tensor(data)).numpy()
    # float32: means of fifty numbers below 10 standard deviations
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose((standard.astype("float64") ** 2).mean(), 1, rtol=1e-4)
    np.testing.assert_allclose(back(mg.tensor(standard)).numpy(), data, rtol=1e-4, atol=1e-5)
    for layer in (there, back):
        check_grads(layer, rng.normal(size=(n, dims)))


@given(seeds, st.integers(1, 3), st.integers(1, 6), st.integers(1, 4))
def test_waves_are_as_their_formula_says_and_equally_steep(seed, dims, count, n):
    rng = np.random.default_rng(seed)
    layer = points.Fourier(dims, count, finest=16.0, rng=rng)
    w, x = layer.weight.numpy().astype("float64"), rng.normal(size=(n, dims))
    lengths = np.linalg.norm(w, axis=0)
    np.testing.assert_allclose(lengths, np.geomspace(1, 16, count) if count > 1 else [1.0], rtol=1e-5)  # float32
    expected = np.concatenate([x, np.sin(x @ w) / lengths, np.cos(x @ w) / lengths], axis=1)
    np.testing.assert_allclose(layer(mg.tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-6)  # float32 amplitudes
    check_grads(layer, x, order=2)


@pytest.mark.parametrize("data", TOYS)
def test_a_run_on_points_leaves_what_other_runs_leave(tmp_path, data):
    trainer = Trainer(settings(tmp_path, data=data, judge=100, steps=20))
    images, _ = mg.data.load(data)
    trainer.run()
    run = mg.gan.load(tmp_path)
    assert run.sample(5, seed=1).shape == (5, dims_of[data])
    few, many = (run.sample(n, seed=1)[:250] for n in (250, 300))
    np.testing.assert_array_equal(few, many)
    last = trainer.metrics[-1]
    assert {"modes_covered", "high_quality_share", "spread_ratio", "reverse_kl", "distance"} <= last.keys()
    for name in ("samples.png", "samples-002.png", "losses.png", "report.html"):
        assert (tmp_path / name).stat().st_size > 0
    for layer in (trainer.generator, trainer.discriminator, run.generator):
        (standardise,) = (m for m in layer.modules() if isinstance(m, points.Standardise))
        np.testing.assert_allclose(standardise.mean.numpy(), images.mean(axis=0), rtol=1e-5, atol=1e-6)  # float32 sums
    figures = evaluate(run, n=100)
    assert json.loads(json.dumps(figures)) == figures
    assert f"{figures['modes_covered']} of {figures['modes']} modes" in table(figures)


@pytest.mark.parametrize("last", [3, 10, 12])
def test_rates_and_weights_that_fall_go_on_where_a_stop_found_them(tmp_path, last):
    same = {"steps": 15, "lr_decay": "linear", "penalty_weight_last": 1e-3, "instance_noise": 0.1}
    Trainer(settings(tmp_path / "whole", **same)).run()
    stop(Trainer(settings(tmp_path / "parts", **same)), last)
    Trainer.resume(tmp_path / "parts").run()
    for name in ("generator.safetensors", "metrics.jsonl", "samples.png"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_points_and_images_are_not_taken_for_each_other():
    with pytest.raises(RunError, match="gan cannot train on ring, which has points, for toy"):
        replace(PRESETS["gan"], data="ring")
    with pytest.raises(RunError, match="toy cannot train on digits, which has images; toy takes ring, grid, line"):
        replace(PRESETS["toy"], data="digits")
    with pytest.raises(RunError, match="grid has none; leave out --conditional"):
        replace(PRESETS["toy"], data="grid", conditional=True)
    with pytest.raises(RunError, match="ring has points, which have no size and no channels; leave them out"):
        mg.data.load("ring", size=28)


class Shows(Module):
    """A generator that shows true points, or one point that is not finite."""

    def __init__(self, data, lost=False):
        self.data, self.lost = data, lost

    def forward(self, z):
        made = TOYS[self.data](len(z), rng=0)
        if self.lost:
            made[0, 0] = np.inf
        return mg.tensor(made)


@pytest.mark.parametrize("data", TOYS)
def test_true_points_have_all_that_can_be_had(data):
    config = replace(PRESETS["toy"], data=data)
    figures = evaluate(Run(config, Shows(data)))
    assert figures["n"] == 2500
    assert figures["modes_covered"] == figures["modes"] == {"ring": 8, "grid": 25, "line": 1}[data]
    # of 2,500 points, repeated from 250: four standard deviations of a share, and of a width
    assert figures["high_quality_share"] == pytest.approx(
        0.9973 if data == "line" else 0.9889, abs=4 * (0.011 / 250) ** 0.5
    )
    assert figures["spread_ratio"] == pytest.approx(1, abs=0.25)
    with pytest.raises(RunError, match="the run's points are not all finite: its generator has diverged"):
        evaluate(Run(config, Shows(data, lost=True)))


@pytest.mark.host
@given(st.sampled_from(["ring", "grid"]), st.floats(-0.9, 0.9), st.floats(-0.9, 0.9))
def test_a_picture_shows_a_point_where_it_is(data, x, y):
    reach = 1.2 * np.abs(TOYS[data](1000, rng=0)).max()
    at = reach * np.array([x, y])
    with_it, without = (
        imread(BytesIO(pictures.points(np.array([where]), data)))[:, :, :3] for where in (at, [10 * reach, 0])
    )
    rows, columns = np.nonzero(np.abs(with_it - without).max(axis=2) > 0.2)
    assert 0 < len(rows) < 100
    inside = with_it[rows, columns]
    assert np.abs(inside - to_rgb(pictures.FAKE)).sum(axis=1).min() < 0.3
    # axes have equal scales: to the right and up from the middle by the same pixels a unit
    h, w = with_it.shape[:2]
    assert abs((columns.mean() - w / 2) / w - x / 2.5) < 0.15
    assert abs((h / 2 - rows.mean()) / h - y / 2.5) < 0.15


@pytest.mark.host
def test_a_line_is_drawn_as_a_histogram():
    assert pictures.points(TOYS["line"](100, rng=0), "line") != pictures.points(TOYS["line"](100, rng=1) + 1, "line")
