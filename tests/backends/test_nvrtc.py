"""Every CUDA kernel compiles, as CuPy will compile it, for each architecture that is served; without a GPU."""

import pytest
from nvrtc_support import compiled, kernels

from minigan.backends.cuda.source import ARCHITECTURES, DTYPES, MODULES, PRECISIONS, code, options

pytestmark = pytest.mark.host

VARIANTS = sorted({options(dtype, precision) for dtype in DTYPES for precision in PRECISIONS})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("variant", VARIANTS, ids=" ".join)
@pytest.mark.parametrize("module", MODULES)
def test_a_module_compiles_without_a_warning_and_has_its_kernels(module, variant, architecture):
    cubin, log = compiled(code(module), architecture, variant)
    assert log == ""
    assert kernels(cubin) == set(MODULES[module])


def test_a_variant_is_what_its_options_say():
    source = "KERNEL probe(int* x) { *x = sizeof(REAL); \n#ifdef TF32\n *x += 1;\n#endif\n}"
    cubins = {compiled(code("elementwise") + source, ARCHITECTURES[0], variant)[0] for variant in VARIANTS}
    assert len(cubins) == len(VARIANTS) > 1


BROKEN = {
    "a typo": ("*x = undeclared;", 'error: identifier "undeclared" is undefined'),
    "more than a block may share": (
        "__shared__ REAL y[1 << 15]; y[threadIdx.x] = *x; *x = y[0];",
        "too much shared data",
    ),
}


@pytest.mark.parametrize(("body", "complaint"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_does_not_compile(body, complaint):
    cubin, log = compiled(f"{code('elementwise')}\nKERNEL broken(REAL* x) {{ {body} }}", ARCHITECTURES[0], VARIANTS[0])
    assert cubin == b""
    assert complaint in log


def test_a_warning_is_seen_with_its_line():
    cubin, log = compiled('\n\nextern "C" __global__ void f() { int unused; }', ARCHITECTURES[0])
    assert kernels(cubin) == {"f"}
    assert "kernels.cu(3): warning" in log


def test_a_kernel_that_cannot_be_found_by_its_name_is_seen():
    cubin, log = compiled("__global__ void f() {}", ARCHITECTURES[0])
    assert (kernels(cubin), log) == ({"_Z1fv"}, "")
