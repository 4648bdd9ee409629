"""What a bench on a GPU adds, as far as a machine without one can show: PyTorch's other ways, floors, launches, precision."""

import json
import sys
import types
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from bench_support import SHORT, needs_torch

import minigan as mg
from minigan.bench import compare, minigan_side, report, run, worker
from minigan.bench.compare import COMPILED, FLOOR, GRAPHS, PYTORCH, Bench, Options, Variant, measure
from minigan.bench.networks import NETWORKS
from minigan.bench.products import least
from minigan.bench.sameness import difference
from minigan.bench.timers import Timers
from minigan.errors import RunError
from minigan.testing import STRICT

pytestmark = pytest.mark.host

EAGER, GRAPH = Variant("fused", "contiguous"), Variant("fused", "contiguous", "graph")


class OnGpu(Options):
    """The bench of a GPU, with workers that compute on the CPU."""

    on_gpu = True


AS_ON_GPU = OnGpu(**{**vars(SHORT), "precision": "tf32"})


@pytest.fixture
def small(monkeypatch):
    """One variant of each, and floors from arrays that a test has time for."""
    monkeypatch.setattr(compare, "VARIANTS", (EAGER,))
    monkeypatch.setattr(compare, "LARGE", {"copied": 1000, "side": 10})
    monkeypatch.setattr(compare, "ON_GPU", {GRAPHS: (EAGER,), COMPILED: (GRAPH,)})


# -- the whole -----------------------------------------------------------------------------------------------------------


@needs_torch
def test_figures_beside_every_way_of_pytorch_that_runs_and_a_note_for_one_that_does_not(small, monkeypatch):
    asked, refused = [], Bench.refused

    def watched(bench, precision):
        jobs = [json.loads((bench.folder / f"{label}.json").read_text()) for label in bench.crew.workers]
        asked.append((precision, {job["precision"] for job in jobs}))
        return refused(bench, precision)

    monkeypatch.setattr(Bench, "refused", watched)
    result = measure(NETWORKS["mlp"], AS_ON_GPU)
    assert asked == [("fp32", {"fp32"}), ("tf32", {"tf32"})]
    assert result["errors"] == []
    assert list(result["sides"]) == ["minigan", PYTORCH, GRAPHS]
    ours = result["sides"]["minigan"]
    for ratio in (ours["ratio"], ours["ratios"][GRAPHS]):
        assert ratio["quartiles"][0] <= ratio["median"] <= ratio["quartiles"][1]
    assert ours["ratios"].keys() == {GRAPHS}
    assert [side["launches"] for side in result["sides"].values()] == [
        None
    ] * 3  # there is no GPU whose kernels to count
    for what, floor in result["floors"].items():
        assert floor["amount"] == least(replace(NETWORKS["mlp"], batch=4))[what]
        assert floor["time"] == pytest.approx(
            1e3 * floor["amount"] / floor["rate"]
        )  # one division and product of doubles
    (note,) = result["notes"]
    assert note.startswith(f"{COMPILED} falls away as fused, contiguous, graph: RuntimeError: ")
    assert "CUDA" in note
    assert json.loads(json.dumps(result)) == result
    lines = report.block(result).splitlines()
    assert lines[0] == "mlp, batch 4, tf32"
    assert "  PyTorch at its best: fused, contiguous" in lines


@needs_torch
def test_a_way_that_computes_something_else_is_dismissed_and_minigan_is_not_spared(small, monkeypatch, tmp_path):
    def apart(other):
        return lambda losses, *_: "planted" if losses == [other] else None

    bench = Bench(NETWORKS["mlp"], AS_ON_GPU, tmp_path)

    def ask(label, command, path):
        np.savez(path)
        return [label]

    monkeypatch.setattr(bench.crew, "ask", ask)
    monkeypatch.setattr(bench.crew, "dismiss", lambda label: dismissed.append(label))
    dismissed = []
    monkeypatch.setattr(compare, "difference", apart(GRAPHS))
    assert bench.refused("tf32") is None
    assert dismissed == [GRAPHS]
    assert bench.notes[0].startswith(f"{GRAPHS} and PyTorch compute different things")
    monkeypatch.setattr(compare, "difference", apart("minigan"))
    assert bench.refused("tf32").endswith("planted")


