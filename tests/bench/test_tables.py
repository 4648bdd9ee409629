"""The tables of ``minigan bench``: what the toy recipe makes of its modes, and the digits of their time."""

import json
from dataclasses import replace

import numpy as np
import pytest
from bench_support import SHORT

import minigan as mg
from minigan.bench import modes, quality, run
from minigan.errors import RunError

pytestmark = pytest.mark.host


def test_modes_of_every_seed_are_a_table_and_a_picture(tmp_path, capsys):
    assert run.modes(tmp_path / "modes.md", SHORT, seeds=2, as_json=False, steps=3, batch_size=8)
    assert "the tables are in" in capsys.readouterr().out
    text = (tmp_path / "modes.md").read_text()
    rows = [line.split(" | ")[:2] for line in text.splitlines() if line.startswith(("| ring", "| grid"))]
    assert rows == [["| ring", "0"], ["| ring", "1"], ["| grid", "0"], ["| grid", "1"]]
    assert "](modes.png)" in text
    assert (tmp_path / "modes.png").read_bytes().startswith(b"\x89PNG")


def test_a_row_is_what_a_run_of_that_seed_gives(tmp_path):
    config = mg.gan.TrainConfig("toy", data="grid", seed=3, steps=3, batch_size=8, judge=0, threads=1)
    row = modes.one(config)
    trainer = mg.gan.Trainer(mg.gan.TrainConfig(**{**vars(config), "out": tmp_path}))
    trainer.run()
    np.testing.assert_array_equal(np.array(row["points"], "float32"), mg.gan.load(tmp_path).sample(2500))
    assert row["seconds"] > 0
    assert row.items() >= ({**mg.gan.evaluation.evaluate(mg.gan.load(tmp_path), 2500)} | {"seed": 3}).items()


FIGURES = {
    "judge_frechet": 3.0, "judge_frechet_real": 0.3, "precision": 0.5, "recall": 0.8, "memorisation": 1.2,
    "class_shares": [0.1] * 9 + [0.05], "reference": "digits",
}  # fmt: skip


@pytest.fixture
def judged(monkeypatch):
    monkeypatch.setattr(quality, "evaluate", lambda run: FIGURES)
    monkeypatch.setattr(quality, "torch_version", lambda: None)


def test_quality_is_measured_on_the_command_itself(judged, capsys):
    assert run.quality(None, SHORT, seeds=2, as_json=True, train=["--steps", "2", "--batch-size", "8"])
    rows = json.loads(capsys.readouterr().out)["quality"]
    assert [(r["side"], r["seed"], r["steps"], r["judge_frechet"]) for r in rows] == [
        ("minigan", 0, 2, 3.0),
        ("minigan", 1, 2, 3.0),
    ]
    assert all(row["rarest"] == 0.05 for row in rows)


def test_quality_has_means_and_their_ratio():
    row = {k: v for k, v in FIGURES.items() if k != "class_shares"} | {"seconds": 100.0, "steps": 7, "rarest": 0.05}
    rows = [
        row | {"side": "minigan", "seed": 0, "judge_frechet": 3.0},
        row | {"side": "minigan", "seed": 1, "judge_frechet": 5.0},
    ]
    text = quality.markdown(rows, "a machine")
    assert "minigan: mean distance 4.00, standard deviation 1.41." in text
    assert "PyTorch" not in text.partition("|---")[2]
    text = quality.markdown([*rows, row | {"side": "PyTorch", "seed": 0, "judge_frechet": 16.0}], "a machine")
    assert "PyTorch: mean distance 16.00." in text
    assert "minigan / PyTorch: **0.25**." in text


def test_the_peer_trains_for_the_time_that_it_is_given(tmp_path):
    pytest.importorskip("torch")
    from minigan.bench.compare import VARIANTS, Bench
    from minigan.bench.networks import Network

    np.save(tmp_path / "digits.npy", mg.data.digits()[0][:20])
    bench = Bench(Network("dcgan28", model="dcgan28", batch=4, width=2), SHORT, tmp_path)
    with bench.crew:
        for variant in VARIANTS[:2]:
            row = quality._peer(bench, variant, seed=0, seconds=0.3)
            assert not bench.crew.errors
            assert row["steps"] > 0
            assert row["judge_frechet"] > row["judge_frechet_real"]


def test_what_cannot_be_asked(tmp_path):
    for table in (run.modes, run.quality):
        with pytest.raises(RunError, match="train on NumPy; leave out --backend"):
            table(None, replace(SHORT, backend="cupy"), 1, False)
        with pytest.raises(RunError, match="--seeds must be at least 1, got 0"):
            table(None, SHORT, 0, False)
        with pytest.raises(RunError, match=r"there is no folder .*; make it first"):
            table(tmp_path / "nowhere" / "a.md", SHORT, 1, False)
