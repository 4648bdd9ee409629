"""Ops with one planted bug each, by name; each stands here so that a repro can import it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.backends.plain import channel_axes
from minigan.testing import CheckFailed, check_layer


def op_with(rules: dict[str, Any], outputs: tuple[str, ...] = ("y",), broadcasts: bool = False) -> Any:
    """``@op_with({"x": rule})`` makes an op of a kernel with these rules."""

    def make(kernel: Any) -> Any:
        made: Any = mg.op(outputs=outputs, broadcasts=broadcasts)(kernel)
        for name, rule in rules.items():
            made.gradient(*name.split(), formula="y")(rule)
        return made

    return make


@op_with({"x": lambda F, dy, y: -dy * (1 - y * y)})
def wrong_sign(xp, x):
    return xp.tanh(x)


@op_with({"x": lambda F, dy, y: 1.0003 * dy * y})
def off_by_a_little(xp, x):
    return xp.exp(x)


@op_with({"x": lambda F, dy, x: 2 * dy * x * F.where(F.equal(x, F.max(x)), 1.0003, 1.0)})
def one_element(xp, x):
    """Wrong for the largest element only."""
    return x * x


@op_with({"x": lambda F, dy, x: dy * F.where(x < -0.5, 1.001, 1.0) * F.cos(x)})
def negative_inputs(xp, x):
    return xp.sin(x)


@op_with({"x": lambda F, dy, x: F.pad(dy[..., :-1], pad_width=((1, 0),))})
def by_one(xp, x):
    """x, with the gradient one place off."""
    return 1.0 * x


@op_with({"a": lambda F, dy, b: dy * b, "b": lambda F, dy, b, a_shape: 0 * b + F.sum(dy) / dy.size})
def not_summed(xp, a, b):
    """a * b for a (N, C), b (C,), its second rule without the sum."""
    return a * b


@op_with({"a": lambda F, dy: dy, "b": lambda F, dy, b: F.broadcast_to(F.mean(dy, axis=0), shape=b.shape)})
def averaged(xp, a, b):
    """a (N, C) + b (C,): the mean where the sum should be."""
    return a + b


class Scale(mg.nn.Module):
    """x (N, C) times a factor for each column, by `not_summed`."""

    def __init__(self) -> None:
        self.factor = mg.nn.Parameter([2.0, 3.0])

    def forward(self, x: Any) -> Any:
        return not_summed(x, self.factor)


def _no_mean(F, dy, y, inv_std):
    return inv_std * (dy - y * F.mean(dy * y, axis=0, keepdims=True))


def _no_variance(F, dy, inv_std):
    return inv_std * (dy - F.mean(dy, axis=0, keepdims=True))


def _standardized(xp, x):
    centred = x - xp.mean(x, axis=0, keepdims=True)
    inv_std = 1 / xp.sqrt(xp.mean(centred * centred, axis=0, keepdims=True) + 1e-5)
    return centred * inv_std, inv_std


@op_with({"x": _no_mean}, outputs=("y", "inv_std"))
def no_mean_path(xp, x):
    return _standardized(xp, x)


@op_with({"x": _no_variance}, outputs=("y", "inv_std"))
def no_variance_path(xp, x):
    return _standardized(xp, x)


def _no_dinv_std(F, dy, dmean, x, mean, inv_std):
    axes, shape = channel_axes(x.ndim)
    dy = x * 0 if dy is None else dy
    centred = x - F.reshape(mean, shape=shape)
    dinv = F.sum(dy * centred, axis=axes)
    c = dy * F.reshape(inv_std, shape=shape) - centred * F.reshape(inv_std**3 * dinv / x.shape[0], shape=shape)
    total = -F.sum(c, axis=axes)
    total = total if dmean is None else total + dmean
    return c + F.reshape(total / x.shape[0], shape=shape)


@op_with({"x": _no_dinv_std}, outputs=("y", "mean", "inv_std"))
def no_dinv_std(xp, x):
    """Batch norm whose rule forgets what arrives at inv_std: the gradient itself is right, its derivative is not."""
    return xp.batch_norm(x, None, None, 1e-5)


@op_with({"a": lambda F, dy, a, b: dy * (a >= b), "b": lambda F, dy, a, b: dy * (b >= a)})
def tie_twice(xp, a, b):
    """The larger of two, which both get the whole gradient where they are equal."""
    return xp.maximum(a, b)


@op_with({"x": lambda F, dy, x: 1.5 * dy * F.cos(x)})
def inner_sine(xp, x):
    return xp.sin(x)


@op_with({"x": lambda F, dy, x: -dy * F.inner_sine(x)})
def second_order_only(xp, x):
    """cos, whose rule is right and uses an op whose own rule is wrong."""
    return xp.cos(x)


@op_with({"x": lambda F, dy, x_shape: F.broadcast_to(dy, shape=(1, *x_shape))})
def wrong_shape(xp, x):
    return xp.sum(x)


@op_with({"x": lambda F, dy: dy})
def open_gate(xp, x):
    """max(x, 0), with a rule that lets everything pass."""
    return xp.where(x > 0, x, 0.0)


@op_with({"x": lambda F, dy, x: dy * F.where(x > 0, 2 * x + 1, 0.25)})
def gate(xp, x):
    """No bug: a kink at 0, that only the kernel knows of."""
    return xp.where(x > 0, x * x + x, 0.25 * x)


@op_with({"x": lambda F, dy: 0 * dy})
def stairs(xp, x):
    """No bug: jumps, that only the kernel knows of."""
    return xp.floor(x)


@op_with(
    {
        "x": lambda F, dy, weight: F.conv_transpose2d(dy, weight),
        "weight": lambda F, dy, x, weight: F.conv2d_weight_grad(x[:, :, ::-1], dy, kernel=weight.shape[2:]),
    }
)
def conv_flipped(xp, x, weight):
    """A convolution, whose weight's gradient is taken of the image turned over."""
    small = tuple(n - k + 1 for n, k in zip(x.shape[2:], weight.shape[2:], strict=True))
    return xp.conv2d(x, weight, None, small, (1, 1), (0, 0), (1, 1), 1)


@op_with({"x": lambda F, dy: F.abs(dy)})
def bent(xp, x):
    """A rule that is not linear in what arrives."""
    return 2 * x


class Watching(mg.nn.Module):
    """Another function where its weight is frozen."""

    def __init__(self) -> None:
        self.weight = mg.nn.Parameter([1.0, 2.0, 3.0])

    def forward(self, x: Any) -> Any:
        return x * self.weight if self.weight.requires_grad else x


class Frozen(mg.nn.Module):
    """Its weight gets no gradient in evaluation."""

    def __init__(self):
        self.weight = mg.nn.Parameter([2.0, 3.0, 4.0])

    def forward(self, x):
        return x * (self.weight if self.training else self.weight.detach())


class Coupled(mg.nn.Module):
    def forward(self, x):
        return x - x.mean(axis=0, keepdims=True)


def inputs(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    """Values in [-2, 2]."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(-2, 2, shape) for shape in shapes]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# Ops with a kink that a point may lie on.
KINKED = {"abs", "clip", "l1_loss", "max", "min", "maximum", "minimum", "relu", "leaky_relu"}


def layer_failure(*args: Any, **kwargs: Any) -> CheckFailed:
    """What `check_layer` raises."""
    with pytest.raises(CheckFailed) as caught:
        check_layer(*args, **kwargs)
    return caught.value
