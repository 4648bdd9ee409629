"""The hot kernels in CUDA: sources (`*.cu`) and the methods that launch them. Nothing here needs a GPU, or CuPy, to be imported."""
