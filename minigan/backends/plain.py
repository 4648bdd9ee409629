"""The hot kernels in their plain form: the reference that every faster version is held to.

Logical layout is NCHW. In memory, what these kernels make is NHWC behind an NCHW view: a patch is
then a few long runs, and NumPy's element-wise functions keep the layout by themselves.
``docs/decisions/0001-memory-layout.md`` has the figures.

Letters: N batch, C channels in, O channels out, H W height and width of the large side, P Q of the
small side (a convolution's output), K kernel positions, G groups.
"""

from __future__ import annotations

from typing import Any

Array = Any
Pair = tuple[int, int]


def _rows(array: Array, groups: int) -> Array:
    """(N, C, H, W) -> (NHW, C), or (G, NHW, C/G) with groups."""
    n, c, h, w = array.shape
    flat = array.transpose(0, 2, 3, 1).reshape(n * h * w, c)
    return flat if groups == 1 else flat.reshape(n * h * w, groups, c // groups).transpose(1, 0, 2)


def _images(rows: Array, n: int, h: int, w: int) -> Array:
    """(NHW, C) or (G, NHW, C/G) -> (N, C, H, W), a view where memory allows."""
    channels = rows.shape[-1]
    if rows.ndim == 3:
        channels *= len(rows)
        rows = rows.transpose(1, 0, 2)
    return rows.reshape(n, h, w, channels).transpose(0, 3, 1, 2)


def _weight_matrix(weight: Array, groups: int) -> Array:
    """(O, C/G, kH, kW) -> (K C/G, O), or (G, K C/G, O/G): row order as in a patch."""
    o, c, kh, kw = weight.shape
    if groups == 1:
        return weight.transpose(2, 3, 1, 0).reshape(kh * kw * c, o)
    return (
        weight.reshape(groups, o // groups, c, kh, kw)
        .transpose(0, 3, 4, 2, 1)
        .reshape(groups, kh * kw * c, o // groups)
    )


def taps(tap: int, stride: int, padding: int, small: int, large: int) -> tuple[slice, slice]:
    """Along one axis: which outputs a kernel tap (already dilated) touches, and where on the large side."""
    offset = tap - padding
    first = max(0, -(offset // stride))  # smallest i with i * stride + offset >= 0
    last = min(small - 1, (large - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + offset
    return slice(first, last + 1), slice(start, start + (last - first) * stride + 1, stride)


class PlainKernels:
    """Methods of every backend; ``self`` is ``xp``: the array module's functions stand beside them."""

    zeros: Any
    empty: Any
    matmul: Any
    ascontiguousarray: Any
    lib: Any
    mean: Any
    sqrt: Any
    multiply: Any
    maximum: Any
    minimum: Any
    add: Any
    sum: Any
    abs: Any
    exp: Any
    log1p: Any

    # -- patches and fold: a linear map and its transpose ------------------------------------------

    def patches(self, x: Array, kernel: Pair, small: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
        """Every window that a convolution looks at, copied side by side: (N, C, H, W) -> (N, P, Q, kH, kW, C)."""
        n, c, h, w = x.shape
        (ph, pw), nhwc = padding, x.transpose(0, 2, 3, 1)
        if ph or pw:
            padded = self.zeros((n, h + 2 * ph, w + 2 * pw, c), x.dtype)
            padded[:, ph : ph + h, pw : pw + w] = nhwc
            nhwc = padded
        sn, sh, sw, sc = nhwc.strides
        windows = self.lib.stride_tricks.as_strided(
            nhwc,
            (n, *small, *kernel, c),
            (sn, sh * stride[0], sw * stride[1], sh * dilation[0], sw * dilation[1], sc),
        )
        return self.ascontiguousarray(windows)

    def fold(self, patches: Array, large: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
        """The transpose of `patches`: each window is added back where it came from. (N, P, Q, kH, kW, C) -> (N, C, H, W)."""
        n, p, q, kh, kw, c = patches.shape
        image = self.zeros((n, *large, c), patches.dtype)
        for i in range(kh):
            small_h, large_h = taps(i * dilation[0], stride[0], padding[0], p, large[0])
            for j in range(kw):
                small_w, large_w = taps(j * dilation[1], stride[1], padding[1], q, large[1])
                part = image[:, large_h, large_w]
                part += patches[:, small_h, small_w, i, j]
        return image.transpose(0, 3, 1, 2)

    # -- the convolution family: forward, and its two transposes ---------------------------------------

    def conv2d(
        self,
        x: Array,
        weight: Array,
        bias: Array | None,
        small: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> Array:
        """Cross-correlation of x (N, C, H, W) with weight (O, C/G, kH, kW): (N, O, P, Q)."""
        columns = self._columns(x, weight.shape[2:], small, stride, padding, dilation, groups)
        rows = self.matmul(columns, _weight_matrix(weight, groups))
        y = _images(rows, x.shape[0], *small)
        if bias is not None:
            y += bias[:, None, None]
        return y

    def conv2d_input_grad(
        self, dy: Array, weight: Array, large: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
    ) -> Array:
        """The transpose of `conv2d` in x: dy (N, O, P, Q) and weight (O, C/G, kH, kW) -> (N, C, H, W)."""
        n, _, p, q = dy.shape
        _, c, kh, kw = weight.shape
        rows = self.matmul(_rows(dy, groups), _weight_matrix(weight, groups).swapaxes(-1, -2))  # ([G,] NPQ, K C/G)
        if groups > 1:
            rows = rows.reshape(groups, n * p * q, kh * kw, c).transpose(1, 2, 0, 3)  # (NPQ, K, G, C/G)
        return self.fold(rows.reshape(n, p, q, kh, kw, groups * c), large, stride, padding, dilation)

    def conv2d_weight_grad(
        self, x: Array, dy: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
    ) -> Array:
        """The transpose of `conv2d` in the weight: x (N, C, H, W), dy (N, O, P, Q) -> (O, C/G, kH, kW)."""
        columns = self._columns(x, kernel, dy.shape[2:], stride, padding, dilation, groups)
        grad = self.matmul(_rows(dy, groups).swapaxes(-1, -2), columns)  # ([G,] O/G, K C/G)
        return grad.reshape(dy.shape[1], *kernel, x.shape[1] // groups).transpose(0, 3, 1, 2)

    def _columns(
        self, x: Array, kernel: Pair, small: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
    ) -> Array:
        """Patches as a matrix: (NPQ, K C), or (G, NPQ, K C/G)."""
        n, c = x.shape[:2]
        windows = self.patches(x, kernel, small, stride, padding, dilation)
        positions, taps = n * small[0] * small[1], kernel[0] * kernel[1]
        if groups == 1:
            return windows.reshape(positions, taps * c)
        windows = windows.reshape(positions, taps, groups, c // groups).transpose(2, 0, 1, 3)
        return windows.reshape(groups, positions, taps * (c // groups))

    # -- dense layers ---------------------------------------------------------------------------------

    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """x (..., in) times weight (out, in), transposed, plus bias (out,)."""
        y = self.matmul(x, weight.T)
        return y if bias is None else y + bias

    # -- scatter --------------------------------------------------------------------------------------

    def scatter_add(self, x: Array, index: Any, shape: tuple[int, ...]) -> Array:
        """Zeros of `shape` with x added at `index`, repeated places included."""
        y = self.zeros(shape, x.dtype)
        self.add.at(y, index, x)
        return y

    # -- batch norm -------------------------------------------------------------------------------

    def batch_norm(self, x: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Array, Array]:
        """Normalise x (N, C) or (N, C, H, W) by its batch's own mean and biased variance: y, mean (C,), inv_std (C,)."""
        axes, shape = channel_axes(x.ndim)
        mean = self.mean(x, axis=axes)
        centred = x - mean.reshape(shape)
        inv_std = 1.0 / self.sqrt(self.mean(centred * centred, axis=axes) + eps)
        y = centred * (inv_std if weight is None else inv_std * weight).reshape(shape)
        return (y if bias is None else y + bias.reshape(shape)), mean, inv_std

    def running_statistics(
        self,
        running_mean: Array | None,
        running_var: Array | None,
        mean: Array,
        inv_std: Array,
        count: int,
        momentum: float,
        eps: float,
    ) -> tuple[Array | None, Array | None]:
        """What running statistics become that move by `momentum` towards the mean and the unbiased variance of `count` values."""
        var = (inv_std**-2 - eps).clip(0, None) * (count / (count - 1))  # rounding can leave a constant channel below 0
        pairs = (running_mean, mean), (running_var, var)
        new_mean, new_var = (None if r is None else (1 - momentum) * r + momentum * new for r, new in pairs)
        return new_mean, new_var

    # -- activations --------------------------------------------------------------------------------------

    def relu(self, x: Array) -> Array:
        """max(x, 0)."""
        return self.maximum(x, 0)

    def leaky_relu(self, x: Array, negative_slope: float) -> Array:
        """x where it is positive, else negative_slope * x."""
        scaled = negative_slope * x
        return self.maximum(x, scaled) if negative_slope <= 1 else self.minimum(x, scaled)

    # -- losses -------------------------------------------------------------------------------------------

    def bce_with_logits(self, x: Array, target: Any) -> Array:
        """The mean of max(x, 0) - target * x + log(1 + exp(-|x|))."""
        return self.mean((self.maximum(x, 0) - target * x) + self.log1p(self.exp(-self.abs(x))))

    # -- Adam -----------------------------------------------------------------------------------------

    def adam(
        self,
        value: Array,
        grad: Array,
        m: Array,
        v: Array,
        lr: Any,
        betas: tuple[float, float],
        eps: float,
        step: Any,
    ) -> None:
        """One step of Kingma and Ba's algorithm 1 on flat arrays, in place in `value`, `m` and `v`.

        `lr` and `step`, which counts from 1, are numbers; on a device arrays of one, `lr` in the dtype of `value` and `step`
        in float64.
        """
        beta1, beta2 = betas
        m *= beta1
        m += (1.0 - beta1) * grad
        v *= beta2
        v += (1.0 - beta2) * (grad * grad)
        root = self.sqrt(v)
        root *= (1.0 - beta2**step) ** -0.5  # in place, as an array of one in float64 would decide the dtype
        root += eps
        change = m / root
        change *= lr / (1.0 - beta1**step)
        value -= change


def channel_axes(ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Batch norm's axes to reduce over, and the shape that puts (C,) beside x: 2-D and 4-D alike."""
    return ((0,), (1, -1)) if ndim == 2 else ((0, 2, 3), (1, -1, 1, 1))
