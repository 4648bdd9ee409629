"""Functions made of other ops; their gradients of any order come with those."""

from __future__ import annotations

from typing import Any

from minigan import backends
from minigan.autodiff import Tensor
from minigan.backends import random
from minigan.errors import DTypeError, ShapeError
from minigan.ops.conv import conv2d
from minigan.ops.reduce import mean
from minigan.ops.shape import broadcast_to, getitem, reshape
from minigan.ops.softmax import log_softmax


def cross_entropy(x: Any, target: Any) -> Tensor:
    """Mean of -log softmax(x) at each sample's class.

    Args:
        x: logits (N, C).
        target: classes (N,), integers from 0 to C - 1.

    Raises:
        ShapeError: other shapes, or a class out of range.
        DTypeError: classes that are not integers.

    >>> import minigan as mg, numpy as np
    >>> print(mg.ops.cross_entropy([[0.0, 0.0]], np.array([1])).item() == np.log(np.float32(2)))
    True
    """
    labels = _integers(target, "cross_entropy's target")
    if len(x) != len(labels) or labels.ndim != 1:
        raise ShapeError(f"cross_entropy: logits (N, C) and classes (N,), got {len(x)} and {labels.shape}")
    log_p = log_softmax(x, axis=1)
    classes = log_p.shape[1]
    if labels.size and (int(labels.min()) < 0 or int(labels.max()) >= classes):
        raise ShapeError(
            f"cross_entropy: classes must be from 0 to {classes - 1}, got {int(labels.min())} to {int(labels.max())}"
        )
    rows = backends.by_type[type(log_p.data)].arange(len(labels))
    return -mean(getitem(log_p, index=(rows, labels)))


def embedding(index: Any, weight: Any) -> Tensor:
    """Rows of weight (K, D) by number: index (...) of integers -> (..., D)."""
    return getitem(weight, index=(_integers(index, "embedding's index"),))


def dropout(x: Any, p: float = 0.5, training: bool = True, rng: random.Generator | int | None = None) -> Tensor:
    """Zero each value with probability p and divide the others by 1 - p (Srivastava et al. 2014); x itself in evaluation.

    The mask is drawn on the host and enters as an input, so that every derivative is of the same draw.

    Raises:
        ValueError: p outside [0, 1).
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must be in [0, 1), got {p}")
    x = x if isinstance(x, Tensor) else Tensor(x, copy=False)
    if not training or p == 0:
        return x
    kept = (random.uniform(0, 1, x.shape, "float64", rng) >= p) / (1 - p)
    return x * backends.get(x.backend).from_host(kept.astype(str(x.dtype)))


def upsample_nearest2d(x: Any, scale_factor: int = 2) -> Tensor:
    """Each pixel as a square of scale_factor^2 pixels: (N, C, H, W) -> (N, C, sH, sW)."""
    if x.ndim != 4 or scale_factor < 1:
        raise ShapeError(
            f"upsample_nearest2d: x must be (N, C, H, W) and scale_factor at least 1, got {x.shape} and {scale_factor}"
        )
    n, c, h, w = x.shape
    columns = reshape(x, shape=(n, c, h, 1, w, 1))
    squares = broadcast_to(columns, shape=(n, c, h, scale_factor, w, scale_factor))
    return reshape(squares, shape=(n, c, h * scale_factor, w * scale_factor))


def avg_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The mean over windows, as a convolution of each channel by itself; padding counts as zeros.

    Args:
        x: (N, C, H, W).
        kernel_size: an integer or a pair.
        stride: as kernel_size when left out.
        padding: an integer or a pair.
    """
    kh, kw = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    x = x if isinstance(x, Tensor) else Tensor(x, copy=False)
    weight = backends.get(x.backend).full((x.shape[1], 1, kh, kw), 1 / (kh * kw), x.dtype)
    return conv2d(x, weight, stride=(kh, kw) if stride is None else stride, padding=padding, groups=x.shape[1])


def _integers(values: Any, what: str) -> Any:
    """Integers as an array that no later change of a Tensor reaches."""
    array = values.data.copy() if isinstance(values, Tensor) else values
    if not hasattr(array, "dtype") or array.dtype.kind not in "iu":
        raise DTypeError(f"{what} must be an array of integers, got {getattr(array, 'dtype', type(array).__name__)}")
    return array
