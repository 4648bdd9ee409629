"""The CuPy backend: arrays on a GPU, and the kernels in CUDA."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from minigan.backends.base import HostArray, inverse, memory_order
from minigan.backends.cuda.kernels import CudaKernels
from minigan.backends.cuda.launching import MODULE_OF, THREADS, Blocks, Long
from minigan.backends.cuda.rules import FAST_RULES
from minigan.backends.cuda.source import code, options
from minigan.backends.cuda_check import working_cupy
from minigan.backends.cuda_graph import CudaGraph
from minigan.backends.device import DeviceBackend

MANY = 8  # arrays, beyond which CuPy puts them side by side with a list of their addresses, brought from the host


class CuPyBackend(CudaKernels, DeviceBackend):
    """Arrays in a GPU's memory."""

    can_record = True

    def __init__(self, cupy: Any) -> None:
        super().__init__("cupy", cupy, cupy.ndarray)
        self.fast_rules.update(FAST_RULES)
        self._module = cache(lambda name, chosen: cupy.RawModule(code=code(name), options=chosen))
        self._kernel = cache(lambda name, chosen: self._module(MODULE_OF[name], chosen).get_function(name))

    def launch(self, kernel: str, blocks: Blocks, dtype: str, *args: Any) -> None:
        run = self._kernel(kernel, options(dtype, self.precision))  # compiled by NVRTC once, and kept by CuPy on disk
        run(blocks, (THREADS, 1, 1), tuple(map(_argument, args)))

    def free_memory(self) -> None:
        self.module.get_default_memory_pool().free_all_blocks()

    def new_graph(self) -> CudaGraph:
        return CudaGraph(self)

    def from_host(self, array: HostArray) -> Any:
        self.refuse(f"values of shape {np.shape(array)} were brought from the host")
        array = np.asarray(array)
        order = memory_order(array)  # CuPy alone would bring all but Fortran's into C's
        return self.module.array(array.transpose(order)).transpose(inverse(order))

    def to_host(self, array: Any) -> HostArray:
        self.refuse(f"the host read values of shape {array.shape}")
        return self.module.asnumpy(array)

    def concatenate(self, arrays: Any, axis: int = 0) -> Any:
        """As NumPy's; a graph would hold on to the addresses of many arrays, and launch with whatever is there by then."""
        while self.open_graph is not None and len(arrays) > MANY:
            groups = (arrays[i : i + MANY] for i in range(0, len(arrays), MANY))
            arrays = [self.module.concatenate(group, axis) for group in groups]
        return self.module.concatenate(arrays, axis)

    def stack(self, arrays: Any, axis: int = 0) -> Any:
        """As NumPy's."""
        return self.concatenate([self.expand_dims(a, axis) for a in arrays], axis)


def _argument(value: Any) -> Any:
    """A kernel's argument with the size that the kernel expects."""
    if value is None:
        return np.uintp(0)  # a null pointer
    kinds = {int: np.int32, Long: np.int64, float: np.float64}
    return kinds[type(value)](value) if type(value) in kinds else value


def load() -> CuPyBackend:
    """The backend; `BackendError` where CuPy, a library, the driver or the GPU does not serve, with what mends it."""
    return CuPyBackend(working_cupy())
