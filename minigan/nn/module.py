"""Module: parameters, buffers and submodules by attribute, PyTorch's state-dict keys, no registration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from weakref import ref

from minigan.autodiff import Tensor
from minigan.autodiff.trace import mode
from minigan.errors import DTypeError, ShapeError


class Parameter(Tensor):
    """A leaf Tensor that training changes: an attribute of a `Module`.

    Raises:
        DTypeError: data that is not of floats.

    >>> w = mg.nn.Parameter([1.0, 2.0], name="w")
    >>> w.requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True, name: str | None = None, copy: bool = True) -> None:
        super().__init__(data, requires_grad, name, copy)


class Buffer(Tensor):
    """A constant that belongs to a module's state, such as batch norm's running mean.

    >>> mg.nn.Buffer([0.0, 0.0]).requires_grad
    False
    """

    __slots__ = ()


class Module:
    """A layer: attributes that are `Parameter`, `Buffer` or `Module` are its state; write ``__init__`` and ``forward``.

    >>> class Scale(mg.nn.Module):
    ...     def __init__(self):
    ...         self.factor = mg.nn.Parameter(2.0)
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(mg.tensor([1.0, 2.0])).numpy().tolist()
    [2.0, 4.0]
    """

    training: bool = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What calling the module computes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before, mode.module = mode.module, ref(self)  # what is recorded meanwhile knows whose it is
        try:
            return self.forward(*args, **kwargs)
        finally:
            mode.module = before

    # -- what belongs to it ---------------------------------------------------------------------------

    def children(self) -> Iterator[tuple[str, Module]]:
        """Submodules with their attribute names.

        >>> net = mg.nn.Sequential(mg.nn.Dense(2, 3), mg.nn.ReLU())
        >>> [name for name, child in net.children()]
        ['0', '1']
        """
        return ((k, v) for k, v in vars(self).items() if isinstance(v, Module))

    def modules(self) -> Iterator[Module]:
        """This module and all below it.

        >>> net = mg.nn.Sequential(mg.nn.Dense(2, 3), mg.nn.ReLU())
        >>> [type(m).__name__ for m in net.modules()]
        ['Sequential', 'Dense', 'ReLU']
        """
        yield self
        for _, child in self.children():
            yield from child.modules()

    def named_state(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Parameters and buffers with their keys in the state dict.

        >>> [name for name, _ in mg.nn.BatchNorm(2).named_state()]
        ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
        """
        for name, value in vars(self).items():
            if isinstance(value, (Parameter, Buffer)):
                yield prefix + name, value
        for name, child in self.children():
            yield from child.named_state(f"{prefix}{name}.")

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Parameters with their keys, each once.

        >>> net = mg.nn.Sequential(mg.nn.Dense(2, 3), mg.nn.ReLU())
        >>> [(name, p.shape) for name, p in net.named_parameters()]
        [('0.weight', (3, 2)), ('0.bias', (3,))]
        """
        seen: set[int] = set()
        for name, value in self.named_state():
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def parameters(self) -> list[Parameter]:
        """All parameters, each once.

        >>> len(mg.nn.Dense(2, 3).parameters())
        2
        """
        return [p for _, p in self.named_parameters()]

    # -- its state ------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Copies of all parameters and buffers as NumPy arrays, under PyTorch's keys.

        >>> net = mg.nn.Sequential(mg.nn.Dense(2, 3), mg.nn.ReLU())
        >>> list(net.state_dict())
        ['0.weight', '0.bias']
        """
        return {name: value.numpy().copy() for name, value in self.named_state()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Self:
        """Overwrite parameters and buffers in place; all or nothing.

        Args:
            state: arrays by key.
            strict: refuse missing and unknown keys; without it they are passed over.

        Raises:
            ShapeError: keys that are missing, unknown, of another shape or not arrays of numbers, all named at once.

        >>> a, b = mg.nn.Dense(2, 1, rng=0), mg.nn.Dense(2, 1, rng=1)
        >>> b.load_state_dict(a.state_dict())
        Dense(2, 1, bias=True)
        >>> bool((a.weight.numpy() == b.weight.numpy()).all())
        True
        """
        own = dict(self.named_state())
        faults = [f"{k} is missing" for k in own if strict and k not in state]
        faults += [f"{k} is unknown" for k in state if strict and k not in own]
        arrays = {}
        for key in own.keys() & state.keys():
            try:
                arrays[key] = Tensor(state[key], copy=False).data
            except DTypeError as error:
                faults.append(f"{key} is no array of numbers: {error}")
            else:
                if arrays[key].shape != own[key].shape:
                    faults.append(f"{key} has shape {arrays[key].shape} where {own[key].shape} is expected")
        if faults:
            raise ShapeError(
                f"load_state_dict() of {type(self).__name__}: {'; '.join(sorted(faults))}; nothing was changed"
            )
        for key, array in arrays.items():
            own[key].overwrite(array, f"load_state_dict() on {key!r}")
        return self

    def train(self, mode: bool = True) -> Self:
        """Training mode, for this module and all below it: batch norm uses the batch's statistics.

        >>> mg.nn.Sequential(mg.nn.Dropout()).train().training
        True
        """
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation mode: batch norm uses its running statistics.

        >>> mg.nn.Dropout().eval()(mg.tensor([1.0, 2.0])).numpy().tolist()
        [1.0, 2.0]
        """
        return self.train(False)

    def to(self, backend: str) -> Self:
        """Move parameters and buffers to a backend; they stay the same objects.

        Raises:
            BackendError: a backend that is unknown or cannot be used here.

        >>> mg.nn.Dense(2, 1, rng=0).to("numpy").weight.backend
        'numpy'
        """
        for _, tensor in self.named_state():
            tensor.data = tensor.detach().to(backend).data
            tensor.grad = None if tensor.grad is None else tensor.grad.to(backend)
        return self

    def settings(self) -> str:
        """What `repr` shows in brackets for a layer without submodules."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.children()]
        if not lines:
            return f"{type(self).__name__}({self.settings()})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"

    def _repr_html_(self) -> str:
        from minigan.nn.summary import summary

        return summary(self)._repr_html_()


class ModuleList(Module):
    """Modules under the keys ``0``, ``1``, ..., to be called as one likes.

    Args:
        modules: any number of modules.

    Raises:
        TypeError: something that is not a module.

    >>> layers = mg.nn.ModuleList([mg.nn.Dense(2, 2) for _ in range(3)])
    >>> len(layers), layers[0]
    (3, Dense(2, 2, bias=True))
    """

    def __init__(self, modules: Iterable[Module]) -> None:
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(f"{type(self).__name__} takes modules, got {type(module).__name__} at position {i}")
            setattr(self, str(i), module)

    def __iter__(self) -> Iterator[Module]:
        return (child for _, child in self.children())

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


class Sequential(ModuleList):
    """Modules one after the other, under the keys ``0``, ``1``, ...

    Raises:
        TypeError: something that is not a module.

    >>> net = mg.nn.Sequential(mg.nn.Dense(2, 3), mg.nn.ReLU())
    >>> net(mg.tensor([[1.0, 2.0]])).shape
    (1, 3)
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x


@contextmanager
def frozen(*modules: Module) -> Iterator[None]:
    """Inside the block the modules' parameters are constants: nothing is saved or computed for them.

    Args:
        modules: any number of modules.

    >>> D = mg.nn.Dense(2, 1)
    >>> with mg.nn.frozen(D):
    ...     y = D(mg.tensor([[1.0, 2.0]]))
    >>> y.requires_grad
    False
    """
    parameters = [p for module in modules for p in module.parameters()]
    before = [p.requires_grad for p in parameters]
    for p in parameters:
        p.requires_grad = False
    try:
        yield
    finally:
        for p, value in zip(parameters, before, strict=True):
            p.requires_grad = value
