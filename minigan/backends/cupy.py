"""The CuPy backend: the plain kernels on a GPU."""

from __future__ import annotations

from typing import Any

from minigan.backends.base import HostArray
from minigan.backends.device import DeviceBackend
from minigan.errors import BackendError

INSTALL = "pip install 'minigan[cuda12]' for CUDA 12, or 'minigan[cuda13]' for CUDA 13"


class CuPyBackend(DeviceBackend):
    """Arrays in a GPU's memory."""

    def __init__(self, cupy: Any) -> None:
        super().__init__("cupy", cupy, cupy.ndarray)

    def free_memory(self) -> None:
        self.module.get_default_memory_pool().free_all_blocks()

    def from_host(self, array: HostArray) -> Any:
        return self.module.array(array)

    def to_host(self, array: Any) -> HostArray:
        return self.module.asnumpy(array)


def load() -> CuPyBackend:
    """The backend; `BackendError` where CuPy, a driver or a GPU is missing, with what to do about it."""
    try:
        import cupy
    except ImportError as error:
        raise BackendError(f"the backend 'cupy' needs CuPy, which cannot be imported ({error}): {INSTALL}") from None
    if int(cupy.__version__.split(".")[0]) < 14:
        raise BackendError(f"the backend 'cupy' needs CuPy 14 or newer, and this is {cupy.__version__}: {INSTALL}")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(
            f"the backend 'cupy' finds no GPU to use ({error}): it needs an NVIDIA GPU with a driver for CuPy's CUDA, "
            f"which nvidia-smi shows; {INSTALL}; without a GPU, stay with the backend 'numpy'"
        ) from None
    if count == 0:
        raise BackendError("the backend 'cupy' finds no GPU in this machine; stay with the backend 'numpy'")
    return CuPyBackend(cupy)
