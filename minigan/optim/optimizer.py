"""What optimisers share: one flat buffer for all values, so that a step is a few long passes instead of many short ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, groupby, pairwise
from typing import Any

from minigan.autodiff import Tensor
from minigan.autodiff.trace import bump
from minigan.backends import Backend, by_type, storage
from minigan.errors import DTypeError, ShapeError


class Optimizer:
    """Base of the optimisers. Parameters keep their identity; their arrays become views of one flat buffer.

    Args:
        params: Tensors that require a gradient, of one dtype and on one backend.
        settings: the hyperparameters by name, ``weight_decay`` among them.
        slots: names of the flat state arrays, such as Adam's moments.

    Raises:
        ValueError: no parameters, or one twice.
        DTypeError: something that is not a leaf Tensor requiring a gradient, or mixed dtypes.

    >>> opt = mg.optim.SGD(mg.nn.Dense(2, 1, rng=0).parameters(), lr=0.1)
    >>> opt
    SGD(2 parameters, 3 values, lr=0.1, momentum=0.0, weight_decay=0.0)
    """

    _value: Any  # all parameters' values

    def __init__(self, params: Iterable[Tensor], settings: Mapping[str, Any], slots: tuple[str, ...]) -> None:
        self.params = list(params)
        if not self.params:
            raise ValueError("the optimiser got no parameters; give it module.parameters()")
        if len({id(p) for p in self.params}) < len(self.params):
            raise ValueError("the optimiser got a parameter twice; give each once")
        for p in self.params:
            if not isinstance(p, Tensor) or not p.is_leaf or not p.requires_grad:
                raise DTypeError(
                    f"an optimiser takes leaf Tensors that require a gradient, such as module.parameters(), got {p!r:.80}"
                )
        if len({(p.dtype, p.backend) for p in self.params}) > 1:
            raise DTypeError("an optimiser takes parameters of one dtype on one backend; make one for each")
        self.settings = dict(settings)
        ends = list(accumulate((p.size for p in self.params), initial=0))
        self._spans = [slice(a, b) for a, b in pairwise(ends)]
        self._steps = [0] * len(self.params)  # how often each parameter has been updated
        xp = self._home
        self._value = xp.empty(ends[-1], self.params[0].dtype)
        self._slots = {name: xp.zeros(ends[-1], self.params[0].dtype) for name in slots}
        self._gather()

    def __repr__(self) -> str:
        values = ", ".join(f"{k}={v}" for k, v in self.settings.items())
        return f"{type(self).__name__}({len(self.params)} parameters, {self._value.size} values, {values})"

    @property
    def _home(self) -> Backend:
        return by_type[type(self.params[0].data)]

    def _gather(self) -> None:
        """Move every array that is not yet a view of the flat buffer into it."""
        if by_type[type(self._value)] is not self._home:  # the parameters moved to another backend
            self._value = self._moved(self._value)
            self._slots = {name: self._moved(a) for name, a in self._slots.items()}
        for p, span in zip(self.params, self._spans, strict=True):
            if storage(p.data) is not self._value:
                self._value[span] = p.data.reshape(-1)
                p.data = self._value[span].reshape(p.shape)

    def _moved(self, array: Any) -> Any:
        return self._home.from_host(by_type[type(array)].to_host(array))

    def zero_grad(self) -> None:
        """Forget the gradients: each ``p.grad`` is None again.

        >>> w = mg.tensor(1.0, requires_grad=True)
        >>> opt = mg.optim.SGD([w], lr=0.1)
        >>> (w * w).backward()
        >>> opt.zero_grad()
        >>> w.grad is None
        True
        """
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient; the others stay as they are.

        >>> w = mg.tensor(1.0, requires_grad=True)
        >>> (w * w).backward()
        >>> mg.optim.SGD([w], lr=0.25).step()
        >>> w.item()
        0.5
        """
        self._gather()
        gradients = self._home.empty(self._value.size, self._value.dtype)
        for p, span in zip(self.params, self._spans, strict=True):
            if p.grad is not None:
                gradients[span].reshape(p.shape)[...] = p.grad.data
        for span, step in self._runs():
            value, grad = self._value[span], gradients[span]
            if self.settings["weight_decay"]:
                grad += self.settings["weight_decay"] * value
            self.update(self._home, value, grad, step, **{name: array[span] for name, array in self._slots.items()})

    def _runs(self) -> Iterator[tuple[slice, int]]:
        """Stretches of the buffer that are updated together: neighbours with a gradient and the same step count."""
        indices = range(len(self.params))
        for (present, step), run in groupby(indices, lambda i: (self.params[i].grad is not None, self._steps[i] + 1)):
            if present:
                members = list(run)
                for i in members:
                    self._steps[i] = step
                    bump(self.params[i]._version, f"{type(self).__name__}.step() on {self.params[i].label}")
                yield slice(self._spans[members[0]].start, self._spans[members[-1]].stop), step

    def update(self, xp: Backend, value: Any, grad: Any, step: int, **slots: Any) -> None:
        """Change the flat `value`, and the slots, in place; `grad` may be overwritten. `step` counts from 1."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Settings, step counts, and host copies of the flat state arrays.

        >>> sorted(mg.optim.Adam([mg.tensor(1.0, requires_grad=True)]).state_dict())
        ['m', 'settings', 'steps', 'v']
        """
        arrays = {name: self._home.to_host(array).copy() for name, array in self._slots.items()}
        return {"settings": dict(self.settings), "steps": list(self._steps), **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave, settings included.

        Raises:
            ShapeError: a state of another optimiser or of other parameters.

        >>> w = mg.tensor(1.0, requires_grad=True)
        >>> opt = mg.optim.SGD([w], lr=0.5)
        >>> opt.load_state_dict(mg.optim.SGD([w], lr=0.1).state_dict())
        >>> opt.settings["lr"]
        0.1
        """
        expected = {"settings", "steps", *self._slots}
        if state.keys() != expected:
            raise ShapeError(f"{type(self).__name__} state must have {sorted(expected)}, got {sorted(state)}")
        for name, array in self._slots.items():
            if state[name].shape != array.shape or len(state["steps"]) != len(self.params):
                raise ShapeError(
                    f"{type(self).__name__} state is of other parameters: {name} has shape {state[name].shape} where "
                    f"{array.shape} is expected, in {len(state['steps'])} parameters where there are {len(self.params)}"
                )
        self.settings = dict(state["settings"])
        self._steps = list(state["steps"])
        self._slots = {name: self._home.from_host(state[name]) for name in self._slots}


def at_least_zero(**settings: float) -> None:
    """ValueError for a setting that is negative or not a number."""
    for name, value in settings.items():
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, got {value}")