def test_without_a_gpu_nothing_of_it_is_asked():
    assert list(SHORT.peers(NETWORKS["mlp"])) == [PYTORCH]
    assert list(AS_ON_GPU.peers(NETWORKS["tanh"])) == [PYTORCH]
    assert list(AS_ON_GPU.peers(NETWORKS["mlp"])) == [PYTORCH, GRAPHS, COMPILED]
    with pytest.raises(RunError, match="--precision tf32 is for a GPU's products: add --backend cupy"):
        run.bench("tanh", replace(SHORT, precision="tf32"), as_json=False)


def test_only_the_floor_multiplies_by_cupys_own_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("CUPY_TF32", "1")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    started = {}
    bench = Bench(NETWORKS["mlp"], AS_ON_GPU, tmp_path)
    monkeypatch.setattr(bench.crew, "start", lambda label, side, job, env: started.update({label: (side, env)}))
    for label, variant in ((FLOOR, None), ("minigan", None), (GRAPHS, GRAPH)):
        bench.start(label, variant)
    assert {label: side for label, (side, _) in started.items()} == {
        FLOOR: "floor",
        "minigan": "minigan",
        GRAPHS: "torch",
    }
    assert {label: env.get("CUPY_TF32") for label, (_, env) in started.items()} == {
        FLOOR: "1",
        "minigan": None,
        GRAPHS: None,
    }
    assert not any("NVIDIA_TF32_OVERRIDE" in env for _, env in started.values())
    bench.start(FLOOR, precision="fp32")
    assert "CUPY_TF32" not in started[FLOOR][1]


# -- how it reads --------------------------------------------------------------------------------------------------------


def test_the_table_has_minigans_ratio_to_each_side_and_each_floor():
    ratio = {"median": 0.5, "quartiles": [0.4, 0.6]}
    sides = {
        "minigan": {"time": 0.25, "launches": 120, "ratio": ratio, "ratios": {GRAPHS: {**ratio, "median": 0.9}}},
        PYTORCH: {"time": 0.5, "launches": 260, "variant": "fused, contiguous"},
        GRAPHS: {"time": 0.28, "launches": None, "variant": "fused, channels_last, graph"},
    }
    floors = {
        "bytes": {"amount": 3e7, "rate": 3e12, "time": 0.01},
        "operations": {"amount": 1e10, "rate": 4e14, "time": 0.025},
    }
    result = {
        "network": "dcgan28",
        "batch": 64,
        "unit": "ms a step",
        "precision": "tf32",
        "sides": sides,
        "floors": floors,
    }
    text = report.block({**result, "floor": None, "errors": [], "said": [], "notes": ["torch.compile falls away"]})
    assert text.splitlines() == [
        "dcgan28, batch 64, tf32",
        "  note: torch.compile falls away",
        "                     ms a step  launches    minigan to it (quartiles)",
        "  minigan                0.250       120",
        "  PyTorch                0.500       260          0.50 (0.40 to 0.60)",
        "  CUDA graphs            0.280                    0.90 (0.40 to 0.60)",
        "  floor: bytes           0.010                                  25.00  at 3,000 GB/s, measured",
        "  floor: operations      0.025                                  10.00  at 400 TFLOP/s, measured",
        "  PyTorch at its best: fused, contiguous",
        "  CUDA graphs at its best: fused, channels_last, graph",
    ]


