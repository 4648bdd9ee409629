"""minigan's step beside PyTorch's on the same machine: ``minigan bench``.

One process a side, all alive at once and only one of them working at a time; `compare` says how it is measured. What runs
inside a worker is `worker` with `minigan_side`, `torch_side` or `floor_side`.
"""
