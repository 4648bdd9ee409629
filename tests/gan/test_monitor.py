"""The monitor says what goes wrong, once, and is silent of what does not."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.errors import TrainingFailed
from minigan.gan import PRESETS, Trainer, checkpoint, monitor
from minigan.gan.losses import LOSSES
from minigan.gan.monitor import Monitor

GOOD = "generator-good.safetensors"
HEALTHY = {  # what 400 steps of both presets had, over 3 seeds
    "loss_d": (0.44, 1.35),
    "loss_g": (0.6, 5.0),
    "d_real": (0.3, 3.0),
    "d_fake": (-4.0, 0.3),
    "grad_d": (0.6, 150.0),
    "grad_g": (0.2, 40.0),
}
seeds = st.integers(0, 2**32)


def watch(rows, loss="non-saturating"):
    """What a monitor says of rows, as (step, warning)."""
    one = Monitor(LOSSES[loss])
    return [(row["step"], warning) for row in rows for warning in one.observe(row)]


def healthy(seed, n=60):
    """Readings every ten steps, at every fifth an epoch's end; the first epochs may be blurred and of one class."""
    rng = np.random.default_rng(seed)
    rows = [{"step": 10 * i + 10} | {k: float(rng.uniform(*r)) for k, r in HEALTHY.items()} for i in range(n)]
    for row in rows:
        row |= {k: float(np.exp(rng.uniform(*np.log(HEALTHY[k])))) for k in ("grad_d", "grad_g")}
    blurred = rng.integers(0, 5)
    for i, row in enumerate(rows[4::5]):
        distance, entropy = ((0.14, 0.4), (0.0, 1.0)) if i < blurred else ((0.5, 1.1), (1.6, 2.3))
        row |= {"distance": float(rng.uniform(*distance)), "entropy_of_mean": float(rng.uniform(*entropy))}
        row["entropy_of_mean_real"] = math.log(10)
    return rows


TROUBLES = {  # what a row has then, in what steps it is said, and a word of it
    "saturated": ({"loss_d": 0.3251, "d_real": 2.2, "d_fake": -15.0}, 50, "discriminator has won"),
    "thrown": ({"loss_d": 20.0}, 0, "loss is 20, and 1.4 when it knows nothing"),
    "collapsed": ({"distance": 0.02}, 350, "samples are nearly alike: 0.02"),
    "few classes": ({"entropy_of_mean": 0.4}, 350, "of few classes: their entropy is 0.4, that of real digits 2.3"),
    "D explodes": ({"grad_d": 5e5}, 20, "discriminator's gradient has exploded: its norm is 5e"),
    "G explodes": ({"grad_g": 5e5}, 20, "generator's gradient has exploded"),
    "D vanishes": ({"grad_d": 1e-5}, 50, "discriminator's gradient has vanished"),
    "G vanishes": ({"grad_g": 1e-9}, 50, "generator's gradient has vanished"),
    "large loss of D": ({"loss_d": 3e7}, 0, "discriminator's loss is 3e"),
    "large loss of G": ({"loss_g": 3e7}, 0, "generator's loss is 3e"),
}


def troubled(rows, name):
    figures = TROUBLES[name][0]
    return [row | figures if figures.keys() <= row.keys() else row for row in rows]


@given(seeds)
def test_nothing_is_said_of_what_healthy_runs_have(seed):
    assert watch(healthy(seed)) == []


@pytest.mark.host
@given(st.integers(10, 50), seeds)
@pytest.mark.parametrize("name", TROUBLES)
def test_a_trouble_is_said_once_and_again_when_it_comes_back(name, begins, seed):
    """Healthy rows, the trouble, healthy ones, and the trouble again."""
    figures, within, word = TROUBLES[name]
    if name in ("collapsed", "few classes"):
        begins = max(begins, 25)  # after the first epochs, which may look like it for a moment, and are healthy
    bad, good = healthy([seed, 1]), healthy([seed, 2])
    parts = [healthy([seed, 0])[:begins], troubled(bad, name), good, troubled(bad, name)]
    rows = [row | {"step": 10 * i + 10} for i, row in enumerate(row for part in parts for row in part)]
    starts = [begins, begins + len(bad) + len(good)]
    said = watch(rows, "wasserstein" if name == "large loss of D" else "non-saturating")
    assert len(said) == 2
    for (step, warning), start in zip(said, starts, strict=True):
        first = next(row["step"] for row in rows[start:] if figures.items() <= row.items())
        assert step - first <= within
        assert warning.startswith(f"step {step}: the ")
        assert word in warning
        assert within == 0 or f" since step {first};" in warning