def test_the_heading_names_the_gpu_and_the_precision():
    runtime = types.SimpleNamespace(
        runtimeGetVersion=lambda: 12090, driverGetVersion=lambda: 13010, getDevice=lambda: 1,
        getDeviceProperties=lambda device: {"name": f"GPU {device}".encode()},
    )  # fmt: skip
    facts = report.gpu(types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime), __version__="14.2.0"))
    text = report.heading({**report.machine(), "gpu": {**facts, "precision": "tf32"}}, 2)
    assert text.splitlines()[2] == "GPU 1, CuPy 14.2.0, CUDA 12.9, a driver for 13.1; tf32"


# -- minigan's recorded step ---------------------------------------------------------------------------------------------


class Untimed(Timers):
    """Timers that leave every op of this process as it is."""

    def watch(self, xp, optimizers):
        pass


@pytest.mark.parametrize("name", ["mlp", "dcgan28", "wgan-gp28"])
def test_minigans_step_is_recorded_and_what_is_checked_is_a_replay(name, tmp_path, monkeypatch):
    network = replace(NETWORKS[name], width=2, batch=4)
    sides = {}
    for backend in ("numpy", "strict"):
        job = {**Bench(network, SHORT, tmp_path).job, "backend": backend, "precision": "fp32"}
        with mg.backend(backend):
            sides[backend] = side = minigan_side.Side(job)
            before = [p.numpy().copy() for p in side.d.parameters()]
            path = tmp_path / f"{backend}.npz"
            losses = side.check(str(path))
            assert all((p.numpy() == b).all() for p, b in zip(side.d.parameters(), before, strict=True))
            with np.load(path) as stored:
                sides[backend] = losses, dict(stored)
    assert difference(*sides["strict"], *sides["numpy"]) is None
    with mg.backend("strict"):
        side.step()  # which brings the learning rate over
        launches = STRICT.launches
        side.step()
        copied = 2 + len(side.inputs)  # both losses, and what goes in
        assert STRICT.launches == launches + copied + 1
        monkeypatch.setattr(minigan_side, "Timers", Untimed)
        launches = STRICT.launches
        side.profile(1)
        assert STRICT.launches > launches + 50  # op by op


# -- PyTorch's other ways ------------------------------------------------------------------------------------------------


class Recorder:
    """`torch.cuda` where there is none: streams that are only noted, and a graph that takes the step again when replayed."""

    def __init__(self):
        self.done = []

    def Stream(self):
        return types.SimpleNamespace(wait_stream=lambda other: self.done.append("wait"))

    current_stream = Stream

    @contextmanager
    def stream(self, stream):
        self.done.append("aside")
        yield
        self.done.append("back")

    def CUDAGraph(self):
        return types.SimpleNamespace(replay=lambda: self.done.append("replay"))

    @contextmanager
    def graph(self, graph):
        self.done.append("capture")
        yield
        self.done.append("captured")


@pytest.fixture
def side(tmp_path):
    """PyTorch's side in a variant, in this process."""
    torch = pytest.importorskip("torch")
    flags = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    threads = torch.get_num_threads()

    def made(variant, name="dcgan28", precision="fp32"):
        network = replace(NETWORKS[name], width=2, batch=4)
        job = {**Bench(network, SHORT, tmp_path).job, "variant": variant, "precision": precision}
        return worker.load("torch").Side(job)

    yield made
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = flags
    torch.set_num_threads(threads)


def test_a_step_is_captured_once_after_a_warm_up_aside_that_moves_nothing(side, tmp_path):
    plain, graph = side(EAGER), side(GRAPH)
    weights = [p.detach().clone() for p in graph.d.parameters()]
    cuda = Recorder()
    graph.torch = types.SimpleNamespace(**{**vars(graph.torch), "cuda": cuda})
    steps, eager = cuda.done, graph.eager
    graph.eager = lambda: (steps.append("step"), eager())[1]
    losses = graph.check(str(tmp_path / "graph.npz"))
    captured = ["wait", "aside", "step", "step", "step", "back", "wait", "capture", "step", "captured", "replay"]
    assert steps == captured
    assert losses == plain.check(str(tmp_path / "plain.npz"))
    with np.load(tmp_path / "graph.npz") as ours, np.load(tmp_path / "plain.npz") as wanted:
        assert ours.keys() == wanted.keys()
        assert all((ours[k] == wanted[k]).all() for k in wanted)
    assert all((a == b).all() for a, b in zip(weights, graph.d.parameters(), strict=True))
    assert {group["lr"].item() for side in "gd" for group in graph.optimizer(side).param_groups} == {np.float32(2e-4)}
    graph.step()
    assert steps == [*captured, "replay"]


