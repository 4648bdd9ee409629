"""Functions made of other ops; their gradients of any order come with those."""

from __future__ import annotations

from typing import Any

from minigan import backends
from minigan.autodiff import Tensor
from minigan.backends import random
from minigan.errors import DTypeError, ShapeError
from minigan.ops.loss import warn_of_probabilities
from minigan.ops.reduce import mean
from minigan.ops.shape import getitem
from minigan.ops.softmax import log_softmax


def cross_entropy(x: Any, target: Any) -> Tensor:
    """Mean of -log softmax(x) at each sample's class.

    Args:
        x: logits (N, C).
        target: classes (N,), integers from 0 to C - 1.

    Raises:
        ShapeError: other shapes, or a class out of range; what lies on a device is not looked at.
        DTypeError: classes that are not integers.

    >>> mg.ops.cross_entropy([[0.0, 0.0], [0.0, 100.0]], np.array([1, 1]))
    Tensor(0.34657..., float32)
    """
    logits = x if isinstance(x, Tensor) else Tensor(x, copy=False)
    if logits.ndim != 2:
        raise ShapeError(f"cross_entropy: logits must be (N, C), got {logits.shape}")
    labels = _numbers(target, logits.shape[1], "cross_entropy's target")
    if labels.shape != logits.shape[:1]:
        raise ShapeError(f"cross_entropy: logits (N, C) and classes (N,), got {logits.shape} and {labels.shape}")
    warn_of_probabilities("cross_entropy", x)
    rows = backends.get(logits.backend).arange(len(labels))
    return -mean(getitem(log_softmax(logits, axis=1), index=(rows, labels)))


def embedding(index: Any, weight: Any) -> Tensor:
    """Rows of weight (K, D) by number: index (...) of integers -> (..., D).

    Raises:
        DTypeError: an index that is not of integers.
        ShapeError: an index out of range; what lies on a device is not looked at.

    >>> mg.ops.embedding(np.array([2, 0]), [[1.0, 1.5], [2.0, 2.5], [3.0, 3.5]])
    Tensor([[3.  3.5]
            [1.  1.5]], float32, shape (2, 2))
    """
    return getitem(weight, index=(_numbers(index, len(weight), "embedding's index"),))


def dropout(x: Any, p: float = 0.5, training: bool = True, rng: random.Generator | int | None = None) -> Tensor:
    """Zero each value with probability p and divide the others by 1 - p (Srivastava et al. 2014); x itself in evaluation.

    The mask is drawn on the host and enters as an input, so that every derivative is of the same draw.

    Raises:
        ValueError: p outside [0, 1).

    >>> mg.ops.dropout([1.0, 1.0, 1.0, 1.0], p=0.5, rng=0)
    Tensor([2. 0. 0. 0.], float32, shape (4,))
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must be in [0, 1), got {p}")
    x = x if isinstance(x, Tensor) else Tensor(x, copy=False)
    if not training or p == 0:
        return x
    kept = (random.uniform(0, 1, x.shape, "float64", rng) >= p) / (1 - p)
    return x * backends.get(x.backend).from_host(kept.astype(str(x.dtype)))


def _numbers(values: Any, count: int, what: str) -> Any:
    """Integers from 0 to count - 1 as an array that no later change of a Tensor reaches, left where it is."""
    values = values.data if isinstance(values, Tensor) else values
    home = backends.of(values) or backends.get("numpy")
    array = home.array(values)
    if array.dtype.kind not in "iu":
        raise DTypeError(f"{what} must be integers, got {array.dtype}")
    if not home.on_device and array.size and not 0 <= array.min() <= array.max() < count:
        raise ShapeError(f"{what} must be from 0 to {count - 1}, got {array.min()} to {array.max()}")
    return array