@given(seeds)
def test_a_trouble_of_a_moment_is_not_said(seed):
    rows = healthy(seed)
    for figures, within, _ in TROUBLES.values():
        if not within:
            continue
        row = next(row for row in rows[20:] if figures.keys() <= row.keys())
        assert watch([r | figures if r is row else r for r in rows]) == []


@given(seeds, st.integers(0, 59), st.sampled_from(sorted(TROUBLES)))
def test_a_monitor_that_was_shown_the_rows_again_goes_on_alike(seed, cut, name):
    rows = troubled(healthy(seed), name)
    one, other = Monitor(LOSSES["hinge"]), Monitor(LOSSES["hinge"])
    for row in rows[:cut]:
        one.observe(row)
        other.observe(json.loads(json.dumps(row)))
    assert one.active == other.active
    assert [one.observe(row) for row in rows[cut:]] == [other.observe(row) for row in rows[cut:]]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("target", [None, 0.7, 1.0])
def test_what_certainty_is_worth(name, target):
    """No logits give D a smaller loss, but for Wasserstein's, which has no least."""
    loss = LOSSES[name]
    if target is not None and (target == 1 or loss.smoothable):
        loss = loss.smoothed(target)
    found = monitor.bounds(loss)
    if name == "wasserstein":
        assert found is None
        return
    sure, unsure = found
    logits = np.linspace(-30, 30, 601, dtype="float32")
    least = min(loss.discriminator(mg.tensor([r]), mg.tensor([f])).item() for r in logits[::3] for f in logits[::60])
    # the grids differ: half a step of 0.1 from the best logit costs 0.1^2 / 2 times a curvature of at most 1
    assert sure == pytest.approx(least, abs=0.006)
    assert unsure == loss.discriminator(mg.tensor([0.0]), mg.tensor([0.0])).item()


def test_spread_is_the_mean_over_all_pairs():
    images = np.random.default_rng(0).normal(size=(5, 1, 3, 3))
    pairs = [np.linalg.norm(a - b) for i, a in enumerate(images) for b in images[:i]]
    # float64 rounding of a few sums
    assert monitor.spread(images) == pytest.approx(np.mean(pairs), rel=1e-12)
    assert monitor.spread(images[:1]) == 0


def test_a_gradients_norm_is_that_of_all_parameters_together():
    net = mg.nn.Sequential(mg.nn.Dense(3, 4, rng=0), mg.nn.Dense(4, 2, rng=0))
    assert monitor.gradient_norm(net) is None
    (net(mg.tensor(np.ones((2, 3), "float32"))) ** 2).sum().backward()
    flat = np.concatenate([p.grad.numpy().ravel() for p in net.parameters()])
    # float32 rounding of sums of some dozen terms
    assert monitor.gradient_norm(net) == pytest.approx(np.linalg.norm(flat), rel=1e-5)


# -- in real runs -------------------------------------------------------------------------------------


@pytest.fixture
def little_data(monkeypatch):
    """Eighty digits: ten batches of eight."""
    images, labels = mg.data.digits()
    monkeypatch.setattr(mg.data, "load", lambda *_: (images[:80], labels[:80]))
    monkeypatch.setattr(Trainer, "save_samples", lambda *_: None)  # of each epoch, which are many here
    monkeypatch.setattr("minigan.gan.pictures.losses", lambda _: b"")
    monkeypatch.setattr("minigan.gan.report.write", lambda *_: None)


def settings(out, model="gan", **changes):
    return replace(PRESETS[model], **{"steps": 20, "batch_size": 8, "judge": 0, "out": Path(out), **changes})


class Scripted:
    """A monitor that finds something amiss from step 15 to 35."""

    def __init__(self, *_):
        self.active = set()

    def observe(self, row):
        before, self.active = self.active, {"it"} if 15 <= row["step"] < 35 else set()
        return [f"step {row['step']}: it happened"] if self.active and not before else []


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr("minigan.gan.readings.Monitor", Scripted)


def content(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name != "config.json"}


