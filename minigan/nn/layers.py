"""Layers: parameters, their initialisation, and the op they call. Arguments and defaults are PyTorch's."""

from __future__ import annotations

import math
from typing import Any

from minigan import ops
from minigan.autodiff import Tensor
from minigan.backends import random
from minigan.nn import init
from minigan.nn.module import Buffer, Module, Parameter

Pair = int | tuple[int, int]


def _new_parameters(
    shape: tuple[int, ...], outputs: int, bias: bool, rng: init.Rng
) -> tuple[Parameter, Parameter | None]:
    """Weight and bias from U(-b, b), b = 1/sqrt(fan in), as PyTorch's layers start."""
    generator = random.generator(rng)
    weight = Parameter(random.normal(shape, rng=generator), name="weight", copy=False)
    bound = 1 / math.sqrt(max(init.fan_in(weight), 1))
    init.uniform(weight, bound, generator)
    if not bias:
        return weight, None
    return weight, Parameter(random.uniform(-bound, bound, (outputs,), rng=generator), name="bias", copy=False)


class Dense(Module):
    """x W^T + b: (..., in) -> (..., out). Weight (out, in)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rng: init.Rng = None) -> None:
        self.in_features, self.out_features = in_features, out_features
        self.weight, self.bias = _new_parameters((out_features, in_features), out_features, bias, rng)

    def forward(self, x: Any) -> Tensor:
        return ops.linear(x, self.weight, self.bias)

    def settings(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class Conv2d(Module):
    """Convolution: (N, C, H, W) -> (N, O, P, Q), P = floor((H + 2p - d(k - 1) - 1)/s) + 1. Weight (O, C/groups, kH, kW)."""

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
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, _pair(kernel_size)
        self.options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        _check_groups(in_channels, out_channels, groups)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight, self.bias = _new_parameters(shape, out_channels, bias, rng)

    def forward(self, x: Any) -> Tensor:
        return ops.conv2d(x, self.weight, self.bias, **self.options)

    def settings(self) -> str:
        return _conv_settings(self)


class ConvTranspose2d(Module):
    """Transposed convolution: (N, C, P, Q) -> (N, O, H, W), H = (P - 1)s - 2p + d(k - 1) + output_padding + 1.

    Weight (C, O/groups, kH, kW).
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
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, _pair(kernel_size)
        self.options = {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "groups": groups,
            "dilation": dilation,
        }
        _check_groups(in_channels, out_channels, groups)
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        self.weight, self.bias = _new_parameters(shape, out_channels, bias, rng)

    def forward(self, x: Any) -> Tensor:
        return ops.conv_transpose2d(x, self.weight, self.bias, **self.options)

    def settings(self) -> str:
        return _conv_settings(self)


class BatchNorm(Module):
    """Batch normalisation of (N, C) or (N, C, H, W) over every axis but the channels'.

    Training uses the batch's statistics and moves the running ones by `momentum` (variance unbiased); evaluation
    uses the running ones, so that an image no longer depends on its batch.
    """

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.channels, self.eps, self.momentum = channels, eps, momentum
        self.weight = Parameter([1.0] * channels, name="weight")
        self.bias = Parameter([0.0] * channels, name="bias")
        self.running_mean = Buffer([0.0] * channels, name="running_mean")
        self.running_var = Buffer([1.0] * channels, name="running_var")
        self.num_batches_tracked = Buffer(Buffer(0).astype("int64"), name="num_batches_tracked")

    def forward(self, x: Any) -> Tensor:
        if self.training:
            self.num_batches_tracked.assign_(self.num_batches_tracked.data + 1)
        return ops.batch_norm(
            x, self.weight, self.bias, self.running_mean, self.running_var, self.training, self.momentum, self.eps
        )

    def settings(self) -> str:
        return f"{self.channels}, eps={self.eps}, momentum={self.momentum}"


class Reshape(Module):
    """Each sample in another shape: (N, ...) -> (N, *shape)."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def forward(self, x: Any) -> Tensor:
        return ops.reshape(x, shape=(x.shape[0], *self.shape))

    def settings(self) -> str:
        return ", ".join(map(str, self.shape))


class Flatten(Reshape):
    """Each sample as one row: (N, ...) -> (N, D)."""

    def __init__(self) -> None:
        super().__init__(-1)

    def settings(self) -> str:
        return ""


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Tensor:
        return ops.relu(x)


class LeakyReLU(Module):
    """x where positive, else negative_slope * x."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Tensor:
        return ops.leaky_relu(x, negative_slope=self.negative_slope)

    def settings(self) -> str:
        return str(self.negative_slope)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Any) -> Tensor:
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Any) -> Tensor:
        return ops.sigmoid(x)


class Softplus(Module):
    """log(1 + exp(x))."""

    def forward(self, x: Any) -> Tensor:
        return ops.softplus(x)


class Dropout(Module):
    """In training, zeroes each value with probability p and divides the others by 1 - p; evaluation passes x on."""

    def __init__(self, p: float = 0.5, *, rng: init.Rng = None) -> None:
        self.p, self.rng = p, rng if rng is None else random.generator(rng)

    def forward(self, x: Any) -> Tensor:
        return ops.dropout(x, self.p, self.training, self.rng)

    def settings(self) -> str:
        return f"p={self.p}"


class Embedding(Module):
    """Rows of a table by number: integers (...) -> (..., dim). Weight (count, dim) from N(0, 1)."""

    def __init__(self, num_embeddings: int, embedding_dim: int, *, rng: init.Rng = None) -> None:
        self.weight = Parameter(random.normal((num_embeddings, embedding_dim), rng=rng), name="weight", copy=False)

    def forward(self, index: Any) -> Tensor:
        return ops.embedding(index, self.weight)

    def settings(self) -> str:
        return ", ".join(map(str, self.weight.shape))


class Upsample(Module):
    """Each pixel as a square of pixels: (N, C, H, W) -> (N, C, sH, sW)."""

    def __init__(self, scale_factor: int = 2) -> None:
        self.scale_factor = scale_factor

    def forward(self, x: Any) -> Tensor:
        return ops.upsample_nearest2d(x, self.scale_factor)

    def settings(self) -> str:
        return str(self.scale_factor)


class AvgPool2d(Module):
    """The mean over windows; padding counts as zeros."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Any) -> Tensor:
        return ops.avg_pool2d(x, self.kernel_size, self.stride, self.padding)

    def settings(self) -> str:
        return f"{self.kernel_size}, stride={self.stride or self.kernel_size}, padding={self.padding}"


def _pair(size: Pair) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _check_groups(inputs: int, outputs: int, groups: int) -> None:
    if groups < 1 or inputs % groups or outputs % groups:
        raise ValueError(f"groups={groups} must divide in_channels={inputs} and out_channels={outputs}")


def _conv_settings(layer: Conv2d | ConvTranspose2d) -> str:
    shown = ", ".join(
        f"{k}={v}" for k, v in layer.options.items() if v != (1 if k in ("stride", "dilation", "groups") else 0)
    )
    first = f"{layer.in_channels}, {layer.out_channels}, kernel_size={layer.kernel_size}"
    return ", ".join(filter(None, [first, shown, "" if layer.bias is not None else "bias=False"]))
