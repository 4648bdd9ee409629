"""``minigan bench`` as a user meets it: text, JSON, tables, mistakes, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from bench_support import SHORT

from minigan import backends, cli
from minigan.bench import compare, run, scaling
from minigan.bench.networks import Network
from minigan.errors import BackendError, RunError

pytestmark = pytest.mark.host

MINIGAN = [sys.executable, "-c", "from minigan.cli import main; main()", "bench"]
AXES = {"batch": [(n, Network("mlp", model="mlp", batch=n)) for n in (2, 4)]}


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """A machine without PyTorch."""
    for module in (compare, run, scaling):
        monkeypatch.setattr(module, "torch_version", lambda: None)


def test_text_names_the_machine_and_what_is_missing(capsys, monkeypatch):
    monkeypatch.setitem(os.environ, "OPENBLAS_CORETYPE", "Haswell")
    assert run.bench("tanh", SHORT, as_json=False)
    out = capsys.readouterr().out
    assert "1 threads a side" in out
    assert "pip install torch==2.13.0" in out
    assert "OPENBLAS_CORETYPE" in out
    assert "us an op" in out


def test_another_pytorch_is_a_note(monkeypatch):
    monkeypatch.setattr(run, "torch_version", lambda: "2.1.0+cpu")
    assert any("this is PyTorch 2.1.0+cpu" in note for note in run._notes(SHORT))
    monkeypatch.setattr(run, "torch_version", lambda: "2.13.0+cpu")
    assert not any("PyTorch" in note for note in run._notes(SHORT))


def test_json_is_one_document_with_everything(capsys):
    assert run.bench("tanh", SHORT, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document.keys() == {"machine", "threads", "notes", "networks"}
    assert {"cpu", "cores", "numpy", "blas", "numba", "torch"} <= document["machine"].keys()
    (result,) = document["networks"]
    assert result.keys() == {"network", "batch", "unit", "sides", "floor", "errors", "said"}


def test_an_error_of_one_network_leaves_the_others_and_is_told(capsys, monkeypatch):
    broken = {
        "network": "mlp",
        "batch": 2,
        "unit": "ms a step",
        "sides": {},
        "floor": None,
        "errors": ["it died"],
        "said": [],
    }
    whole = run.measure
    monkeypatch.setattr(
        run, "measure", lambda network, options: broken if network.name != "tanh" else whole(network, options)
    )
    assert not run.bench(None, SHORT, as_json=False)
    out = capsys.readouterr().out
    assert out.count("error: it died") == 4
    assert out.index("us an op") > out.rindex("error: it died")


def test_the_tables_go_to_a_file_whole(tmp_path, capsys):
    assert run.scale(tmp_path / "scaling.md", SHORT, as_json=False, axes=AXES)
    text = (tmp_path / "scaling.md").read_text()
    label = next(iter(SHORT.sides()))
    assert f"| batch | {label}, ms |" in text
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][-2:] == ["2", "4"]
    assert [p.name for p in tmp_path.iterdir()] == ["scaling.md"]
    assert "scaling.md" in capsys.readouterr().out
    with pytest.raises(RunError, match="there is no folder"):
        run.scale(tmp_path / "nowhere" / "scaling.md", SHORT, as_json=False, axes=AXES)


def test_a_point_that_fails_is_an_empty_cell_and_a_reason():
    sides = {"NumPy alone": {"time": 2.0, "memory_mb": 3.4}, "PyTorch": {"time": 1.0, "memory_mb": None}}
    points = [
        {"axis": "side", "value": 28, "sides": sides, "errors": []},
        {"axis": "side", "value": 64, "sides": {}, "errors": ["out of memory"]},
    ]
    text = scaling.markdown(points, "a machine")
    assert "| 28 | 2.0 | 1.0 | 2.00 | 3 |  |" in text
    assert "| 64 |  |  |  |  |  |" in text
    assert "- side 64: out of memory" in text


@pytest.mark.parametrize("threads", [0, 10_000])
def test_threads_that_the_machine_does_not_have(threads):
    with pytest.raises(BackendError, match="threads"):
        run.bench("tanh", replace(SHORT, threads=threads), as_json=False)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--only", "vae"], "there is: dcgan28, mlp, wgan-gp28, dcgan64, tanh"),
        (["--threads", "0"], "threads"),
        (["--batch-size", "1"], "--batch-size must be at least 2"),
        (["--precision", "tf32"], "add --backend cupy"),
        (["--out", "x.md"], "--out is for the tables of --scaling"),
        (["--scaling", "--only", "mlp"], "leave out --only and --batch-size"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(args, message, tmp_path):
    result = subprocess.run([*MINIGAN, *args], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_neither_the_command_line_nor_the_bench_loads_what_it_compares():
    code = "import sys, minigan.cli, minigan.bench.run; print({'torch', 'numba'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
def test_ctrl_c_leaves_no_process_behind(tmp_path):
    def workers():
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found.append(str(tmp_path).encode() in path.read_bytes())
            except OSError:  # it ended meanwhile
                continue
        return sum(found)

    process = subprocess.Popen(
        [*MINIGAN, "--only", "mlp"], env=os.environ | {"TMPDIR": str(tmp_path)}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + 100
    while not workers() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert workers()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "minigan: stopped; the workers of the bench are gone")
    assert workers() == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n", [0, 10_000])
def test_training_refuses_threads_that_the_machine_does_not_have_before_it_writes_anything(n, tmp_path):
    args = ["train", "gan", "--steps", "1", "--threads", str(n)]
    result = subprocess.run([*MINIGAN[:-1], *args], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2
    assert "threads must be" in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_training_takes_as_many_threads_as_it_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = []
    set_threads = backends.set_threads
    monkeypatch.setattr(backends, "set_threads", lambda n: (told.append(n), set_threads(n)))
    monkeypatch.setattr(sys, "argv", ["minigan", "train", "gan", "--steps", "1", "--batch-size", "2", "--threads", "1"])
    cli.main()
    assert told == [1]
    assert json.loads((tmp_path / "runs" / "gan" / "config.json").read_text())["threads"] == 1
