"""minigan: reverse-mode autodiff with hand-written gradients, and GANs on top."""

from minigan import autodiff, backends, ops
from minigan.autodiff import Tensor, grad, hvp, jvp, no_grad, op, tensor, vjp, why
from minigan.backends import backend, set_backend
from minigan.backends.random import seed
