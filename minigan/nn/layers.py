"""Layers: parameters, their initialisation, and the op they call. Arguments and defaults are PyTorch's."""

from __future__ import annotations

import math
from typing import Any

from minigan import backends, ops
from minigan.autodiff import Tensor
from minigan.backends import random
from minigan.nn import init
from minigan.nn.module import Module, Parameter
from minigan.ops.conv import pair

Pair = int | tuple[int, int]


def _new_parameters(
    shape: tuple[int, ...], outputs: int, bias: bool, rng: init.Rng
) -> tuple[Parameter, Parameter | None]:
    """Weight and bias from U(-b, b), b = 1/sqrt(fan in), as PyTorch's layers start."""
    generator = random.generator(rng)
    weight = Parameter(random.normal(shape, rng=generator), name="weight", copy=False)
    if weight.ndim == 4:  # the kernels' own order in memory, which nobody has to bring it into then
        xp = backends.by_type[type(weight.data)]
        weight.data = xp.ascontiguousarray(weight.data.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    bound = 1 / math.sqrt(max(init.fan_in(weight), 1))
    init.uniform(weight, bound, generator)
    if not bias:
        return weight, None
    return weight, Parameter(random.uniform(-bound, bound, (outputs,), rng=generator), name="bias", copy=False)


class Dense(Module):
    """x W^T + b: (..., in) -> (..., out). Weight (out, in).

    Raises:
        ShapeError: called with another number of inputs.

    >>> mg.nn.Dense(3, 2)(mg.tensor([[1.0, 2.0, 3.0]])).shape
    (1, 2)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rng: init.Rng = None) -> None:
        self.in_features, self.out_features = in_features, out_features
        self.weight, self.bias = _new_parameters((out_features, in_features), out_features, bias, rng)

    def forward(self, x: Any) -> Tensor:
        return ops.linear(x, self.weight, self.bias)

    def settings(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class Conv2d(Module):
    """Convolution: (N, C, H, W) -> (N, O, P, Q), P = floor((H + 2p - d(k - 1) - 1)/s) + 1. Weight (O, C/groups, kH, kW).

    Raises:
        ValueError: groups that do not divide both numbers of channels.
        ShapeError: called with other channels, or an image that the kernel does not fit into.

    >>> x = mg.tensor(np.zeros((2, 3, 28, 28), "float32"))
    >>> mg.nn.Conv2d(3, 8, kernel_size=4, stride=2, padding=1)(x).shape
    (2, 8, 14, 14)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: init.Rng = None,
    ) -> None:
        self.in_channels, self.out_channels, self.kernel_size = (
            in_channels,
            out_channels,
            pair("kernel_size", kernel_size, 1),
        )
        self.options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        _check(in_channels, out_channels, self.options)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight, self.bias = _new_parameters(shape, out_channels, bias, rng)

    def forward(self, x: Any) -> Tensor:
        return ops.conv2d(x, self.weight, self.bias, **self.options)

    def settings(self) -> str:
        return _conv_settings(self)


class ConvTranspose2d(Module):
    """Transposed convolution: (N, C, P, Q) -> (N, O, H, W), H = (P - 1)s - 2p + d(k - 1) + output_padding + 1.

    Weight (C, O/groups, kH, kW).

    Raises:
        ValueError: groups that do not divide both numbers of channels.
        ShapeError: called with other channels, or settings that leave no image.

    >>> x = mg.tensor(np.zeros((2, 3, 28, 28), "float32"))
    >>> mg.nn.ConvTranspose2d(3, 8, kernel_size=4, stride=2, padding=1)(x).shape
    (2, 8, 56, 56)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
        *,
        rng: init.Rng = None,
    ) -> None:
        self.in_channels, self.out_channels, self.kernel_size = (
            in_channels,
            out_channels,
            pair("kernel_size", kernel_size, 1),
        )
        self.options = {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "groups": groups,
            "dilation": dilation,
        }
        _check(in_channels, out_channels, self.options)
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        self.weight, self.bias = _new_parameters(shape, out_channels, bias, rng)

    def forward(self, x: Any) -> Tensor:
        return ops.conv_transpose2d(x, self.weight, self.bias, **self.options)

    def settings(self) -> str:
        return _conv_settings(self)


class Reshape(Module):
    """Each sample in another shape: (N, ...) -> (N, *shape).

    >>> mg.nn.Reshape(1, 2, 2)(mg.tensor([[1.0, 2.0, 3.0, 4.0]])).shape
    (1, 1, 2, 2)
    """

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def forward(self, x: Any) -> Tensor:
        rest = math.prod(x.shape[1:]) // (abs(math.prod(self.shape)) or 1)  # what -1 stands for, also in an empty batch
        return ops.reshape(x, shape=(x.shape[0], *(rest if n == -1 else n for n in self.shape)))

    def settings(self) -> str:
        return ", ".join(map(str, self.shape))


class Flatten(Reshape):
    """Each sample as one row: (N, ...) -> (N, D).

    >>> x = mg.tensor(np.zeros((2, 3, 28, 28), "float32"))
    >>> mg.nn.Flatten()(x).shape
    (2, 2352)
    """

    def __init__(self) -> None:
        super().__init__(-1)

    def settings(self) -> str:
        return ""


class ReLU(Module):
    """max(x, 0), element by element.

    >>> mg.nn.ReLU()(mg.tensor([-1.0, 0.0, 2.0]))
    Tensor([0. 0. 2.], float32, shape (3,))
    """

    def forward(self, x: Any) -> Tensor:
        return ops.relu(x)


class LeakyReLU(Module):
    """x where positive, else negative_slope * x, element by element.

    >>> mg.nn.LeakyReLU(0.2)(mg.tensor([-1.0, 0.0, 2.0]))
    Tensor([-0.2  0.   2. ], float32, shape (3,))
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Tensor:
        return ops.leaky_relu(x, negative_slope=self.negative_slope)

    def settings(self) -> str:
        return str(self.negative_slope)


