"""Pooling and its opposite, nearest-neighbour upsampling.

Max pooling finds where the largest values are, and gathers them. `pool_gather` is linear, `pool_scatter` is its transpose,
and each is the other's rule, so that derivatives of any order come from the two. Average pooling is a convolution.
"""

from __future__ import annotations

from typing import Any

from minigan import backends
from minigan.autodiff import Tensor, op
from minigan.errors import ShapeError
from minigan.ops.conv import conv2d, pair, small_side
from minigan.ops.shape import broadcast_to, reshape


@op(outputs=("index",))
def pool_argmax(xp, x, *, kernel_size, stride, padding):
    """Which pixel of its plane each window's largest value is, the first of equal ones: (N, C, H, W) -> integers (N, C, P, Q).

    Pixels are counted row by row; padding is never chosen.

    >>> x = [[[[1.0, 2.0], [3.0, 0.0]]]]
    >>> mg.ops.pool_argmax(x, kernel_size=(2, 2), stride=(2, 2), padding=(0, 0)).item()
    2
    """
    n, c, h, w = x.shape
    (kh, kw), (ph, pw) = kernel_size, padding
    p, q = small_side((h, w), kernel_size, stride, padding, (1, 1))
    lowest = -xp.inf if x.dtype.kind == "f" else xp.iinfo(x.dtype).min
    edges = ((0, 0), (0, 0), (ph, ph), (pw, pw))
    windows = xp.patches(xp.pad(x, edges, constant_values=lowest), kernel_size, (p, q), stride, (0, 0), (1, 1))
    tap = xp.argmax(windows.reshape(n, p, q, kh * kw, c), axis=3).transpose(0, 3, 1, 2)
    row = xp.clip(xp.arange(p).reshape(p, 1) * stride[0] - ph + tap // kw, 0, h - 1)  # where all is -inf, padding ties
    column = xp.clip(xp.arange(q) * stride[1] - pw + tap % kw, 0, w - 1)
    return row * w + column


@op
def pool_gather(xp, x, index):
    """The pixels of each plane at `index`: x (N, C, H, W), index (N, C, P, Q) -> (N, C, P, Q).

    >>> mg.ops.pool_gather([[[[1.0, 2.0], [3.0, 0.0]]]], np.array([[[[2]]]])).item()
    3.0
    """
    n, c, p, q = index.shape
    planes = x.reshape(n, c, x.shape[2] * x.shape[3])
    return xp.take_along_axis(planes, index.reshape(n, c, p * q), axis=2).reshape(n, c, p, q)


@pool_gather.gradient(
    "x", formula=r"\partial L/\partial x = \operatorname{pool\_scatter}(\partial L/\partial y, \mathit{index})"
)
def _(F, dy, x_shape, index):
    return F.pool_scatter(dy, index, size=x_shape[2:])


@op
def pool_scatter(xp, g, index, *, size):
    """The transpose of `pool_gather`: g (N, C, P, Q) added to zeros (N, C, *size) at `index`.

    >>> mg.ops.pool_scatter([[[[5.0]]]], np.array([[[[2]]]]), size=(2, 2)).numpy().tolist()
    [[[[0.0, 0.0], [5.0, 0.0]]]]
    """
    n, c, p, q = g.shape
    places = index.reshape(n * c, p * q) + xp.arange(n * c).reshape(n * c, 1) * (size[0] * size[1])
    flat = xp.scatter_add(g.reshape(-1), places.reshape(-1), (n * c * size[0] * size[1],))
    return flat.reshape(n, c, *size)


@pool_scatter.gradient(
    "g", formula=r"\partial L/\partial g = \operatorname{pool\_gather}(\partial L/\partial y, \mathit{index})"
)
def _(F, dy, index):
    return F.pool_gather(dy, index)


def max_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The largest value of each window; the gradient goes to the first pixel that holds it.

    Args:
        x: (N, C, H, W).
        kernel_size: an integer or a pair.
        stride: as kernel_size when left out.
        padding: an integer or a pair, at most half the kernel; it is never chosen.

    Returns:
        (N, C, P, Q) with P = floor((H + 2 padding - kernel_size)/stride) + 1.

    Raises:
        ShapeError: another rank, an empty output, or padding above half the kernel.

    >>> mg.ops.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2).numpy().tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    x, kernel, stride, padding = _checked("max_pool2d", x, kernel_size, stride, padding)
    return pool_gather(x, pool_argmax(x, kernel_size=kernel, stride=stride, padding=padding))


def avg_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The mean of each window, as a convolution of each channel by itself; padding counts as zeros.

    Args:
        x: (N, C, H, W).
        kernel_size: an integer or a pair.
        stride: as kernel_size when left out.
        padding: an integer or a pair, at most half the kernel.

    Returns:
        (N, C, P, Q) with P = floor((H + 2 padding - kernel_size)/stride) + 1.

    Raises:
        ShapeError: another rank, an empty output, or padding above half the kernel.

    >>> mg.ops.avg_pool2d([[[[1.0, 2.0], [3.0, 6.0]]]], 2).item()
    3.0
    """
    x, kernel, stride, padding = _checked("avg_pool2d", x, kernel_size, stride, padding)
    dtype = x.dtype if x.dtype.kind == "f" else "float32"
    weight = backends.get(x.backend).full((x.shape[1], 1, *kernel), 1 / (kernel[0] * kernel[1]), dtype)
    return conv2d(x, weight, stride=stride, padding=padding, groups=x.shape[1])


def upsample_nearest2d(x: Any, scale_factor: int = 2) -> Tensor:
    """Each pixel as a square of scale_factor^2 pixels: (N, C, H, W) -> (N, C, sH, sW).

    Raises:
        ShapeError: x of another rank, or a factor below 1.

    >>> mg.ops.upsample_nearest2d(mg.tensor([[[[1.0, 2.0]]]])).numpy()[0, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.]], dtype=float32)
    """
    x = x if isinstance(x, Tensor) else Tensor(x, copy=False)
    if x.ndim != 4 or scale_factor < 1:
        raise ShapeError(
            f"upsample_nearest2d: x must be (N, C, H, W) and scale_factor at least 1, got {x.shape} and {scale_factor}"
        )
    n, c, h, w = x.shape
    columns = reshape(x, shape=(n, c, h, 1, w, 1))
    squares = broadcast_to(columns, shape=(n, c, h, scale_factor, w, scale_factor))
    return reshape(squares, shape=(n, c, h * scale_factor, w * scale_factor))


def _checked(name: str, x: Any, kernel_size: Any, stride: Any, padding: Any) -> tuple[Tensor, Any, Any, Any]:
    """x as a Tensor, and the settings as pairs."""
    x = x if isinstance(x, Tensor) else Tensor(x, copy=False)
    if x.ndim != 4:
        raise ShapeError(f"{name}: x must be (N, C, H, W), got shape {x.shape}")
    kernel, edges = pair("kernel_size", kernel_size, 1), pair("padding", padding, 0)
    if any(2 * p > k for k, p in zip(kernel, edges, strict=True)):
        raise ShapeError(f"{name}: padding must be at most half of kernel_size {kernel}, got {edges}")
    return x, kernel, kernel if stride is None else pair("stride", stride, 1), edges
