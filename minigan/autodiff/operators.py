"""A Tensor's operators and methods: ops by another name; and what NumPy is told when it meets a Tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from minigan.autodiff.registry import OPS
from minigan.errors import ShapeError

if TYPE_CHECKING:
    from minigan.autodiff.tensor import Tensor


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


class Operators:
    """What `Tensor` inherits."""

    __slots__ = ()

    data: Any
    shape: Any
    ndim: Any
    size: Any
    item: Any

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
        if reflected and method == "__call__" and not kwargs and not isinstance(inputs[0], Operators):
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
        plain = tuple(i.data.copy() if isinstance(i, Operators) else i for i in parts)
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
