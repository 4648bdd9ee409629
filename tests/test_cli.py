"""The command line as a user meets it: in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from matplotlib import pyplot

import minigan as mg

pytestmark = pytest.mark.host
MINIGAN = [sys.executable, "-c", "from minigan.cli import main; main()"]
TINY = ["--steps", "2", "--batch-size", "8"]


def minigan(*args, cwd):
    result = subprocess.run([*MINIGAN, *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=120)
    return result.returncode, result.stdout, result.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One tiny run that the other commands read."""
    folder = tmp_path_factory.mktemp("cli")
    code, out, err = minigan("train", "dcgan", *TINY, "--seed", 3, cwd=folder)
    assert (code, err) == (0, "")  # quiet where there is no terminal
    assert "runs/dcgan" in out
    return folder / "runs" / "dcgan"


def test_the_version():
    assert minigan("--version", cwd=".")[:2] == (0, f"minigan {mg.__version__}\n")


def test_options_reach_config_json(run):
    config = json.loads((run / "config.json").read_text())
    assert config["model"] == "dcgan"
    assert (config["steps"], config["batch_size"], config["seed"]) == (2, 8, 3)


def test_samples_as_numbers_and_as_a_picture(run, tmp_path):
    assert minigan("sample", run, "--n", 5, "--seed", 1, "--out", "s.npz", cwd=tmp_path)[0] == 0
    images = np.load(tmp_path / "s.npz")["images"]
    np.testing.assert_array_equal(images, mg.gan.load(run).sample(5, seed=1))
    assert minigan("sample", run, "--n", 9, "--out", "s.png", cwd=tmp_path)[0] == 0
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = minigan("sample", run, "--out", "s.png", cwd=tmp_path)
    assert code == 2
    assert "s.png exists" in err
    assert minigan("sample", run, "--out", "s.png", "--force", cwd=tmp_path)[0] == 0


def test_a_conditional_run_gives_what_is_asked_for(tmp_path):
    assert minigan("train", "gan", *TINY, "--judge", 0, "--conditional", "--out", "run", cwd=tmp_path)[0] == 0
    assert minigan("sample", "run", "--label", 7, "--n", 3, "--out", "7.npz", cwd=tmp_path)[0] == 0
    sevens = np.load(tmp_path / "7.npz")
    assert sevens["labels"].tolist() == [7, 7, 7]
    np.testing.assert_array_equal(sevens["images"], mg.gan.load(tmp_path / "run").sample(3, label=7))
    code, out, _ = minigan("sample", "run", cwd=tmp_path)
    assert (code, out) == (0, "80 samples of run are in samples.png\n")
    assert pyplot.imread(tmp_path / "samples.png").shape[:2] == (10 * 56, 8 * 56)  # a row for each class
    code, _, err = minigan("sample", "run", "--label", 10, "--out", "10.png", cwd=tmp_path)
    assert (code, err) == (2, "minigan: error: label must be from 0 to 9, got 10\n")
    assert not (tmp_path / "10.png").exists()
    code, out, _ = minigan("eval", "run", "--n", 40, cwd=tmp_path)
    assert code == 0
    assert "asked_for" in out


def test_what_does_not_fit_into_memory_is_one_line(run, tmp_path):
    config = json.loads((run / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"width": 10**9}))
    (tmp_path / "generator.safetensors").write_bytes((run / "generator.safetensors").read_bytes())
    code, _, err = minigan("sample", tmp_path, "--out", tmp_path / "s.png", cwd=tmp_path)
    assert code == 1
    assert err.startswith("minigan: error: not enough memory: Unable to allocate")
    assert err.count("\n") == 1


def test_points_are_trained_sampled_and_judged(tmp_path):
    assert minigan("train", "toy", *TINY, "--data", "grid", "--out", "run", cwd=tmp_path)[0] == 0
    assert minigan("sample", "run", "--n", 3, "--out", "s.npz", cwd=tmp_path)[0] == 0
    assert np.load(tmp_path / "s.npz")["points"].shape == (3, 2)
    code, out, _ = minigan("eval", "run", cwd=tmp_path)
    assert code == 0
    assert "2,500 points from seed 0" in out
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["modes"] == 25
    code, _, err = minigan("train", "gan", "--data", "ring", cwd=tmp_path)
    assert (code, err) == (2, "minigan: error: gan cannot train on ring, which has points, for toy\n")


