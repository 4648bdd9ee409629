"""Modules compute what PyTorch computed when freeze.py wrote it down."""

from pathlib import Path

import pytest
from safetensors.numpy import load_file
from sentences import computed, digest, double
from specimens import SPECIMENS, noise
from support import assert_close

import minigan as mg

FROZEN = load_file(Path(__file__).with_name("frozen.safetensors"))


def under(prefix):
    """What the file holds under the prefix, without it."""
    return {key.removeprefix(prefix): a for key, a in FROZEN.items() if key.startswith(prefix)}


def test_the_file_holds_every_specimen():
    assert {key.partition("/")[0] for key in FROZEN} == set(SPECIMENS), "run tests/exchange/freeze.py, with PyTorch"


@pytest.mark.parametrize("name", SPECIMENS)
def test_frozen_values(name):
    """From the same weights: y, running statistics, gradients of orders 1 and 2, and y in evaluation."""
    make, x = SPECIMENS[name]
    module = double(make())
    module.load_state_dict(under(f"{name}/state/"))
    expected = under(f"{name}/result/")
    x = mg.tensor(x, requires_grad=x.dtype.kind == "f")
    dy = mg.tensor(noise(module.eval()(x).shape, seed=1), requires_grad=True)
    results = {key: t.numpy() for key, t in computed(mg.grad, module.train(), x, dy)}
    results |= {f"after/{key}": a for key, a in module.state_dict().items()}
    results["evaluated"] = module.eval()(x).numpy()
    for key, a in expected.items():
        # float64 in both; sums of some thousand terms through at most four batch norms, differentiated twice
        assert_close(digest(results[key]), a, 1e-10 if a.dtype.kind == "f" else 0)
