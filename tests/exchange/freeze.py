"""Writes what PyTorch computes into frozen.safetensors, for where PyTorch is not installed.

Run by hand, with PyTorch, when a specimen is added or `sentences.computed` asks for more::

    python tests/exchange/freeze.py

The same PyTorch on the same machine writes the same bytes. Weights are float16, which every wider dtype holds exactly;
what was computed from them is float64, of large arrays their `sentences.digest`.
"""

from pathlib import Path

import numpy as np
import torch
from peers import NETWORKS, randomise
from safetensors.numpy import save
from sentences import computed, digest
from specimens import SPECIMENS, noise
from torch import nn

FILE = Path(__file__).with_name("frozen.safetensors")

PEERS = {
    "Dense": nn.Linear(5, 4),
    "Conv2d": nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
    "ConvTranspose2d": nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), groups=2, dilation=(1, 2)),
    "BatchNorm": nn.BatchNorm2d(3, eps=1e-3, momentum=0.3),
    "LayerNorm": nn.LayerNorm((3, 2), eps=1e-3),
    "Embedding": nn.Embedding(5, 3),
    **{name: make(2) for name, (make, _) in NETWORKS.items()},
}
"""The specimens in PyTorch."""


def frozen(name, module, x):
    """All that the test needs of one module, under keys that start with its name."""
    randomise(module.double(), np.random.default_rng(len(name)), "float16")
    state = {key: t.numpy().copy() for key, t in module.state_dict().items()}
    yield from ((f"{name}/state/{key}", a.astype("float16") if a.dtype.kind == "f" else a) for key, a in state.items())

    x = torch.tensor(x, requires_grad=x.dtype.kind == "f")
    dy = torch.tensor(noise(module.eval()(x).shape, seed=1), requires_grad=True)
    results = dict(computed(torch.autograd.grad, module.train(), x, dy))
    results |= {f"after/{key}": t for key, t in module.named_buffers()}
    results["evaluated"] = module.eval()(x)
    yield from ((f"{name}/result/{key}", digest(t.numpy(force=True))) for key, t in results.items())


def main():
    torch.set_num_threads(1)  # sums in the same order every time
    arrays = {key: a for name, (_, x) in SPECIMENS.items() for key, a in frozen(name, PEERS[name], x)}
    written = save(arrays, metadata={"torch": torch.__version__})
    FILE.write_bytes(written)
    print(f"{FILE.name}: {len(written)} bytes, by PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