@pytest.mark.parametrize("stops", [[5], [13, 17], [20], [25, 27, 35]], ids=str)
def test_the_last_good_generator_stays_while_something_is_amiss(little_data, scripted, tmp_path, stops):
    """Whether the run is stopped in between or not; an epoch has ten steps."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    Trainer(settings(whole, steps=10)).run()
    good = content(whole)["generator.safetensors"]
    Trainer(settings(parts, steps=stops[0])).run()
    for end in (30, 40):
        Trainer.resume(whole, steps=end).run()
        for stop in [*(s for s in stops[1:] if s < end), end]:
            Trainer.resume(parts, steps=stop).run()
        assert content(whole).get(GOOD) == (good if end == 30 else None)
        assert content(parts) == content(whole)


def test_a_stop_in_the_first_epoch_leaves_nothing_to_keep(little_data, monkeypatch, scripted, tmp_path):
    images, labels = mg.data.digits()
    monkeypatch.setattr(mg.data, "load", lambda *_: (images[:160], labels[:160]))
    Trainer(settings(tmp_path, steps=5)).run()  # an epoch has twenty, and ends badly
    Trainer.resume(tmp_path, steps=20).run()
    assert GOOD not in content(tmp_path)


def test_a_warning_is_said_and_kept(little_data, scripted, tmp_path, capsys):
    trainer = Trainer(settings(tmp_path, steps=40))
    trainer.run()
    assert [row.get("warnings") for row in trainer.metrics] == [None, ["step 20: it happened"], None, None]
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == trainer.metrics
    assert capsys.readouterr().err == f"minigan: warning: {tmp_path}: step 20: it happened\n"


@pytest.mark.parametrize("batch_size", [8, 4])
def test_a_run_stops_on_a_warning_only_if_asked_and_goes_on(little_data, scripted, tmp_path, batch_size):
    """At an epoch's end, and in the middle of one."""
    same = {"batch_size": batch_size, "steps": 40}
    Trainer(settings(tmp_path / "whole", **same)).run()
    with pytest.raises(TrainingFailed, match=r"stopped at step 20, as --stop-on-warning asks: step 20: it happened"):
        Trainer(settings(tmp_path / "run", stop_on_warning=True, **same)).run()
    assert checkpoint.latest(tmp_path / "run") == 20
    Trainer.resume(tmp_path / "run").run()
    whole, run = (content(tmp_path / name) for name in ("whole", "run"))
    assert run == whole


@pytest.mark.parametrize("name", ["loss_d", "grad_g", "distance"])
def test_what_is_not_finite_stops_a_run_with_what_was_seen_before(little_data, scripted, tmp_path, monkeypatch, name):
    Trainer(settings(tmp_path / "good", steps=10)).run()
    trainer = Trainer(settings(tmp_path / "run", steps=40))
    if name == "loss_d":
        plain, step = trainer.loss, trainer.step
        broken = replace(plain, discriminator=lambda *logits: plain.discriminator(*logits) * math.nan)

        def breaks_once():
            trainer.loss = broken if trainer.done == 25 else plain
            return step()

        trainer.step = breaks_once
    else:
        what = {"grad_g": "gradient_norm", "distance": "spread"}[name]
        monkeypatch.setattr(f"minigan.gan.readings.{what}", lambda _: math.inf if trainer.done == 30 else 1.0)
    with pytest.raises(
        TrainingFailed, match=r"is (inf|nan) at step 30, epoch 3: .* kept; before that: step 20: it happened"
    ):
        trainer.run()
    assert content(tmp_path / "run")[GOOD] == content(tmp_path / "good")["generator.safetensors"]


def warned(out, **changes):
    trainer = Trainer(settings(out, **changes))
    trainer.run()
    return " ".join(w for row in trainer.metrics for w in row.get("warnings", ()))


def test_a_discriminator_that_is_too_strong_is_named(little_data, tmp_path):
    assert "the discriminator has won" in warned(tmp_path, steps=150, lr_d=1e-3, lr=1e-6)


@pytest.mark.parametrize("model", mg.gan.models.MODELS)
def test_a_rate_that_is_fifty_times_too_large_is_named(little_data, tmp_path, model):
    assert "lower --lr" in warned(tmp_path, model=model, steps=30, lr=50 * PRESETS[model].lr)


def test_a_generator_without_noise_is_named(little_data, tmp_path, monkeypatch):
    monkeypatch.setattr("minigan.gan.trainer.latents", lambda n, *_: mg.tensor(np.zeros((n, 100), "float32")))
    assert "the samples are nearly alike" in warned(tmp_path, steps=330)


@pytest.mark.parametrize("model", mg.gan.models.MODELS)
def test_a_short_healthy_run_is_silent(little_data, tmp_path, model):
    assert warned(tmp_path, model=model, steps=50) == ""


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("model", PRESETS)
def test_twenty_healthy_runs_are_silent(tmp_path, model, seed):
    out = replace(PRESETS[model], steps=1000, seed=seed, judge=250, out=tmp_path / "run")
    trainer = Trainer(out)
    trainer.run()
    assert [row["warnings"] for row in trainer.metrics if "warnings" in row] == []
