"""Tensor: an array that remembers how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, TypeAlias

from minigan import backends
from minigan.autodiff.operators import Operators
from minigan.autodiff.registry import OPS
from minigan.autodiff.trace import Cause, Version, bump, caller
from minigan.backends import Array, Backend, HostArray
from minigan.errors import DTypeError, GraphError, ShapeError

ArrayLike: TypeAlias = "Array | Tensor | bool | int | float | Sequence[ArrayLike]"


class Tensor(Operators):
    """An array, and the way back to what it was computed from. Made by `minigan.tensor` and by ops.

    Attributes:
        data: the array itself; what is written into it directly is not seen by the engine.
        grad: None until a backward pass brings a gradient to this leaf; `minigan.why` says why it is None.
        name: a name for messages, or None.

    >>> x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> y.item(), x.grad.numpy().tolist()
    (5.0, [2.0, 4.0])
    """

    __slots__ = ("data", "_grad", "name", "_tracked", "_edge", "_version", "_cause", "__weakref__")

    data: Array
    _grad: Tensor | None
    name: str | None
    _tracked: bool
    _edge: tuple[Any, int] | None  # the node that made this, and which of its outputs it is
    _version: Version
    _cause: Cause | None

    def __init__(
        self, data: ArrayLike, requires_grad: bool = False, name: str | None = None, copy: bool = True
    ) -> None:
        source = data if isinstance(data, Tensor) else None
        home = None if source is None else source._home
        self.data = backends.to_array(data if source is None else source.data, copy, home)
        self._grad, self.name, self._edge = None, name, None
        self._version: Version = [0, None] if copy or source is None else source._version
        self._cause = Cause("tensor()", caller()) if source is not None and source._tracked else None
        self._tracked = False
        self.requires_grad = requires_grad

    # -- facts --------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis.

        >>> mg.tensor([[1.0, 2.0]]).shape
        (1, 2)
        """
        shape: tuple[int, ...] = self.data.shape
        return shape

    @property
    def ndim(self) -> int:
        """The number of axes.

        >>> mg.tensor([[1.0, 2.0]]).ndim
        2
        """
        return len(self.data.shape)

    @property
    def size(self) -> int:
        """The number of elements.

        >>> mg.tensor([[1.0, 2.0]]).size
        2
        """
        return int(self.data.size)

    @property
    def dtype(self) -> Any:
        """The dtype of the elements.

        >>> mg.tensor([[1.0, 2.0]]).dtype
        dtype('float32')
        """
        return self.data.dtype

    @property
    def backend(self) -> str:
        """The name of the backend where the array lives.

        >>> mg.tensor(1.0).backend
        'numpy'
        """
        return self._home.name

    @property
    def _home(self) -> Backend:
        return backends.by_type[type(self.data)]

    @property
    def is_leaf(self) -> bool:
        """Whether no op made this Tensor, so that a gradient can come to rest in `grad`.

        >>> x = mg.tensor(1.0, requires_grad=True)
        >>> x.is_leaf, (2 * x).is_leaf
        (True, False)
        """
        return self._edge is None

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor; a leaf's may be set.

        Raises:
            DTypeError: set on integers or booleans.
            GraphError: cleared on the result of an op; `detach` gives a constant.

        >>> x = mg.tensor(1.0, requires_grad=True)
        >>> x.requires_grad, (2 * x).requires_grad, x.detach().requires_grad
        (True, True, False)
        """
        return self._tracked

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.data.dtype.kind != "f":
            raise DTypeError(
                f"a tensor of dtype {self.data.dtype} cannot require a gradient: only floats have one; "
                "use x.astype('float32') first"
            )
        if not value and self._edge is not None:
            raise GraphError(
                "the result of an op keeps its gradient; use x.detach() for a constant with the same values"
            )
        self._tracked = bool(value)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` left at this leaf, a Tensor of its shape, or None; may be set, to None to forget it.

        Raises:
            ShapeError: set to anything but None or a Tensor of this shape.

        >>> x = mg.tensor(3.0, requires_grad=True)
        >>> (x * x).backward()
        >>> x.grad
        Tensor(6.0, float32)
        """
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and (not isinstance(value, Tensor) or value.shape != self.shape):
            raise ShapeError(f"grad must be None or a Tensor of shape {self.shape}, got {value!r:.80}")
        self._grad = value

    def item(self) -> bool | int | float:
        """The only element, as a Python number.

        Raises:
            ShapeError: more elements than one, or none.

        >>> mg.tensor([[2.5]]).item()
        2.5
        """
        if self.size != 1:
            raise ShapeError(f"item() needs exactly one element, this tensor has shape {self.shape}")
        return self.numpy().item()

    def numpy(self) -> HostArray:
        """The values as a NumPy array: a read-only view where the tensor is in the host's memory, else a copy.

        >>> mg.tensor([1.0, 2.0]).numpy()
        array([1., 2.], dtype=float32)
        """
        array = self._home.to_host(self.data)
        if array is self.data:
            array = array.view()
            array.flags.writeable = False
        return array

    # -- the graph --------------------------------------------------------------------------------------

    def backward(self, grad: Any = None, retain_graph: bool = False) -> None:
        """Add d(self)/d(leaf), weighted by `grad`, to the `grad` of every leaf that requires one.

        Args:
            grad: the gradient that arrives here, of this tensor's shape; 1 for a scalar when left out.
            retain_graph: keep what was saved, for another pass.

        Raises:
            MissingGradient: no gradient can flow from here; the message says why.
            ShapeError: `grad` has another shape, or is left out where there is more than one element.
            FreedGraph: an earlier pass freed what this one needs.
            InPlaceChange: a saved value was changed since.

        >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> (w * w).backward([1.0, 10.0])
        >>> w.grad.numpy().tolist()
        [2.0, 40.0]
        """
        from minigan.autodiff.functional import backward

        backward(self, grad, retain_graph)

    def detach(self) -> Tensor:
        """The same values as a constant; the memory is shared.

        >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> (2 * x).detach()
        Tensor([2. 4.], float32, shape (2,))
        """
        cause = Cause("detach()", caller()) if self._tracked else self._cause
        return wrap(self.data, None, self._version, cause)

    def assign_(self, value: Any) -> Self:
        """Overwrite the values in place, under the eyes of the engine: a graph that saved the old ones will say so.

        Args:
            value: a number, or an array or tensor of exactly this shape.

        Raises:
            ShapeError: another shape.
            GraphError: this is the result of an op.

        >>> mg.tensor([1.0, 2.0]).assign_([3.0, 4.0])
        Tensor([3. 4.], float32, shape (2,))
        """
        return self.overwrite(value, f"assign_() on {self.label}")

    def overwrite(self, value: Any, by: str) -> Self:
        """`assign_` in the name of somebody else; arrays may come from the host."""
        if self._edge is not None:
            raise GraphError("overwriting the result of an op would falsify its graph; use x.detach().assign_(...)")
        value = backends.weak(value.data if isinstance(value, Tensor) else value)
        if not isinstance(value, backends.SCALARS):
            value = backends.to_array(value, False, self._home, self.dtype)
            if value.shape != self.shape:
                raise ShapeError(f"{by}: got shape {value.shape} for a tensor of shape {self.shape}")
            if backends.of(value) is not self._home:
                value = self._home.from_host(backends.by_type[type(value)].to_host(value))
        self.data[...] = value
        bump(self._version, by)
        return self

    def astype(self, dtype: Any) -> Tensor:
        """This tensor in another dtype; recorded, so that the gradient returns in the old one.

        >>> mg.tensor([1.0, 2.0]).astype("float64")
        Tensor([1. 2.], float64, shape (2,))
        """
        return OPS["astype"](self, dtype=str(self.data.dtype.type(0).astype(dtype).dtype))

    def to(self, backend: str) -> Tensor:
        """This tensor on another backend; recorded, so that the gradient returns to the old one.

        Raises:
            BackendError: a backend that is unknown or cannot be used here.

        >>> mg.tensor([1.0, 2.0]).to("numpy").backend
        'numpy'
        """
        return OPS["to"](self, backend=backend, source=self.backend)

    @property
    def label(self) -> str:
        """The name for messages, or the shape where there is none."""
        return repr(self.name) if self.name else f"a tensor of shape {self.shape}"

    def __repr__(self) -> str:
        values = str(self.numpy()).replace("\n", "\n       ")
        facts = [str(self.dtype)]
        if self.ndim > 0:
            facts.append(f"shape {self.shape}")
        if self.backend != "numpy":
            facts.append(self.backend)
        if self.name:
            facts.append(f"name {self.name!r}")
        if self._edge is not None:
            facts.append(f"from {self._edge[0].plan.op.name}")
        elif self._tracked:
            facts.append("requires_grad")
        return f"Tensor({values}, {', '.join(facts)})"

    def _repr_html_(self) -> str:
        from minigan.autodiff.display import html

        return html(self)


def tensor(data: ArrayLike, requires_grad: bool = False, name: str | None = None, copy: bool = True) -> Tensor:
    """Make a Tensor.

    Args:
        data: a number or lists of numbers, which become float32, or an array, which keeps its dtype; on the current
            backend, but for a device's array, which stays where it is.
        requires_grad: whether gradients are wanted; of floats only.
        name: a name for messages.
        copy: False shares the array's memory.

    Raises:
        DTypeError: what is neither a number, lists of equal length nor an array of numbers; a gradient wanted of integers.

    >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    Tensor([[1. 2.]
            [3. 4.]], float32, shape (2, 2), requires_grad)
    >>> mg.tensor(np.arange(3)).dtype
    dtype('int64')
    """
    return Tensor(data, requires_grad, name, copy)


def wrap(data: Any, edge: tuple[Any, int] | None, version: Version, cause: Cause | None) -> Tensor:
    """A Tensor around an array as it is, such as an op's result."""
    tensor = _new(Tensor)
    tensor.data, tensor._grad, tensor.name = data, None, None
    tensor._edge, tensor._tracked = edge, edge is not None
    tensor._version, tensor._cause = version, cause
    return tensor


_new = object.__new__
