"""One network's bench: figures where all goes well, a reason where sides differ, and the others' figures where one dies."""

import json
import os
import signal
import subprocess

import numpy as np
import pytest
from bench_support import SHORT, needs_torch

from minigan.bench import compare, networks, report
from minigan.bench.compare import PYTORCH, measure
from minigan.bench.crew import Crew, environment
from minigan.bench.networks import NETWORKS

pytestmark = pytest.mark.host

OURS = list(SHORT.sides())


@pytest.fixture
def alone(monkeypatch):
    """A machine without PyTorch."""
    monkeypatch.setattr(compare, "torch_version", lambda: None)


@pytest.fixture
def one_variant(monkeypatch):
    monkeypatch.setattr(compare, "VARIANTS", compare.VARIANTS[:1])


# -- the same work ------------------------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("name", NETWORKS)
def test_both_sides_compute_the_same(name, tmp_path):
    bench = compare.Bench(NETWORKS[name], SHORT, tmp_path)
    with bench.crew as crew:
        assert bench.start(OURS[0])
        assert bench.start(PYTORCH, compare.VARIANTS[0])
        assert bench.refused("fp32") is None
        assert crew.errors == []
    files = [dict(np.load(tmp_path / f"{label}.npz")) for label in (OURS[0], PYTORCH)]
    wanted = {"adversarial": {"g", "d"}, "critic": {"d"}, "chain": {"x"}}[NETWORKS[name].step]
    assert {k.partition(".")[0] for k in files[0]} == {k.partition(".")[0] for k in files[1]} == wanted


@needs_torch
def test_different_work_is_refused_and_has_no_figures(monkeypatch, one_variant):
    def described(network):
        return [(k, {"negative_slope": 0.3} if k == "LeakyReLU" else v) for k, v in networks.described(network)]

    monkeypatch.setattr(compare, "described", described)
    result = measure(NETWORKS["mlp"], SHORT)
    (message,) = result["errors"]
    assert message.startswith(
        f"{OURS[0]} and PyTorch compute different things from the same weights, so that nothing is"
    )
    assert "is off by" in message
    assert result["sides"] == {}
    assert "no figures" in report.block(result)


# -- figures -------------------------------------------------------------------------------------------------------------


@needs_torch
def test_a_critics_bench_has_every_figure(one_variant):
    result = measure(NETWORKS["wgan-gp28"], SHORT)
    assert result["errors"] == []
    assert list(result["sides"]) == [*OURS, PYTORCH]
    assert (result["batch"], result["unit"]) == (4, "ms a step")
    for label in OURS:
        side = result["sides"][label]
        low, high = side["ratio"]["quartiles"]
        assert low <= side["ratio"]["median"] <= high
        assert min(side["time"], side["floor_ratio"]) > 0
        assert side["profile"]["ops"]
    assert result["sides"][PYTORCH]["variant"] == "fused, contiguous"
    assert "ratio" not in result["sides"][PYTORCH]
    assert json.loads(json.dumps(result)) == result
    text = report.block(result)
    assert max(map(len, text.splitlines())) <= 100
    assert "PyTorch at its best: fused, contiguous" in text


def test_without_pytorch_minigans_own_figures_are_there(alone):
    result = measure(NETWORKS["mlp"], SHORT)
    assert result["errors"] == []
    assert list(result["sides"]) == OURS
    side = result["sides"][OURS[0]]
    assert result["floor"] > 0
    assert "ratio" not in side
    assert side["kernels"] == "numpy"  # with MINIGAN_FAST=0 whatever is installed


def test_calls_in_the_profile_are_those_of_a_step(alone):
    """Three layers: G once and D three times forward; back by weight, bias and what flows between layers, as needed."""
    result = measure(NETWORKS["mlp"], SHORT)
    profile = result["sides"][OURS[0]]["profile"]
    rows = {row["op"]: row for row in profile["ops"]}
    learning = 3 + 3 + 2  # rules by weight, bias and input of three layers, the first without the last
    assert (rows["linear"]["forward_calls"], rows["linear"]["backward_calls"]) == (12, 3 * learning + 3)
    assert (rows["leaky_relu"]["forward_calls"], rows["leaky_relu"]["backward_calls"]) == (8, 8)
    assert (rows["bce_with_logits"]["forward_calls"], rows["bce_with_logits"]["backward_calls"]) == (3, 3)
    assert rows["optimiser"]["forward_calls"] == 2
    spent = sum(row["forward_ms"] + row["backward_ms"] for row in rows.values())
    assert spent + profile["rest_ms"] == pytest.approx(profile["step_ms"])  # a sum of doubles


