"""The CuPy backend: arrays on a GPU, and the kernels in CUDA."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends.base import HostArray
from minigan.backends.cuda.kernels import CudaKernels
from minigan.backends.cuda.launching import MODULE_OF, THREADS, Blocks, Long
from minigan.backends.cuda.rules import FAST_RULES
from minigan.backends.cuda.source import code, options
from minigan.backends.device import DeviceBackend
from minigan.errors import BackendError

INSTALL = "pip install 'minigan[cuda12]' for CUDA 12, or 'minigan[cuda13]' for CUDA 13"


class CuPyBackend(CudaKernels, DeviceBackend):
    """Arrays in a GPU's memory."""

    def __init__(self, cupy: Any) -> None:
        super().__init__("cupy", cupy, cupy.ndarray)
        self.fast_rules.update(FAST_RULES)
        self._modules: dict[tuple[str, ...], Any] = {}

    def launch(self, kernel: str, blocks: Blocks, dtype: str, *args: Any) -> None:
        module, chosen = MODULE_OF[kernel], options(dtype, self.precision)
        if (module, *chosen) not in self._modules:  # compiled by NVRTC, and kept by CuPy in the user's folder
            self._modules[module, *chosen] = self.module.RawModule(code=code(module), options=chosen)
        function = self._modules[module, *chosen].get_function(kernel)
        function(blocks, (THREADS, 1, 1), tuple(map(_argument, args)))

    def free_memory(self) -> None:
        self.module.get_default_memory_pool().free_all_blocks()

    def from_host(self, array: HostArray) -> Any:
        return self.module.array(array)

    def to_host(self, array: Any) -> HostArray:
        return self.module.asnumpy(array)


def _argument(value: Any) -> Any:
    """A kernel's argument with the size that the kernel expects."""
    if value is None:
        return np.uintp(0)  # a null pointer
    kinds = {int: np.int32, Long: np.int64, float: np.float64}
    return kinds[type(value)](value) if type(value) in kinds else value


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
