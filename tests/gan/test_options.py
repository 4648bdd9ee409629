"""What the settings ask for reaches the step."""

from dataclasses import replace

import numpy as np
import pytest

import minigan as mg
from minigan.gan import PRESETS, Trainer
from minigan.gan.penalties import PENALTIES, r1
from minigan.nn import BatchNorm, SpectralNorm


@pytest.fixture
def trainer(tmp_path):
    def make(model="gan", **changes):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        return Trainer(replace(PRESETS[model], **{"steps": 4, "batch_size": 8, "judge": 0, "out": folder} | changes))

    return make


def test_samples_are_drawn_from_the_average(trainer):
    t = trainer(ema=0.15)
    expected = t.generator.state_dict()
    for i in range(4):
        t.step()
        decay = min(0.15, (1 + i) / (10 + i))
        expected = {k: decay * v + (1 - decay) * t.generator.state_dict()[k] for k, v in expected.items()}
    for key, value in t.kept.state_dict().items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-5, atol=1e-7)  # a few float32 roundings a step
    assert trainer().kept is not t.kept


@pytest.mark.parametrize("d_steps", [1, 3])
def test_d_has_as_many_steps_as_it_is_given(trainer, d_steps):
    t = trainer(d_steps=d_steps)
    for _ in range(2):
        t.step()
    assert t.loader.position == 2 * d_steps
    assert {*t.opt_d.state_dict()["steps"]} == {2 * d_steps}
    assert {*t.opt_g.state_dict()["steps"]} == {2}


def test_a_penalty_is_added_with_its_weight(trainer):
    plain, penalised = trainer(), trainer(penalty="r1", penalty_weight=50.0)
    real = mg.tensor(plain.loader.arrays[0][plain.loader.order[:8]])
    expected = 50.0 / 2 * r1(plain.discriminator, real).item()
    assert expected > 0
    (without, _), (with_it, _) = plain.step(), penalised.step()
    # float32 rounding of two losses of order 1
    assert with_it.item() - without.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("d_steps", [1, 2])
def test_a_lazy_penalty_is_rarer_and_as_much_heavier(trainer, monkeypatch, d_steps):
    t, seen = trainer(penalty="r1", penalty_weight=5.0, penalty_every=3, d_steps=d_steps), []

    def noted(critic, real, fake, weight, rng):
        seen.append((t.opt_d.state_dict()["steps"][0], weight))
        return PENALTIES["r1"](critic, real, fake, weight, rng)

    monkeypatch.setattr(noted, "weight", 1.0, raising=False)
    monkeypatch.setattr("minigan.gan.trainer.PENALTIES", {"r1": noted})
    for t.done in range(6):
        t.step()
    assert seen == [(step, 15.0) for step in range(0, 6 * d_steps, 3)]


def test_instance_noise_falls_to_nothing(trainer):
    t, seen = trainer(instance_noise=0.4, instance_noise_steps=4), []
    for done in (0, 1, 2, 4, 9):
        t.done = done
        t.step()
        seen.append(t.critic.sigma)
    assert seen == pytest.approx([0.4, 0.3, 0.2, 0.0, 0.0])
    steady = trainer(instance_noise=0.4)
    steady.done = 100
    steady.step()
    assert steady.critic.sigma == 0.4


def test_both_optimisers_have_the_rates_that_they_are_given(trainer):
    t = trainer(lr=3e-4, lr_d=1e-4, beta1=0.25, beta2=0.75)
    for opt, lr in ((t.opt_g, 3e-4), (t.opt_d, 1e-4)):
        assert {opt.settings["lr"], *opt.settings["betas"]} == {lr, 0.25, 0.75}


@pytest.mark.parametrize("model", PRESETS)
def test_the_width_is_that_of_both_players(trainer, model):
    wide, narrow = trainer(model), trainer(model, width=16)
    for players in ((wide.generator, narrow.generator), (wide.discriminator, narrow.discriminator)):
        many, few = (sum(p.size for p in player.parameters()) for player in players)
        assert few < many / 2


@pytest.mark.parametrize(
    ("decay", "rates"),
    [("none", [1, 1, 1, 1]), ("linear", [1, 0.75, 0.5, 0.25]), ("cosine", [1, 0.853553, 0.5, 0.146447])],
)
def test_rates_fall_until_the_last_step(trainer, decay, rates):
    t, seen = trainer(lr=2e-3, lr_d=1e-3, lr_decay=decay), []
    for t.done in range(4):
        t.step()
        seen.append((t.opt_g.lr, t.opt_d.lr))
    assert [g for g, _ in seen] == pytest.approx([2e-3 * r for r in rates], rel=1e-5)  # six digits above
    assert [d for _, d in seen] == pytest.approx([1e-3 * r for r in rates], rel=1e-5)


def test_a_penalty_falls_by_the_same_factor_in_each_step(trainer, monkeypatch):
    t, seen = trainer(penalty="r1", penalty_weight=10.0, penalty_weight_last=0.001), []

    def noted(critic, real, fake, weight, rng):
        seen.append(weight)
        return PENALTIES["r1"](critic, real, fake, weight, rng)

    monkeypatch.setattr(noted, "weight", 1.0, raising=False)
    monkeypatch.setattr("minigan.gan.trainer.PENALTIES", {"r1": noted})
    for t.done in range(4):
        t.step()
    assert seen == pytest.approx([10, 1, 0.1, 0.01])


def test_a_run_is_looked_at_every_few_epochs_and_at_its_end(trainer):
    t = trainer(steps=None, epochs=5, save_every=2, batch_size=1250)
    t.run()
    assert sorted(p.name for p in t.out.glob("samples-*")) == [f"samples-00{i}.png" for i in (0, 2, 4, 5)]
    assert [row["step"] for row in t.metrics if "distance" in row] == [8, 16, 20]
    assert [int(p.stem) for p in sorted((t.out / "checkpoints").glob("*.safetensors"))] == [16, 20]


@pytest.mark.parametrize(
    ("norm", "kinds"), [(None, {BatchNorm}), ("batch", {BatchNorm}), ("spectral", {SpectralNorm}), ("none", set())]
)
def test_what_normalises_the_discriminator(trainer, norm, kinds):
    layers = trainer("dcgan", norm=norm, penalty="none").discriminator.modules()
    assert {type(layer) for layer in layers} & {BatchNorm, SpectralNorm} == kinds
