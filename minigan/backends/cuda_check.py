"""What can be wrong between CuPy, CUDA's libraries, the driver and the GPU: each said once, with the command that mends it."""

from __future__ import annotations

import ctypes
import sys
from importlib import metadata
from typing import Any, NamedTuple, NoReturn

from minigan.backends.cuda.source import ARCHITECTURES
from minigan.errors import BackendError

DRIVERS = {12: 525, 13: 580}  # the oldest driver for each CUDA that there is an extra for
PACKAGES = [  # they all install the same files
    "cupy", "cupy-cuda11x", *(f"cupy-cuda{cuda}x" for cuda in DRIVERS),
    "cupy-rocm-5-0", "cupy-rocm-7-0", "cupy-rocm-7-1", "amd-cupy",
]  # fmt: skip
NO_GPU = 100  # cudaErrorNoDevice
SEE = "nvidia-smi shows the GPUs and who uses them, CUDA_VISIBLE_DEVICES chooses among them"
OTHERWISE = "without a GPU, stay with the backend 'numpy'"


class _Found(NamedTuple):
    """What this machine has: the newest CUDA that its driver runs, 12080 for 12.8 or 0, and the packages of CuPy."""

    driver: int
    packages: list[str]

    def mend(self, anew: bool = False) -> str:
        """The command that leaves one CuPy that the driver runs, with its libraries; one that fits stays, unless `anew`."""
        fitting = {f"cupy-cuda{cuda}x": cuda for cuda in DRIVERS if cuda <= max(self.driver // 1000, min(DRIVERS))}
        if not anew and len(self.packages) == 1 and self.packages[0] in fitting:
            return _install(fitting[self.packages[0]])
        remove = f"pip uninstall -y {' '.join(self.packages)} && " if self.packages else ""
        return remove + _install(max(fitting.values()))


def working_cupy() -> Any:
    """CuPy, after a kernel of its own has run on this machine's GPU.

    Raises:
        BackendError: what is missing or does not fit, what is needed instead, and the command that mends it.
    """
    found = _Found(_newest_cuda(), _packages())
    if not found.driver:
        needed = ", ".join(f"{number} or newer for {_install(cuda)}" for cuda, number in DRIVERS.items())
        _fail(
            f"there is no driver of an NVIDIA GPU: install one, {needed}; start a container with its GPUs; {OTHERWISE}"
        )
    if found.driver < 12000:
        _fail(
            f"the driver runs CUDA {_version(found.driver)} at most, and CuPy 14 needs CUDA 12: install a driver, "
            f"{DRIVERS[12]} or newer, and then {found.mend()}"
        )
    if len(found.packages) > 1:
        _fail(f"{' and '.join(found.packages)} are installed, which overwrite each other's files: {found.mend()}")
    cupy = _imported(found)
    _find_gpu(cupy, found)
    _run_kernel(cupy, found)
    return cupy


def _imported(found: _Found) -> Any:
    """CuPy of a version that will do."""
    try:
        import cupy

        made = cupy.__version__  # what is left of a CuPy that was uninstalled has none
    except (ImportError, AttributeError) as error:
        fault = f"CuPy cannot be imported ({_cause(error)})" if found.packages else "CuPy is not installed"
        _fail(f"{fault}: {found.mend(anew=True)}")
    if int(made.split(".")[0]) < 14:
        _fail(f"this is CuPy {made}, and minigan needs 14 or newer: {found.mend()}")
    return cupy


def _find_gpu(cupy: Any, found: _Found) -> None:
    """A GPU that the driver sees and the kernels are made for."""
    runtime = cupy.cuda.runtime
    try:
        runtime.getDeviceCount()
        device = cupy.cuda.Device()
        architecture = int(device.compute_capability)
    except runtime.CUDARuntimeError as error:
        made_for = runtime.runtimeGetVersion()
        if made_for // 1000 > found.driver // 1000:
            fault = f"the driver runs CUDA {_version(found.driver)} at most, and CuPy is made for {_version(made_for)}"
            _fail(f"{fault}: {found.mend(anew=True)}")
        fault = "the driver finds no GPU" if error.status == NO_GPU else "the GPU cannot be used"
        _fail(f"{fault} ({_cause(error)}): {SEE}; {OTHERWISE}")
    if architecture < ARCHITECTURES[0]:
        name = runtime.getDeviceProperties(device.id)["name"].decode()
        _fail(
            f"GPU {device.id}, {name}, has the architecture sm_{architecture}, and the kernels need "
            f"sm_{ARCHITECTURES[0]} (Turing) or newer: {SEE}; {OTHERWISE}"
        )


def _run_kernel(cupy: Any, found: _Found) -> None:
    """Compile a small kernel, which CuPy keeps in the user's folder, and run it."""
    compiler = None
    try:
        compiler = cupy.cuda.nvrtc.getVersion()
        _ = cupy.cuda.cublas  # CuPy looks for it now
        (-cupy.zeros(1, "float32")).get()
    except Exception as error:
        made_for = cupy.cuda.runtime.runtimeGetVersion()
        if isinstance(error, MemoryError) or "out of memory" in str(error):
            _fail(f"the GPU has too little memory left ({_cause(error)}): end what uses it; {SEE}")
        if compiler and compiler[0] != made_for // 1000:
            fault = f"CuPy is made for CUDA {_version(made_for)}, and finds NVRTC {'.'.join(map(str, compiler))}"
            _fail(f"{fault} ({_cause(error)}): {found.mend(anew=True)}")
        if not compiler or isinstance(error, ImportError):
            _fail(f"CuPy does not find a library of CUDA {made_for // 1000} ({_cause(error)}): {found.mend()}")
        if isinstance(error, cupy.cuda.compiler.CompileException):
            fault = f"CuPy's kernels do not compile with the headers of CUDA that it finds ({_cause(error)})"
            _fail(f"{fault}: unset CUDA_PATH, and {found.mend(anew=True)}")
        _fail(f"a first kernel does not run ({_cause(error)}): {found.mend(anew=True)}; {SEE}")


def _newest_cuda() -> int:
    """The newest CUDA that the driver runs, 12080 for 12.8; 0 without a driver."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    number = ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(number))
    return number.value


def _packages() -> list[str]:
    """The packages that CuPy is installed from; there should be one."""

    def is_installed(name: str) -> bool:
        try:
            return bool(metadata.distribution(name))
        except metadata.PackageNotFoundError:
            return False

    return list(filter(is_installed, PACKAGES))


def _install(cuda: int) -> str:
    return f'pip install "minigan[cuda{cuda}]"'


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _cause(error: Exception) -> str:
    """What failed, in one line: CuPy wraps the system's word in advice."""
    text = str(error.__cause__ or error).strip() or type(error).__name__
    return text.splitlines()[0].partition(": No such file")[0].rstrip(".")


def _fail(fault: str) -> NoReturn:
    raise BackendError(f"the backend 'cupy' cannot be used: {fault}") from None