class Tanh(Module):
    """The hyperbolic tangent, element by element.

    >>> mg.nn.Tanh()(mg.tensor([-20.0, 0.0, 20.0]))
    Tensor([-1.  0.  1.], float32, shape (3,))
    """

    def forward(self, x: Any) -> Tensor:
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)), element by element.

    >>> mg.nn.Sigmoid()(mg.tensor([-200.0, 0.0, 200.0]))
    Tensor([0.  0.5 1. ], float32, shape (3,))
    """

    def forward(self, x: Any) -> Tensor:
        return ops.sigmoid(x)


class Softplus(Module):
    """log(1 + exp(x)), element by element.

    >>> mg.nn.Softplus()(mg.tensor([-200.0, 200.0]))
    Tensor([  0. 200.], float32, shape (2,))
    """

    def forward(self, x: Any) -> Tensor:
        return ops.softplus(x)


class Dropout(Module):
    """In training, zeroes each value with probability p and divides the others by 1 - p; evaluation passes x on.

    Raises:
        ValueError: called in training with p outside [0, 1).

    >>> mg.nn.Dropout(0.5, rng=0)(mg.tensor([1.0, 1.0, 1.0, 1.0]))
    Tensor([2. 0. 0. 0.], float32, shape (4,))
    """

    def __init__(self, p: float = 0.5, *, rng: init.Rng = None) -> None:
        self.p, self.rng = p, rng if rng is None else random.generator(rng)

    def forward(self, x: Any) -> Tensor:
        return ops.dropout(x, self.p, self.training, self.rng)

    def settings(self) -> str:
        return f"p={self.p}"


class Embedding(Module):
    """Rows of a table by number: integers (...) -> (..., dim). Weight (count, dim) from N(0, 1).

    Raises:
        DTypeError: called with anything but integers.
        ShapeError: called with a number out of range.

    >>> mg.nn.Embedding(10, 4)(np.array([3, 3, 1])).shape
    (3, 4)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, *, rng: init.Rng = None) -> None:
        self.weight = Parameter(random.normal((num_embeddings, embedding_dim), rng=rng), name="weight", copy=False)

    def forward(self, index: Any) -> Tensor:
        return ops.embedding(index, self.weight)

    def settings(self) -> str:
        return ", ".join(map(str, self.weight.shape))


class Upsample(Module):
    """Each pixel as a square of pixels: (N, C, H, W) -> (N, C, sH, sW).

    Raises:
        ShapeError: called with another rank.

    >>> mg.nn.Upsample(2)(mg.tensor(np.zeros((1, 3, 7, 7)))).shape
    (1, 3, 14, 14)
    """

    def __init__(self, scale_factor: int = 2) -> None:
        self.scale_factor = scale_factor

    def forward(self, x: Any) -> Tensor:
        return ops.upsample_nearest2d(x, self.scale_factor)

    def settings(self) -> str:
        return str(self.scale_factor)


class _Pool(Module):
    """Settings that both poolings have."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        self.kernel_size, self.padding = pair("kernel_size", kernel_size, 1), pair("padding", padding, 0)
        self.stride = self.kernel_size if stride is None else pair("stride", stride, 1)

    def settings(self) -> str:
        return f"{self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_Pool):
    """The mean over windows, padding counted as zeros: (N, C, H, W) -> (N, C, P, Q), P = floor((H + 2p - k)/s) + 1.

    Raises:
        ShapeError: called with another rank, or an image that the window does not fit into.

    >>> mg.nn.AvgPool2d(2)(mg.tensor(np.zeros((1, 3, 8, 8)))).shape
    (1, 3, 4, 4)
    """

    def forward(self, x: Any) -> Tensor:
        return ops.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class MaxPool2d(_Pool):
    """The largest value of each window; the gradient goes to the first that holds it. Shapes as `AvgPool2d`.

    Raises:
        ShapeError: called with another rank, or an image that the window does not fit into.

    >>> mg.nn.MaxPool2d(3, stride=2, padding=1)(mg.tensor(np.zeros((1, 3, 8, 8)))).shape
    (1, 3, 4, 4)
    """

    def forward(self, x: Any) -> Tensor:
        return ops.max_pool2d(x, self.kernel_size, self.stride, self.padding)


def _check(inputs: int, outputs: int, options: dict[str, Any]) -> None:
    """A mistake in a layer's geometry is said when it is made, not when it first runs."""
    for name, value in options.items():
        if name != "groups":
            pair(name, value, 0 if "padding" in name else 1)
    groups = options["groups"]
    if groups < 1 or inputs % groups or outputs % groups:
        raise ValueError(f"groups={groups} must divide in_channels={inputs} and out_channels={outputs}")


def _conv_settings(layer: Conv2d | ConvTranspose2d) -> str:
    shown = ", ".join(
        f"{k}={v}" for k, v in layer.options.items() if v != (1 if k in ("stride", "dilation", "groups") else 0)
    )
    first = f"{layer.in_channels}, {layer.out_channels}, kernel_size={layer.kernel_size}"
    return ", ".join(filter(None, [first, shown, "" if layer.bias is not None else "bias=False"]))