def test_precision_is_that_of_products_and_convolutions_alike(side):
    for precision, tf32 in (("tf32", True), ("fp32", False)):
        backends = side(EAGER, precision=precision).torch.backends
        assert (backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32) == (tf32, tf32)


def test_a_compiled_side_hands_its_players_to_the_compiler_and_keeps_their_names(side, monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    taken, begun = [], []

    class Taken(torch.nn.Module):
        """What `torch.compile` gives back for a module, which names its parameters after where it keeps it."""

        def __init__(self, module, mode):
            super().__init__()
            self._orig_mod = module
            taken.append(mode)

        def forward(self, x):
            return self._orig_mod(x)

    monkeypatch.setattr(torch, "compile", Taken)  # the real one takes half a minute, and g++
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(1))
    side(Variant("fused", "contiguous", "reduce-overhead"), "mlp").check(str(tmp_path / "compiled.npz"))
    assert (taken, begun) == (["reduce-overhead"] * 2, [1])
    side(EAGER, "mlp").check(str(tmp_path / "plain.npz"))
    with np.load(tmp_path / "compiled.npz") as ours, np.load(tmp_path / "plain.npz") as wanted:
        assert ours.keys() == wanted.keys()


# -- counts and rates ----------------------------------------------------------------------------------------------------


def test_rates_are_what_is_moved_and_multiplied_in_the_time_that_it_took(tmp_path):
    floor = worker.load("floor").Side({"backend": "numpy", "products": []})
    rates = floor.rates({"copied": 1000, "side": 10})
    assert min(rates.values()) > 0
    floor.best = lambda work: (work(), 0.5)[1]
    assert floor.rates({"copied": 1000, "side": 10}) == {"bytes": 2 * 4000 / 0.5, "operations": 2 * 10**3 / 0.5}


def test_launches_are_the_kernels_of_one_step_and_nothing_else_of_a_trace(monkeypatch):
    steps = []

    class Profile:
        def __init__(self, activities):
            assert activities == ["CUDA"]

        def __enter__(self):
            self.before = len(steps)
            return self

        def __exit__(self, *_):
            self.seen = len(steps) - self.before

        def export_chrome_trace(self, path):
            beside = [{"cat": "gpu_memcpy"}, {"cat": "gpu_user_annotation"}, {"cat": "cuda_runtime"}, {"ph": "M"}]
            kernels = [{"cat": "kernel"}] * (kernels_a_step * self.seen)
            with open(path, "w") as file:
                json.dump({"traceEvents": [*beside, *kernels]}, file)

    profiler = types.SimpleNamespace(profile=Profile, ProfilerActivity=types.SimpleNamespace(CUDA="CUDA"))
    cuda = types.SimpleNamespace(is_available=lambda: available)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(profiler=profiler, cuda=cuda))
    side = types.SimpleNamespace(step=lambda: steps.append(1), finish=lambda: None)
    available, kernels_a_step = True, 7
    assert worker.launches(side) == 7
    assert len(steps) == worker.WARM_UP + 1
    kernels_a_step = 0  # the profiler saw nothing, which is no count
    assert worker.launches(side) is None
    available = False
    assert worker.launches(side) is None
    monkeypatch.setitem(sys.modules, "torch", None)
    assert worker.launches(side) is None
