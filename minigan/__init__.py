"""minigan: reverse-mode autodiff with hand-written gradients, and GANs on top."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minigan import errors, nn, ops, optim
from minigan._version import __version__
from minigan.autodiff import Tensor, grad, hvp, jvp, no_grad, op, tensor, vjp, why
from minigan.backends import Array, backend, set_backend
from minigan.backends.random import seed

if TYPE_CHECKING:
    from minigan import data, gan, metrics, study, testing

__all__ = [
    "Array", "Tensor", "__version__", "backend", "data", "errors", "gan", "grad", "hvp", "jvp", "metrics", "nn", "no_grad",
    "op", "ops", "optim", "seed", "set_backend", "study", "tensor", "testing", "vjp", "why",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("data", "gan", "metrics", "study", "testing"):  # loaded when first used
        return import_module(f"minigan.{name}")
    raise AttributeError(f"module 'minigan' has no attribute {name!r}")
