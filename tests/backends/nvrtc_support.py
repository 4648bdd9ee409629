"""NVIDIA's run-time compiler from its wheel: CUDA to a cubin, which needs neither a GPU nor a driver."""

import ctypes
import re
from functools import cache
from importlib import metadata

import pytest

PACKAGE = "nvidia-cuda-nvrtc-cu12"
CUPYS = ("-ftz=true", "--device-as-default-execution-space")  # what a cupy.RawModule adds to the options it is given


@cache
def library():
    """NVRTC; a test is skipped where the wheel is not installed."""
    try:
        files = metadata.files(PACKAGE)
    except metadata.PackageNotFoundError:
        pytest.skip(f"needs the package {PACKAGE}")
    return ctypes.CDLL(str(next(f.locate() for f in files if re.fullmatch(r"libnvrtc\.so\.\d+", f.name))))


def compiled(source, architecture, options=()):
    """A source as CuPy compiles it for sm_75, sm_80, ...: the cubin, empty where it fails, and the compiler's log."""
    nvrtc, program = library(), ctypes.c_void_p()
    flags = [flag.encode() for flag in (*options, *CUPYS, f"-arch=sm_{architecture}")]
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    try:
        failed = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
        log = read(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
        cubin = b"" if failed else read(program, nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin, log.rstrip(b"\0").decode().strip()


def read(program, get_size, get):
    """The bytes of a program's log or cubin."""
    size = ctypes.c_size_t()
    assert get_size(program, ctypes.byref(size)) == 0
    found = ctypes.create_string_buffer(size.value)
    assert get(program, found) == 0
    return found.raw


def kernels(cubin):
    """The names of a cubin's kernels: each has its code in a section of its own."""
    return {name.decode() for name in re.findall(rb"\0\.text\.(\w+)(?=\0)", cubin)}
