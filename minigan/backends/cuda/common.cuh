// What all kernels share. REAL, float or double, is defined where a source is compiled.
//
// Arrays are in C order; images lie as (N, H, W, C), so that neighbouring threads read neighbouring channels. Nothing is
// added up with atomics: two runs are equal bit by bit.

#define KERNEL extern "C" __global__ void __launch_bounds__(256)
#define THREADS 256

typedef long long Index;

// The elements that this thread works on, of n in all.
#define FOR_EACH(i, n) \
  for (Index i = blockIdx.x * (Index)blockDim.x + threadIdx.x; i < (n); i += (Index)gridDim.x * blockDim.x)

__device__ inline REAL larger(REAL a, REAL b) { return a > b || a != a ? a : b; }  // a number that is none stays
__device__ inline int smaller(int a, int b) { return a < b ? a : b; }