def test_eval_prints_shares_and_fails_below_the_bar(run, tmp_path):
    code, out, _ = minigan("eval", run, "--n", 50, cwd=tmp_path)
    assert code == 0
    figures = json.loads((run / "evaluation.json").read_text())
    assert (figures["n"], figures["seed"]) == (50, 0)
    assert f"judge_frechet {figures['judge_frechet']:11.3f}  {figures['judge_frechet_real']:9.3f}" in out
    assert f"reference: {figures['reference']}" in out
    assert f"the rarest class is {np.argmin(figures['class_shares'])} with {min(figures['class_shares']):.1%}" in out
    code, _, err = minigan(
        "eval", run, "--n", 50, "--min-share", 0.2, cwd=tmp_path
    )  # ten classes can't all have a fifth
    assert code == 1
    assert "asked for were 20.0%" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "dcgan", "--batch-size", "9999"], "larger than the data"),
        (["train", "dcgan", "--epochs", "0"], "epochs must be at least 1"),
        (["train", "dcgan", "--lr", "fast"], "--lr"),
        (["train", "vae"], "vae"),
        (["sample", "nowhere"], "nowhere is not a run"),
        (["sample", "nowhere", "--out", "s.gif"], ".png or .npz"),
        (["eval", "nowhere"], "nowhere is not a run"),
        (["eval", "nowhere", "--n", "many"], "--n"),
        (["paint"], "paint"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(args, message, tmp_path):
    code, _, err = minigan(*args, cwd=tmp_path)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_mnist_from_a_folder_trains_a_run_that_other_commands_read(tmp_path):
    rng = np.random.default_rng(0)
    for name, axes in (("images-idx3", (16, 28, 28)), ("labels-idx1", (16,))):
        header = np.array([0x800 + len(axes), *axes], ">u4").tobytes()
        (tmp_path / f"train-{name}-ubyte").write_bytes(header + rng.integers(0, 10, axes).astype(np.uint8).tobytes())
    code, _, err = minigan("train", "gan", *TINY, "--data", "mnist:.", "--out", "run", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"] == "mnist:."
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 2
    code, out, _ = minigan("eval", "run", "--n", 10, cwd=tmp_path)
    assert code == 0
    assert "reference: " in out


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cifar", "data must be one of digits, mnist, mnist:FOLDER, folder:PATH, ring, grid, line, got 'cifar'"),
        ("mnist:nowhere", "there is no folder nowhere; give the one that holds MNIST's files"),
        ("mnist:.", ". has no train-images-idx3-ubyte and no train-labels-idx1-ubyte, with .gz or without"),
    ],
)
def test_data_that_cannot_be_had_is_one_line_and_leaves_nothing(source, message, tmp_path):
    code, out, err = minigan("train", "gan", *TINY, "--data", source, cwd=tmp_path)
    assert (code, out, err) == (2, "", f"minigan: error: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_in_the_same_folder_is_refused(run):
    code, _, err = minigan("train", "dcgan", *TINY, cwd=run.parent.parent)
    assert code == 2
    assert err.strip().startswith("minigan: error: runs/dcgan holds a run already")
    assert err.count("\n") == 1


def test_ctrl_c_says_so_and_leaves_whole_files(tmp_path):
    process = subprocess.Popen(
        [*MINIGAN, "train", "gan", "--batch-size", "1000", "--out", "run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    second = tmp_path / "run" / "samples-002.png"
    deadline = time.monotonic() + 100
    while not second.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    step = max(int(path.stem) for path in (tmp_path / "run" / "checkpoints").glob("*.safetensors"))
    assert err.strip() == f"minigan: stopped; minigan train --resume run goes on from step {step}"
    assert not list((tmp_path / "run").glob(".*"))
    assert minigan("train", "--resume", "run", "--steps", step + 1, cwd=tmp_path)[:2] == (
        0, f"{step + 1} steps; samples.png, losses.png and generator.safetensors are in run\n"
    )  # fmt: skip
    assert np.isfinite(mg.gan.load(tmp_path / "run").sample(4)).all()
    assert all(json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())


def test_a_warning_is_one_line(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(8):
        pyplot.imsave(tmp_path / "images" / f"{i}.png", np.full((8, 8), i / 8))
    (tmp_path / "images" / "page.png").write_text("<html>")
    args = ["--data", "folder:images", "--size", 8, "--steps", 1, "--batch-size", 4]
    code, _, err = minigan("train", "gan", *args, cwd=tmp_path)
    assert code == 0, err
    assert err.startswith("minigan: warning: images: 1 of 9 images cannot be read and are left out: 'page.png'")
    assert err.count("\n") == 1
