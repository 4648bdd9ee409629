"""A run that is stopped goes on bit for bit, whatever stopped it; and what is not its continuation is refused."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from stop_support import stop

import minigan as mg
from minigan.errors import RunError
from minigan.gan import PRESETS, Trainer, checkpoint, files

MINIGAN = [sys.executable, "-c", "from minigan.cli import main; main()"]
STOPPED = """
import os, sys
import safetensors.numpy, tqdm
from minigan import backends, data
from minigan.gan import Trainer, checkpoint, pictures
images, labels = data.digits()
backends.current().kernels, pictures.losses([]), pictures.grid(images[:64])  # loaded once for all that are killed
data.load = lambda *_: (images[:80], labels[:80])
save = checkpoint.save
def noted(run, step, *what):
    save(run, step, *what)
    print(step, flush=True)
checkpoint.save = noted
for _ in sys.stdin:
    if child := os.fork():
        os.waitpid(child, 0)
        print(flush=True)
    else:
        print(os.getpid(), flush=True)
        Trainer.resume(sys.argv[1], steps=40).run()
        os._exit(0)
"""


@pytest.fixture(autouse=True)
def little_data(monkeypatch):
    """Eighty digits: ten batches of eight."""
    images, labels = mg.data.digits()
    monkeypatch.setattr(mg.data, "load", lambda *_: (images[:80], labels[:80]))


def settings(out, model="gan", **changes):
    given = {"steps": 20, "batch_size": 8, "judge": 0, "save_every": 1, "out": Path(out), **changes}
    return replace(PRESETS[model], **given)


def results(folder):
    """All that a run leaves, but what says how it came about."""
    arrays, state = checkpoint.newest(folder)
    content = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name != "config.json"}
    kept = {k: v for k, v in state.items() if k not in ("config", "before")}
    return content, {k: a.tobytes() for k, a in arrays.items()}, kept


OPTIONS = {
    "gan": {},
    "dcgan": {"model": "dcgan"},
    "others": {"latent": "uniform", "lr_d": 1e-3, "smoothing": 1.0, "loss": "minimax"},
    "all": {
        "model": "dcgan",
        "loss": "relativistic",
        "penalty": "r1+r2",
        "norm": "spectral",
        "d_steps": 2,
        "instance_noise": 0.2,
        "instance_noise_steps": 15,
        "ema": 0.9,
        "conditional": True,
        "beta1": 0.0,
        "lr_decay": "linear",
        "penalty_weight_last": 1e-4,
        "penalty_every": 3,
        "width": 16,
        "save_every": 2,
    },
    "judge": {"judge": 50},
    "conditional": {"conditional": True, "condition": "concatenation"},
    "falling": {"lr_decay": "cosine", "penalty": "r1", "penalty_weight_last": 1e-3, "penalty_every": 3},
    "wgan-gp": {"loss": "wasserstein", "penalty": "wgan-gp", "penalty_weight": 5.0, "d_steps": 3},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_twenty_steps_are_ten_and_ten_resumed(tmp_path, options):
    Trainer(settings(tmp_path / "whole", **options)).run()
    stop(Trainer(settings(tmp_path / "parts", **options)), 10)
    Trainer.resume(tmp_path / "parts").run()
    assert results(tmp_path / "parts") == results(tmp_path / "whole")


def test_a_run_that_was_at_its_end_has_more_steps_if_they_are_given(tmp_path):
    Trainer(settings(tmp_path / "whole")).run()
    Trainer(settings(tmp_path / "parts", steps=10)).run()
    trainer = Trainer.resume(tmp_path / "parts", steps=20)
    assert trainer.done == 10
    trainer.run()
    assert results(tmp_path / "parts") == results(tmp_path / "whole")


@pytest.mark.parametrize("last", [1, 7, 10, 13])
def test_ctrl_c_lets_the_step_end_and_loses_nothing(tmp_path, last):
    """Within an epoch and at its end, between two readings of the losses and at one."""
    Trainer(settings(tmp_path / "whole")).run()
    stop(Trainer(settings(tmp_path / "parts")), last)
    Trainer.resume(tmp_path / "parts").run()
    assert results(tmp_path / "parts") == results(tmp_path / "whole")


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    trainer = Trainer(settings(tmp_path))

    def impatient():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    trainer.step = impatient
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert trainer.done == 0


@pytest.mark.host
@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts its runs by fork")
def test_fifty_kills_at_random_moments_lose_nothing(tmp_path):
    """An epoch is one step here, so that most of the time goes into writing files."""
    often = {"batch_size": 80, "steps": 40}
    Trainer(settings(tmp_path / "whole", **often)).run()
    Trainer(settings(tmp_path / "killed", **often | {"steps": 1})).run()
    moments, reached = random.Random(0), 1
    command = [sys.executable, "-c", STOPPED, tmp_path / "killed"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        for _ in range(50):
            print(file=parent.stdin, flush=True)
            child, *steps = int(parent.stdout.readline()), int(parent.stdout.readline())  # it saves what it found
            time.sleep(moments.uniform(0, 0.3))
            with suppress(ProcessLookupError):  # it has come to its end
                os.kill(child, signal.SIGKILL)
            steps += map(int, iter(parent.stdout.readline, "\n"))
            assert steps[0] >= reached
            reached = steps[-1]
    trainer = Trainer.resume(tmp_path / "killed", steps=40)
    assert trainer.done >= reached
    trainer.run()
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
    assert not list((tmp_path / "killed").rglob(".*"))


@pytest.mark.host
def test_a_full_disk_is_named_and_the_checkpoint_before_is_whole(tmp_path):
    """The system refuses to write more than so many bytes to a file, as a full disk does in the middle of one."""
    Trainer(settings(tmp_path / "run", steps=5)).run()
    before = results(tmp_path / "run")
    child = subprocess.run(
        [*MINIGAN, "train", "--resume", "run", "--steps", "9", "--data", "digits"],
        cwd=tmp_path, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000)),
    )  # fmt: skip
    assert child.returncode == 2
    assert "the checkpoint of step 5" in child.stderr
    assert "MB, cannot be written to run/checkpoints" in child.stderr
    assert "minigan train --resume run" in child.stderr
    assert child.stderr.count("\n") == 1
    assert results(tmp_path / "run") == before
    assert not list((tmp_path / "run").rglob(".*"))
    assert Trainer.resume(tmp_path / "run", steps=6).done == 5


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(tmp_path, size):
    Trainer(settings(tmp_path)).run()  # an epoch ends at 10, and at 20
    newest = tmp_path / "checkpoints" / "000000020.safetensors"
    newest.write_bytes(newest.read_bytes()[:size])
    with pytest.warns(RuntimeWarning, match=r"000000020\.safetensors is damaged .*the one before it is taken"):
        assert Trainer.resume(tmp_path).done == 10


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    Trainer(settings(tmp_path, steps=1)).run()
    for left in (tmp_path / ".samples.png.123", tmp_path / "checkpoints" / ".000000002.safetensors.123"):
        left.write_bytes(b"half")
    Trainer.resume(tmp_path, steps=2).run()
    assert not list(tmp_path.rglob(".*"))


def test_no_checkpoint_at_all(tmp_path):
    Trainer(settings(tmp_path))
    with pytest.raises(RunError, match="has no checkpoint that is whole"):
        Trainer.resume(tmp_path)
    with pytest.raises(RunError, match=r"is not a run: it has no config\.json"):
        Trainer.resume(tmp_path / "nowhere")


def test_a_checkpoint_of_a_newer_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    Trainer(settings(tmp_path, steps=1)).run()
    monkeypatch.undo()
    with pytest.raises(RunError, match="was written by a newer minigan"):
        Trainer.resume(tmp_path)


def test_changed_settings_are_refused_with_the_difference_or_named(tmp_path):
    Trainer(settings(tmp_path, steps=5)).run()
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lr": 0.1, "steps": 9}))
    with pytest.raises(RunError, match=r"steps is 9 there and was 5; lr is 0\.1 there and was 0\.0002") as error:
        Trainer.resume(tmp_path)
    assert f"minigan train --resume {tmp_path} " in str(error.value)
    with pytest.raises(RunError, match=r"changed since the last checkpoint: lr is 0\.1"):
        Trainer.resume(tmp_path, steps=9)
    trainer = Trainer.resume(tmp_path, steps=9, lr=0.1)
    assert (trainer.steps, trainer.opt_g.settings["lr"]) == (9, 0.1)


def raises():
    raise KeyboardInterrupt


def test_what_was_named_once_need_not_be_named_again(tmp_path, monkeypatch):
    """Even if the run was killed before it got anywhere, and whichever of its two files was written by then."""
    Trainer(settings(tmp_path, steps=5)).run()
    old = (tmp_path / "config.json").read_bytes()
    trainer = Trainer.resume(tmp_path, steps=9)
    monkeypatch.setattr(trainer, "step", raises)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    new = (tmp_path / "config.json").read_bytes()
    assert old != new
    for content in (old, new):
        (tmp_path / "config.json").write_bytes(content)
        assert Trainer.resume(tmp_path).steps == 9


def test_another_model_or_other_data_is_refused(tmp_path, monkeypatch):
    Trainer(settings(tmp_path, steps=5)).run()
    with pytest.raises(RunError, match="is a run of gan, and goes on as one; dcgan needs a folder of its own"):
        Trainer.resume(tmp_path, model="dcgan")
    images, labels = mg.data.digits()
    monkeypatch.setattr(mg.data, "load", lambda *_: (-images[:80], labels[:80]))
    with pytest.raises(RunError, match=r"digits is not what .* was trained on so far"):
        Trainer.resume(tmp_path)
    assert Trainer.resume(tmp_path, data="digits").done == 5


def test_two_runs_never_write_to_one_folder(tmp_path):
    Trainer(settings(tmp_path, steps=5)).run()
    first, second = (Trainer.resume(tmp_path, steps=6) for _ in range(2))
    with files.locked(tmp_path):
        for start in (first.run, lambda: Trainer(settings(tmp_path))):
            with pytest.raises(RunError, match="is being written to by another run"):
                start()
    first.run()
    with pytest.raises(RunError, match="has gone on to step 6 meanwhile"):
        second.run()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--resume"], "--resume needs the folder of a run"),
        (["--resume", "nowhere"], "nowhere is not a run"),
        (["--resume", "run", "--out", "other"], "goes on in its own folder, run; leave out --out"),
        (["dcgan", "--resume", "run"], "run is a run of gan"),
    ],
)
def test_what_the_command_line_says_of_a_mistake(args, message, tmp_path):
    Trainer(settings(tmp_path / "run", steps=1)).run()
    child = subprocess.run(
        [*MINIGAN, "train", *args],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ,
    )  # fmt: skip
    assert child.returncode == 2
    assert message in child.stderr
    assert child.stderr.count("\n") == 1
