"""Between backends."""

from minigan import backends
from minigan.autodiff import op


@op
def to(xp, x, *, backend, source):
    """x on the backend called `backend`; `source` is the one that it comes from.

    Raises:
        BackendError: a backend that is unknown or cannot be used here.

    >>> mg.ops.to([1.0, 2.0], backend="numpy", source="numpy")
    Tensor([1. 2.], float32, shape (2,))
    """
    target, home = backends.get(backend), backends.get(source)
    return xp.array(x) if target is home else target.from_host(home.to_host(x))


@to.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y")
def _(F, dy, source, backend):
    return F.to(dy, backend=source, source=backend)
