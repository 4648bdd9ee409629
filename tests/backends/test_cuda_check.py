"""What is wrong between CuPy, CUDA, the driver and the GPU is one sentence, with the command that mends it; shown without a GPU."""

import ctypes
import re
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import backends, cli, gan
from minigan.backends import cuda_check
from minigan.backends.cuda.source import ARCHITECTURES
from minigan.backends.cupy import CuPyBackend
from minigan.errors import BackendError

pytestmark = pytest.mark.host

CUDA12, CUDA13 = 'pip install "minigan[cuda12]"', 'pip install "minigan[cuda13]"'

# -- a machine that is put together for a test -------------------------------------------------------------------------


class CUDARuntimeError(RuntimeError):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class CompileException(Exception):
    pass


class OutOfMemoryError(MemoryError):
    pass


def given_or_raised(value):
    if isinstance(value, Exception):
        raise value
    return value


def fake(version="14.2.0", made_for=12090, gpus=1, architecture=90, nvrtc=(12, 9), cublas=None, kernel=None):
    """A module that stands for CuPy; an error in place of a value is raised where CuPy would raise it."""

    class Array:
        __neg__ = lambda self: self
        get = lambda self: given_or_raised(kernel)

    class CUDA:
        runtime = SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            getDeviceCount=lambda: given_or_raised(gpus),
            getDeviceProperties=lambda device: {"name": b"GeForce %d" % device},
            runtimeGetVersion=lambda: made_for,
        )
        compiler = SimpleNamespace(CompileException=CompileException)
        nvrtc = SimpleNamespace(getVersion=lambda: given_or_raised(nvrtc))
        cublas = property(lambda self: given_or_raised(cublas))
        Device = staticmethod(lambda: SimpleNamespace(id=3, compute_capability=str(architecture)))

    attributes = {} if version is None else {"__version__": version}
    return SimpleNamespace(cuda=CUDA(), zeros=lambda *_: Array(), ndarray=type("ndarray", (), {}), **attributes)


@pytest.fixture
def machine(monkeypatch):
    """Put a machine together: the CUDA that its driver runs, the packages that are installed, and CuPy."""

    def built(driver=12080, installed=("cupy-cuda12x",), cupy=None):
        def find(name):
            if name not in installed:
                raise metadata.PackageNotFoundError(name)
            return SimpleNamespace()

        def load(name):
            if not driver:
                raise OSError(f"{name}: cannot open shared object file: No such file or directory")
            return SimpleNamespace(cuDriverGetVersion=lambda number: setattr(number._obj, "value", driver))

        missing = metadata.PackageNotFoundError
        monkeypatch.setattr(cuda_check, "metadata", SimpleNamespace(distribution=find, PackageNotFoundError=missing))
        monkeypatch.setattr(cuda_check, "ctypes", SimpleNamespace(CDLL=load, c_int=ctypes.c_int, byref=ctypes.byref))
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setattr(backends, "_by_name", {"numpy": backends.get("numpy")})
        monkeypatch.setattr(backends, "by_type", dict(backends.by_type))

    return built


# -- one sentence for each fault ---------------------------------------------------------------------------------------

NOT_FOUND = 'Failure finding "libnvrtc.so.13 or libnvrtc.so.12": No such file: libnvrtc.so.13 or libnvrtc.so.12\n'
INSUFFICIENT = CUDARuntimeError(35, "cudaErrorInsufficientDriver: CUDA driver version is insufficient for ...")

