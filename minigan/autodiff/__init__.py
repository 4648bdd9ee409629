"""Reverse-mode automatic differentiation: Tensor, op, the backward walk, and gradients as functions."""

from minigan.autodiff.functional import grad, hvp, jvp, vjp, why
from minigan.autodiff.protocol import Op, op
from minigan.autodiff.tensor import Tensor, tensor
from minigan.autodiff.trace import no_grad

__all__ = ["Op", "Tensor", "grad", "hvp", "jvp", "no_grad", "op", "tensor", "vjp", "why"]
