"""Layers that normalise: activations by their statistics, weights by their largest singular value."""

from __future__ import annotations

from typing import Any

from minigan import backends, ops
from minigan.autodiff import Tensor
from minigan.backends import random
from minigan.errors import ShapeError
from minigan.nn.layers import ConvTranspose2d
from minigan.nn.module import Buffer, Module, Parameter


class BatchNorm(Module):
    """Batch normalisation of (N, C) or (N, C, H, W) over every axis but the channels'.

    Training uses the batch's statistics and moves the running ones by `momentum` (variance unbiased); evaluation
    uses the running ones, so that an image no longer depends on its batch.

    Raises:
        ShapeError: called with another rank or other channels, or in training with one value a channel.

    >>> norm = mg.nn.BatchNorm(1)
    >>> norm(mg.tensor([[1.0], [3.0]])).numpy().round(3).tolist()
    [[-1.0], [1.0]]
    >>> norm.running_mean
    Tensor([0.2], float32, shape (1,), name 'running_mean')
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


class LayerNorm(Module):
    """Each sample normalised over its last axes: (..., *normalized_shape), the same in training and evaluation.

    Args:
        normalized_shape: the last axes' shape, an integer for one axis.
        eps: added to the variance.
        elementwise_affine: scale and shift by weight and bias of `normalized_shape`.
        bias: False leaves the shift out.

    Raises:
        ShapeError: called with an input that does not end in `normalized_shape`.

    >>> mg.nn.LayerNorm(2, eps=0.0)(mg.tensor([[0.0, 2.0]])).numpy().tolist()
    [[-1.0, 1.0]]
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        xp = backends.get("numpy")
        ones = xp.ones(self.normalized_shape, "float32")
        self.weight = Parameter(ones, name="weight") if elementwise_affine else None
        self.bias = Parameter(0 * ones, name="bias") if elementwise_affine and bias else None

    def forward(self, x: Any) -> Tensor:
        return ops.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def settings(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, bias={self.bias is not None}"


class SpectralNorm(Module):
    """A layer whose weight is divided by its largest singular value (Miyato et al. 2018): W / sigma, sigma = u^T W v.

    u and v follow the weight's singular vectors by power iteration, outside the graph, and are part of the state; the
    gradient goes through sigma into the weight, with u and v as constants.

    Args:
        layer: a layer with a `weight`, seen as a matrix of one row an output.
        n_power_iterations: how often u and v are renewed in each call while training.
        eps: the least length that a vector is divided by.

    Raises:
        ShapeError: a layer without a weight of at least two axes.
        ValueError: no power iteration.

    >>> layer = mg.nn.SpectralNorm(mg.nn.Dense(2, 2, bias=False, rng=0), rng=0)
    >>> _ = layer.layer.weight.assign_([[3.0, 0.0], [0.0, 1.0]])
    >>> for _ in range(20):
    ...     y = layer(mg.tensor([[1.0, 1.0]]))
    >>> print(y.numpy().round(3))
    [[1.    0.333]]
    """

    def __init__(
        self, layer: Any, n_power_iterations: int = 1, eps: float = 1e-12, *, rng: random.Generator | int | None = None
    ) -> None:
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Parameter) or weight.ndim < 2:
            raise ShapeError(f"SpectralNorm takes a layer with a weight of at least two axes, got {layer!r}")
        if n_power_iterations < 1:
            raise ValueError(f"n_power_iterations must be at least 1, got {n_power_iterations}")
        self.layer, self.n_power_iterations, self.eps = layer, n_power_iterations, eps
        rows, columns = self._matrix(weight).shape
        generator = random.generator(rng)
        self.u = Buffer(random.normal((rows,), str(weight.dtype), generator), name="u")
        self.v = Buffer(random.normal((columns,), str(weight.dtype), generator), name="v")
        self._iterate(15)

    def forward(self, x: Any) -> Any:
        if self.training:
            self._iterate(self.n_power_iterations)
        weight = self.layer.weight
        u, v = Tensor(self.u), Tensor(self.v)  # copies, as the next call changes the buffers
        sigma = u @ (self._matrix(weight) @ v)
        self.layer.weight = weight / sigma
        try:
            return self.layer(x)
        finally:
            self.layer.weight = weight

    def _matrix(self, weight: Tensor) -> Tensor:
        """The weight (out, rest); a transposed convolution's outputs are its second axis."""
        if isinstance(self.layer, ConvTranspose2d):
            weight = weight.transpose(1, 0, *range(2, weight.ndim))
        return weight.reshape(weight.shape[0], -1)

    def _iterate(self, times: int) -> None:
        """Renew v, then u, as directions of the largest singular value."""
        matrix = self._matrix(self.layer.weight.detach())
        for _ in range(times):
            self._turn(self.v, self.u.detach() @ matrix)
            self._turn(self.u, matrix @ self.v.detach())

    def _turn(self, vector: Buffer, direction: Tensor) -> None:
        """Overwrite a vector by the unit vector in a direction."""
        vector.assign_(direction / ops.maximum((direction * direction).sum().sqrt(), self.eps))

    def settings(self) -> str:
        return f"n_power_iterations={self.n_power_iterations}"
