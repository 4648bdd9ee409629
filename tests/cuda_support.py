"""The CUDA kernels on the CPU: the same sources, compiled by a C++ compiler, each thread of a block a fibre of its own."""

import ctypes
import itertools
import mmap
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.lib.array_utils import byte_bounds

from minigan.backends.cuda.kernels import CudaKernels
from minigan.backends.cuda.launching import MODULE_OF, Long
from minigan.backends.cuda.rules import FAST_RULES
from minigan.backends.cuda.source import code, options
from minigan.backends.device import DeviceBackend
from minigan.testing import STRICT
from minigan.testing.strict import StrictBackend

# two libraries must not share what is static in a template, and FORTIFY would take a change of fibres for an attack
FLAGS = ["-O2", "-shared", "-fPIC", "-ffp-contract=off", "-fno-gnu-unique", "-fvisibility=hidden", "-U_FORTIFY_SOURCE"]
LIBC, PAGE = ctypes.CDLL(None), mmap.PAGESIZE
AT_THE_END = itertools.cycle([1, 0])
HOST = Path(__file__).with_name("cuda_host.h")
COMPILER = shutil.which("g++") if sys.platform.startswith("linux") else None


def parameters(kernel, source):
    """A kernel's parameters as written: "const REAL* x" and so on."""
    text = re.search(rf"KERNEL {kernel}\((.*?)\) {{", source, re.DOTALL)[1]
    fields = ["size", "count", "stride", "start", "taps", "delta"]
    text = re.sub(r"AXIS\((\w)\)", lambda m: ", ".join(f"int {m[1]}_{field}" for field in fields), text)
    return [" ".join(p.split()) for p in text.split(",")]


def entry(kernel, source):
    """C++ that runs a kernel block by block."""
    taken = ", ".join(["unsigned bx", "unsigned by", "unsigned bz", *parameters(kernel, source)])
    names = ", ".join(p.split()[-1].lstrip("*") for p in parameters(kernel, source))
    function = f"bool run_{kernel}({taken}) {{ return run(bx, by, bz, [&] {{ {kernel}({names}); }}); }}"
    return f'extern "C" __attribute__((visibility("default"))) {function}'


@cache
def library(module, dtype, precision):
    """A module, compiled for the CPU; the result is kept in the system's folder for temporary files."""
    source, flags = code(module), options(dtype, precision)
    kernels = [k for k, m in MODULE_OF.items() if m == module]
    text = f'#include "{HOST}"\n{source}\n' + "\n".join(entry(k, source) for k in kernels)
    name = sha256("".join((text, HOST.read_text(), *flags)).encode()).hexdigest()[:24]
    path = Path(tempfile.gettempdir()) / f"minigan-cuda-{os.getuid()}-{name}.so"
    if not path.exists():
        flags = [f.replace("--std", "-std") for f in flags]
        building = path.with_suffix(f".{os.getpid()}.so")
        subprocess.run([COMPILER, *flags, *FLAGS, "-x", "c++", "-", "-o", building], input=text, text=True, check=True)
        building.rename(path)
    return ctypes.CDLL(str(path))


def simulate(kernel, blocks, dtype, precision, *args):
    """Run a kernel on NumPy arrays, which it reads and writes where they lie."""
    assert all(type(b) is int and 0 < b <= most for b, most in zip(blocks, (2**31 - 1, 65535, 65535), strict=True)), (
        blocks
    )
    source = code(MODULE_OF[kernel])
    fenced = [Fenced(getattr(a, "_array", a)) if hasattr(a, "dtype") else a for a in args]
    given = [value(p, a, dtype) for p, a in zip(parameters(kernel, source), fenced, strict=True)]
    function = getattr(library(MODULE_OF[kernel], dtype, precision), f"run_{kernel}")
    function.restype = ctypes.c_bool
    assert function(*map(ctypes.c_uint, blocks), *given), f"{kernel}: threads wait for others that have ended"
    for parameter, array in zip(parameters(kernel, source), fenced, strict=True):
        if isinstance(array, Fenced):
            array.end(written="const" not in parameter)


class Fenced:
    """An array's memory between pages that nobody may touch: what a kernel reads or writes beside it ends the process."""

    def __init__(self, array):
        self.array = np.asarray(array)
        first, last = byte_bounds(self.array)
        pages = -(-(last - first) // PAGE)
        self.mapped = mmap.mmap(-1, (pages + 2) * PAGE)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.mapped))
        for page in (0, pages + 1):
            assert LIBC.mprotect(ctypes.c_void_p(base + page * PAGE), PAGE, 0) == 0
        # at the end of the pages, or at their beginning, to the alignment of a GPU's vectors
        shift = next(AT_THE_END) * (pages * PAGE - (last - first)) // 16 * 16 if last - first < pages * PAGE else 0
        self.span, self.start = (first, last), base + PAGE + shift
        ctypes.memmove(self.start, first, last - first)
        self.pointer = self.start + self.array.ctypes.data - first

    def end(self, written):
        first, last = self.span
        if written:
            ctypes.memmove(first, self.start, last - first)
        else:
            assert ctypes.string_at(first, last - first) == ctypes.string_at(self.start, last - first), (
                "an input changed"
            )


def value(parameter, given, dtype):
    """An argument as its kernel takes it; what does not fit is an error here, and would be silently misread on a GPU."""
    kind = parameter.rsplit(" ", 1)[0]
    if kind.endswith("*"):
        if given is None:
            return ctypes.c_void_p(None)
        holds = {"REAL": dtype, "double": "float64", "Index": "int64"}[kind.removeprefix("const ").rstrip("*")]
        assert given.array.dtype == holds, f"{parameter} of {dtype} got {given.array.dtype}"
        return ctypes.c_void_p(given.pointer)
    expected, made = {
        "int": (int, ctypes.c_int),
        "Index": (Long, ctypes.c_longlong),
        "double": (float, ctypes.c_double),
    }[kind]
    assert type(given) is expected, f"{parameter} got {given!r}, a {type(given).__name__}"
    return made(given)


class SimulatedStrict(CudaKernels, StrictBackend):
    """The kernels of a GPU on the strict backend's arrays."""

    def launch(self, kernel, blocks, dtype, *args):
        self.perform(partial(simulate, kernel, blocks, dtype, self.precision, *args))


@contextmanager
def simulated_on_strict(kind=SimulatedStrict):
    """A block in which the strict backend has the kernels of a GPU."""
    for name in [name for name in vars(STRICT) if callable(getattr(CudaKernels, name, None))]:
        delattr(STRICT, name)  # the array module's own, remembered
    STRICT.__class__ = kind
    STRICT.fast_rules.update(FAST_RULES)
    try:
        yield STRICT
    finally:
        STRICT.__class__ = StrictBackend
        STRICT.fast_rules.clear()


class SimulatedBackend(CudaKernels, DeviceBackend):
    """The kernels of a GPU on NumPy arrays."""

    def __init__(self):
        super().__init__("simulated", np, np.ndarray)
        self.fast_rules.update(FAST_RULES)

    def launch(self, kernel, blocks, dtype, *args):
        simulate(kernel, blocks, dtype, self.precision, *args)

    def from_host(self, array):
        return np.array(array)

    def to_host(self, array):
        return array