def test_a_chain_is_measured_by_the_op(alone):
    result = measure(NETWORKS["tanh"], SHORT)
    rows = {row["op"]: row for row in result["sides"][OURS[0]]["profile"]["ops"]}
    assert (rows["tanh"]["forward_calls"], rows["tanh"]["backward_calls"]) == (100, 100)
    assert (result["unit"], result["batch"], result["floor"]) == ("us an op", None, None)


# -- workers that die ----------------------------------------------------------------------------------------------------


@needs_torch
def test_a_side_that_dies_is_quoted_and_the_others_have_their_figures(monkeypatch, one_variant):
    monkeypatch.setattr(compare, "described", lambda network: [("Conv5d", {})])
    result = measure(NETWORKS["mlp"], SHORT)
    assert list(result["sides"]) == OURS
    assert "the worker of PyTorch died with exit code 1; it said last:" in result["errors"][0]
    assert "has no attribute 'Conv5d'" in result["errors"][0]
    assert "has no attribute 'Conv5d'" in report.block(result)


def test_a_side_that_is_killed_is_dropped_and_the_other_goes_on(tmp_path):
    job = tmp_path / "floor.json"
    job.write_text(json.dumps({"backend": "numpy", "products": [[2, 3, 4, ""], [2, 3, 4, "a"], [2, 3, 4, "b"]]}))
    with Crew() as crew:
        for label in ("one", "two"):
            assert crew.start(label, "floor", job, environment(1, False))
        assert crew.workers["one"].facts == {"products": 3}
        crew.workers["one"]._process.kill()
        assert crew.ask("one", "run", 1) is None
        assert crew.ask("one", "run", 1) is None
        assert crew.ask("two", "run", 1) > 0
        assert [e.splitlines()[0] for e in crew.errors] == ["the worker of one died with exit code -9; it said last:"]
        processes = [worker._process for worker in crew.workers.values()]
    assert [process.poll() for process in processes] == [-signal.SIGKILL]  # not asked, whatever it does


def test_an_interrupt_while_a_side_is_started_leaves_no_process(tmp_path, monkeypatch):
    started = []

    class Interrupted(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)
            signal.raise_signal(signal.SIGINT)  # before anybody has noted the process

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), Crew() as crew:
        crew.start("one", "floor", tmp_path / "no.json", environment(1, False))
    assert [process.poll() for process in started] == [-signal.SIGKILL]
    assert crew.workers == {}


def test_what_a_side_writes_on_standard_error_is_kept_once(tmp_path):
    """Such as a warning of a cache that cannot be written."""
    (tmp_path / "sitecustomize.py").write_text("import sys; print('a warning', file=sys.stderr)")
    job = tmp_path / "floor.json"
    job.write_text(json.dumps({"backend": "numpy", "products": [[2, 3, 4, ""]]}))
    with Crew() as crew:
        for _ in range(2):
            assert crew.start("one", "floor", job, environment(1, False) | {"PYTHONPATH": str(tmp_path)})
            crew.dismiss("one")
    assert crew.said == ["one: a warning"]


def test_what_holds_a_library_back_is_dropped_unless_asked_for(monkeypatch):
    monkeypatch.setitem(os.environ, "OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setitem(os.environ, "MINIGAN_FAST", "0")
    assert "OPENBLAS_CORETYPE" not in environment(2, as_is=False)
    kept = environment(3, as_is=True)
    assert kept["OPENBLAS_CORETYPE"] == "Haswell"
    assert "MINIGAN_FAST" not in kept
    assert {kept[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"3"}
    assert environment(3, as_is=False, MINIGAN_FAST="0")["MINIGAN_FAST"] == "0"
