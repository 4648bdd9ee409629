"""What modules are asked, in the same words for both libraries, and how much of the answer is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigan as mg


def double(module: mg.nn.Module) -> mg.nn.Module:
    """The same module with new parameters and buffers, of float64 where they were of floats."""
    for part in module.modules():
        for name, t in [*vars(part).items()]:
            if isinstance(t, (mg.nn.Parameter, mg.nn.Buffer)) and t.dtype.kind == "f":
                setattr(part, name, type(t)(t.numpy().astype("float64"), name=t.name))
    return module


def computed(grad: Callable[..., Any], module: Any, x: Any, dy: Any) -> Iterator[tuple[str, Any]]:
    """y; the gradients of <y, dy>; and those of the sum of these gradients' squares, a penalty as WGAN-GP has it.

    Args:
        grad: `minigan.grad` or `torch.autograd.grad`.
        module: of the same library, as are the tensors.
        x: the module's input, a tensor of floats that requires a gradient, or integers, which have none.
        dy: the gradient that arrives, of y's shape, which requires a gradient itself.
    """
    leaves = ({"x": x} if getattr(x, "requires_grad", False) else {}) | dict(module.named_parameters())
    y = module(x)
    yield "y", y
    first = grad(y, [*leaves.values()], dy, create_graph=True)
    yield from zip((f"first/{name}" for name in leaves), first, strict=True)
    leaves["dy"] = dy
    second = grad(sum((g * g).sum() for g in first), [*leaves.values()], allow_unused=True)
    yield from ((f"second/{name}", g) for name, g in zip(leaves, second, strict=True) if g is not None)


def digest(a: np.ndarray) -> np.ndarray:
    """The array itself if it is small, or its flat values dealt out in turn to 61 sums, with weights that all differ.

    A wrong value, or two that changed places, changes a sum. The memory is in C order, the only one safetensors knows.
    """
    if a.size <= 61:
        return np.array(a, order="C")
    weights = 1 + np.arange(a.size) / a.size
    return np.bincount(np.arange(a.size) % 61, a.ravel() * weights)