FAULTS = {
    "no driver": ({"driver": 0}, ["no driver of an NVIDIA GPU", f"525 or newer for {CUDA12}, 580 or newer for {CUDA13}"]),
    "a driver for no CUDA that CuPy 14 has": (
        {"driver": 11040},
        ["driver runs CUDA 11.4 at most", "CuPy 14 needs CUDA 12", "525 or newer", CUDA12],
    ),
    "a driver for an older CUDA than CuPy's": (
        {"driver": 12080, "installed": ["cupy-cuda13x"], "cupy": fake(made_for=13000, gpus=INSUFFICIENT)},
        ["driver runs CUDA 12.8 at most", "made for 13.0", f"pip uninstall -y cupy-cuda13x && {CUDA12}"],
    ),
    "two packages": (
        {"driver": 13000, "installed": ["cupy-cuda12x", "cupy-cuda13x"], "cupy": fake()},
        ["cupy-cuda12x and cupy-cuda13x are installed", f"pip uninstall -y cupy-cuda12x cupy-cuda13x && {CUDA13}"],
    ),
    "CuPy for AMD beside": (
        {"installed": ["cupy-cuda12x", "cupy-rocm-7-0"], "cupy": fake()},
        ["cupy-cuda12x and cupy-rocm-7-0", f"pip uninstall -y cupy-cuda12x cupy-rocm-7-0 && {CUDA12}"],
    ),
    "no CuPy": ({"installed": []}, [f"CuPy is not installed: {CUDA12}"]),
    "no CuPy, and a new driver": ({"installed": [], "driver": 13010}, [f"CuPy is not installed: {CUDA13}"]),
    "CuPy that cannot be imported": ({}, ["CuPy cannot be imported", f"pip uninstall -y cupy-cuda12x && {CUDA12}"]),
    "what is left of CuPy": ({"cupy": fake(version=None)}, ["CuPy cannot be imported", "pip uninstall -y cupy-cuda12x"]),
    "an old CuPy": ({"cupy": fake("13.6.0")}, ["this is CuPy 13.6.0", "14 or newer", CUDA12]),
    "an old CuPy for an old CUDA": (
        {"installed": ["cupy-cuda11x"], "cupy": fake("13.6.0")},
        ["14 or newer", f"pip uninstall -y cupy-cuda11x && {CUDA12}"],
    ),
    "no GPU": (
        {"cupy": fake(gpus=CUDARuntimeError(100, "cudaErrorNoDevice: no CUDA-capable device is detected"))},
        ["driver finds no GPU (cudaErrorNoDevice", "nvidia-smi", "CUDA_VISIBLE_DEVICES", "backend 'numpy'"],
    ),
    "a driver that is wrong in another way": (
        {"cupy": fake(gpus=INSUFFICIENT)},
        ["GPU cannot be used (cudaErrorInsufficientDriver", "nvidia-smi"],
    ),
    "a GPU that is taken": (
        {"cupy": fake(gpus=CUDARuntimeError(46, "cudaErrorDevicesUnavailable: device(s) is/are busy"))},
        ["GPU cannot be used (cudaErrorDevicesUnavailable", "nvidia-smi"],
    ),
    "an old GPU": (
        {"cupy": fake(architecture=61)},
        ["GPU 3, GeForce 3, has the architecture sm_61", "need sm_75", "CUDA_VISIBLE_DEVICES", "backend 'numpy'"],
    ),
    "no NVRTC": (
        {"cupy": fake(nvrtc=RuntimeError(NOT_FOUND))},
        ["a library of CUDA 12 (Failure finding", "libnvrtc.so.12", f"): {CUDA12}"],
    ),
    "no cuBLAS": (
        {"cupy": fake(cublas=ImportError("libcublas.so.12: cannot open shared object file: No such file or directory"))},
        ["a library of CUDA 12 (libcublas.so.12: cannot open shared object file)", CUDA12],
    ),
    "NVRTC of another CUDA, where the driver runs both": (
        {"driver": 13000, "cupy": fake(nvrtc=(13, 0), cublas=ImportError("libcublas.so.12: cannot open"))},
        ["made for CUDA 12.9, and finds NVRTC 13.0", f"pip uninstall -y cupy-cuda12x && {CUDA13}"],
    ),
    "NVRTC of another CUDA": (
        {"cupy": fake(nvrtc=(13, 0), kernel=RuntimeError("CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image"))},
        ["made for CUDA 12.9, and finds NVRTC 13.0 (CUDA_ERROR_NO_BINARY", f"pip uninstall -y cupy-cuda12x && {CUDA12}"],
    ),
    "headers of another CUDA": (
        {"cupy": fake(kernel=CompileException("/usr/local/cuda/include/cuda_fp16.h(12): error: oh\n1 error detected"))},
        ["headers of CUDA", "(/usr/local/cuda/include/cuda_fp16.h(12): error: oh)", "unset CUDA_PATH", CUDA12],
    ),
    "a kernel that does not run": (
        {"cupy": fake(kernel=CUDARuntimeError(999, "cudaErrorUnknown: unknown error"))},
        ["a first kernel does not run (cudaErrorUnknown: unknown error)", CUDA12, "nvidia-smi"],
    ),
    "an error without a word": ({"cupy": fake(kernel=RuntimeError())}, ["a first kernel does not run (RuntimeError): "]),
    "no memory for an array": (
        {"cupy": fake(kernel=OutOfMemoryError("Out of memory allocating 512 bytes (allocated so far: 0 bytes)."))},
        ["too little memory left (Out of memory allocating 512 bytes (allocated so far: 0 bytes)): ", "nvidia-smi"],
    ),
    "no memory to begin with": (
        {"cupy": fake(kernel=CUDARuntimeError(2, "cudaErrorMemoryAllocation: out of memory"))},
        ["too little memory left (cudaErrorMemoryAllocation", "nvidia-smi"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("state", "parts"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_sentence_that_says_what_mends_it(state, parts, machine):
    machine(**state)
    before = backends.current()
    with pytest.raises(BackendError) as caught:
        mg.set_backend("cupy")
    text = str(caught.value)
    assert text.startswith("the backend 'cupy' cannot be used: ")
    assert [part for part in parts if part not in text] == []
    assert "\n" not in text
    assert caught.value.__suppress_context__  # what CuPy raised is in the sentence, and not printed above it
    assert backends.current() is before


def test_of_cupys_own_advice_the_fault_is_kept(machine, monkeypatch, tmp_path):
    machine()
    (tmp_path / "cupy.py").write_text(
        "try:\n    raise ImportError('libcudart.so.12: wrong ELF class')\n"
        "except ImportError as error:\n    raise ImportError('\\n====\\nFailed to import CuPy.\\n====') from error\n"
    )
    monkeypatch.delitem(sys.modules, "cupy")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match=r"imported \(libcudart\.so\.12: wrong ELF class\): pip uninstall"):
        backends.get("cupy")


@pytest.mark.parametrize("architecture", [ARCHITECTURES[0], 90, 121])
@pytest.mark.parametrize("driver", [12000, 13020])
def test_where_nothing_is_wrong_the_backend_is_made_once(driver, architecture, machine):
    module = fake("15.0.0b1", architecture=architecture)
    machine(driver=driver, cupy=module)
    made = backends.get("cupy")
    assert isinstance(made, CuPyBackend)
    assert backends.get("cupy") is made
    assert backends.by_type[module.ndarray] is made


def test_libraries_of_another_cuda_are_no_fault_where_they_work(machine):
    machine(driver=13000, cupy=fake(nvrtc=(13, 0)))
    assert backends.get("cupy").name == "cupy"


@given(st.integers(0, 15_999), st.lists(st.sampled_from(cuda_check.PACKAGES), unique=True), st.booleans())
def test_the_command_leaves_one_cupy_that_the_driver_runs(driver, installed, anew):
    *removal, addition = cuda_check._Found(driver, installed).mend(anew).split(" && ")
    removed = {name for command in removal for name in command.removeprefix("pip uninstall -y ").split()}
    cuda = int(re.fullmatch(r'pip install "minigan\[cuda(\d+)\]"', addition)[1])
    assert {*installed} - removed | {f"cupy-cuda{cuda}x"} == {f"cupy-cuda{cuda}x"}
    newest = 13 if driver >= 13000 else 12
    stays = installed in ([f"cupy-cuda{c}x"] for c in range(12, newest + 1)) and not anew
    assert removed == (set() if stays else {*installed})
    assert stays or cuda == newest


def test_the_extras_that_commands_name_bring_the_packages():
    needed = metadata.requires("minigan")
    for cuda in cuda_check.DRIVERS:
        assert any(r.startswith(f"cupy-cuda{cuda}x[ctk]>=14") and f"cuda{cuda}" in r.partition(";")[2] for r in needed)


# -- as the user meets it ----------------------------------------------------------------------------------------------


def test_with_numpy_nothing_of_this_is_looked_at():
    program = "import sys, minigan as mg; mg.set_backend('numpy'); mg.tensor(1.0) + 1; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"minigan.backends.cupy", "minigan.backends.cuda_check", "cupy"} & {*loaded} == set()


def said(args, monkeypatch, capsys):
    """The exit status of a command, and what it writes for its user."""
    monkeypatch.setattr(sys, "argv", ["minigan", *args])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr().err


def test_training_without_a_gpu_ends_with_the_sentence(machine, monkeypatch, capsys, tmp_path):
    machine(driver=0)
    code, err = said(["train", "gan", "--backend", "cupy", "--out", str(tmp_path / "run")], monkeypatch, capsys)
    assert code == 2
    assert re.fullmatch(r"minigan: error: the backend 'cupy' cannot be used: there is no driver .*\n", err)
    assert not (tmp_path / "run").exists()


def test_training_that_runs_out_of_the_gpus_memory_says_how_much_was_asked_for(monkeypatch, capsys, tmp_path):
    @mg.op
    def greedy(xp, x):
        raise OutOfMemoryError("Out of memory allocating 4,294,967,296 bytes (allocated so far: 512 bytes).")

    monkeypatch.setattr(gan.Trainer, "run", lambda self: greedy(mg.tensor([1.0])))
    args = ["train", "toy", "--data", "ring", "--steps", "1", "--out", str(tmp_path / "run")]
    code, err = said(args, monkeypatch, capsys)
    assert code == 1
    asked, _, advice = err.partition("; ")
    assert asked.startswith("minigan: error: not enough memory: Out of memory allocating 4,294,967,296 bytes")
    assert re.fullmatch(r"try a smaller .*batch, or end other programs.*\n", advice)


def test_cupys_word_for_memory_is_what_is_caught():
    memory = pytest.importorskip("cupy", exc_type=ImportError).cuda.memory
    error = memory.OutOfMemoryError(2**32, 512, 0)
    assert isinstance(error, MemoryError)
    assert str(error) == "Out of memory allocating 4,294,967,296 bytes (allocated so far: 512 bytes)."
