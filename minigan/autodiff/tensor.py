"""Tensor: an array that remembers how it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeAlias

from minigan import backends
from minigan.autodiff.registry import OPS
from minigan.autodiff.trace import Cause, Version, bump, caller
from minigan.backends import Array, Backend, HostArray
from minigan.errors import DTypeError, GraphError, ShapeError


ArrayLike: TypeAlias = "Array | Tensor | bool | int | float | Sequence[ArrayLike]"


def _binary(name: str) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """An operator and its reflected form."""

    def forward(self: Tensor, other: Any) -> Tensor:
        return OPS[name](self, other)

    def reflected(self: Tensor, other: Any) -> Tensor:
        return OPS[name](other, self)

    return forward, reflected


def _method(name: str) -> Callable[..., Tensor]:
    """A method that is the op of that name."""

    def method(self: Tensor, *args: Any, **attributes: Any) -> Tensor:
        return OPS[name](self, *args, **attributes)

    method.__name__ = name
    method.__doc__ = f"`minigan.ops.{name}` of this tensor."
    return method


def _one_tuple(values: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(values[0]) if len(values) == 1 and isinstance(values[0], (tuple, list)) else values


# NumPy's name of an operator that meets `array <op> tensor`, and the method that answers it
_REFLECTED = {
    "add": "__radd__",
    "subtract": "__rsub__",
    "multiply": "__rmul__",
    "true_divide": "__rtruediv__",
    "divide": "__rtruediv__",
    "power": "__rpow__",
    "matmul": "__rmatmul__",
    "less": "__gt__",
    "less_equal": "__ge__",
    "greater": "__lt__",
    "greater_equal": "__le__",
    "equal": "__eq__",
    "not_equal": "__ne__",
}
_MINIGAN_NAME = {"subtract": "sub", "multiply": "mul", "true_divide": "div", "divide": "div", "negative": "neg", "power": "pow",
                 "absolute": "abs", "amax": "max", "amin": "min"}  # fmt: skip


def _advice(name: str) -> str:
    own = _MINIGAN_NAME.get(name, name)
    use = f"minigan.ops.{own}(x)" if own in OPS else "an op of minigan.ops"
    return (
        f"numpy.{name} got a minigan Tensor, which never silently becomes an array: its gradient would be lost; "
        f"use {use}, or numpy.{name}(x.numpy()) for the values alone"
    )


class Tensor:
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

    def __init__(self, data: ArrayLike, requires_grad: bool = False, name: str | None = None, copy: bool = True) -> None:
        source = data if isinstance(data, Tensor) else None
        self.data = (
            backends.to_array(data, copy) if source is None else backends.to_array(source.data, copy, source._home)
        )
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
            value = backends.to_array(value, copy=False, home=self._home)
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

    # -- never silently an array ------------------------------------------------------------------------

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "a minigan Tensor does not turn into a NumPy array by itself, which would lose its gradient; "
            "use the op in minigan.ops, or x.numpy() for the values"
        )

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(_advice(function.__name__))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        reflected = _REFLECTED.get(ufunc.__name__)
        if reflected and method == "__call__" and not kwargs and not isinstance(inputs[0], Tensor):
            return getattr(self, reflected)(inputs[0])  # `array + tensor` comes here
        raise TypeError(_advice(ufunc.__name__))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(f"a tensor of shape {self.shape} is neither true nor false; use .numpy().any() or .all()")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a tensor with no axes has no length")
        return self.shape[0]

    # -- operators and methods: ops by another name ------------------------------------------------------

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("sub")
    __mul__, __rmul__ = _binary("mul")
    __truediv__, __rtruediv__ = _binary("div")
    __pow__, __rpow__ = _binary("pow")
    __matmul__, __rmatmul__ = _binary("matmul")
    __lt__, __gt__ = _binary("less")[0], _binary("greater")[0]
    __le__, __ge__ = _binary("less_equal")[0], _binary("greater_equal")[0]
    __eq__, __ne__ = _binary("equal")[0], _binary("not_equal")[0]  # type: ignore[assignment]
    __hash__ = object.__hash__
    __neg__, __abs__ = _method("neg"), _method("abs")
    exp, log, sqrt, sin, cos = _method("exp"), _method("log"), _method("sqrt"), _method("sin"), _method("cos")
    abs, tanh, sigmoid, relu = _method("abs"), _method("tanh"), _method("sigmoid"), _method("relu")
    sum, mean, var, max, min = _method("sum"), _method("mean"), _method("var"), _method("max"), _method("min")
    clip, softmax, log_softmax = _method("clip"), _method("softmax"), _method("log_softmax")
    broadcast_to, sum_to = _method("broadcast_to"), _method("sum_to")

    def __getitem__(self, index: Any) -> Tensor:
        parts = index if isinstance(index, tuple) else (index,)
        plain = tuple(i.data.copy() if isinstance(i, Tensor) else i for i in parts)
        return OPS["getitem"](self, index=plain)

    def reshape(self, *shape: Any) -> Tensor:
        """``x.reshape(2, -1)`` or ``x.reshape((2, -1))``.

        Raises:
            ShapeError: another number of elements.

        >>> mg.tensor([1.0, 2.0, 3.0, 4.0]).reshape(2, -1).shape
        (2, 2)
        """
        return OPS["reshape"](self, shape=_one_tuple(shape))

    def transpose(self, *axes: Any) -> Tensor:
        """``x.transpose(0, 2, 1)`` or ``x.transpose((0, 2, 1))``; all axes reversed without arguments.

        Raises:
            ShapeError: not a permutation of the axes.

        >>> mg.tensor(np.zeros((2, 3, 4))).transpose(0, 2, 1).shape
        (2, 4, 3)
        """
        return OPS["transpose"](self, axes=_one_tuple(axes) or None)

    @property
    def T(self) -> Tensor:
        """All axes reversed.

        >>> mg.tensor([[1.0, 2.0]]).T.shape
        (2, 1)
        """
        return self.transpose()


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
