"""What optimisers share: one flat buffer for all values, so that a step is a few long passes instead of many short ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import accumulate, groupby, pairwise
from typing import Any

from minigan import backends
from minigan.autodiff import Tensor
from minigan.autodiff.trace import bump
from minigan.backends import Backend, by_type, storage
from minigan.backends.base import inverse, memory_order
from minigan.errors import CaptureError, DTypeError, ShapeError


class Optimizer:
    """Base of the optimisers. Parameters keep their identity; their arrays become views of one flat buffer.

    On a device the learning rate and the counts of steps lie there too, so that a recorded step (`gan.Captured`) counts on,
    and takes the rate that is set when it is replayed.

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
        self._orders = [memory_order(p.data) for p in self.params]
        self._steps = [0] * len(self.params)  # how often each parameter has been updated
        xp = self._home
        self._value = xp.empty(ends[-1], self.params[0].dtype)
        self._slots = {name: xp.zeros(ends[-1], self.params[0].dtype) for name in slots}
        self._settle()
        self._gather()

    def __repr__(self) -> str:
        values = ", ".join(f"{k}={v}" for k, v in self.settings.items())
        return f"{type(self).__name__}({len(self.params)} parameters, {self._value.size} values, {values})"

    @property
    def _home(self) -> Backend:
        return by_type[type(self.params[0].data)]

    def _settle(self) -> None:
        """Bring learning rate and counts to the device, if the parameters are on one."""
        xp, host = self._home, backends.get("numpy")
        if xp.on_device:
            self._rate, self._told = xp.from_host(host.asarray(self.lr, str(self._value.dtype))), self.lr
            self._counts = xp.from_host(host.asarray(self._steps, "float64"))

    def _gather(self) -> None:
        """Move every array that is not yet a view of the flat buffer into it."""
        if by_type[type(self._value)] is not self._home:  # the parameters moved to another backend
            self._value = self._moved(self._value)
            self._slots = {name: self._moved(a) for name, a in self._slots.items()}
            self._settle()
        if any(storage(p.data) is not self._value for p in self.params):
            self._not_recorded("a parameter's array was replaced")
            for p, view in zip(self.params, self._views(self._value), strict=True):
                if storage(p.data) is not self._value:
                    view[...] = p.data
                    p.data = view

    def _views(self, flat: Any) -> Iterator[Any]:
        """What belongs to each parameter in a flat array, in the parameter's shape."""
        for p, span, order in zip(self.params, self._spans, self._orders, strict=True):
            yield flat[span].reshape([p.shape[i] for i in order]).transpose(inverse(order))

    def _moved(self, array: Any) -> Any:
        return self._home.from_host(by_type[type(array)].to_host(array))

    @property
    def lr(self) -> float:
        """The learning rate; may be set at any time, such as to let it fall.

        >>> opt = mg.optim.SGD([mg.tensor(1.0, requires_grad=True)], lr=0.5)
        >>> opt.lr /= 2
        >>> opt.settings["lr"]
        0.25
        """
        rate: float = self.settings["lr"]
        return rate

    @lr.setter
    def lr(self, value: float) -> None:
        at_least_zero(lr=value)
        self.settings["lr"] = value

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
        self._ready()
        for members in self._runs():
            span = slice(self._spans[members[0]].start, self._spans[members[-1]].stop)
            value, grad = self._value[span], self._gradient(members)
            if self.settings["weight_decay"]:
                grad = grad + self.settings["weight_decay"] * value
            slots = {name: array[span] for name, array in self._slots.items()}
            self._count(members, 1)
            self._home.follow(self._unchanged(), partial(self._count, members))
            self.update(self._home, value, grad, *self._rate_and_step(members), **slots)

    def _ready(self) -> None:
        """Bring over what was set since the last step: arrays of parameters, and the learning rate to the device."""
        self._gather()
        if self._home.on_device and self._told != self.lr:
            self._not_recorded("the learning rate was set")
            self._rate[...] = self._told = self.lr

    def _not_recorded(self, what: str) -> None:
        if self._home.recording:  # each replay would do it again
            raise CaptureError(f"{what} inside of what is recorded; do that before the call")

    def _unchanged(self) -> Callable[[], None]:
        """`_ready` for what is recorded now, in which all is frozen but values, counts and the learning rate."""
        slots, settings = self._slots, self.settings | {"lr": None}

        def ready() -> None:
            self._ready()
            if self._slots is not slots or self.settings | {"lr": None} != settings:
                raise CaptureError(f"the settings or the state of {self} have been replaced since it was recorded")

        return ready

    def _rate_and_step(self, members: list[int]) -> tuple[Any, Any]:
        """The learning rate and the members' count of steps, as `update` takes them."""
        if not self._home.on_device:
            return self.lr, self._steps[members[0]]
        counts = self._counts[members[0] : members[-1] + 1]
        counts += 1
        return self._rate, self._counts[members[0], ...]

    def _runs(self) -> Iterator[list[int]]:
        """Parameters that are updated together: neighbours with a gradient and the same step count, large ones alone."""

        def kind(i: int) -> tuple[bool, int, int]:
            p = self.params[i]
            return p.grad is not None, self._steps[i], i if p.size >= self._home.large_parameter else -1

        for (present, *_), run in groupby(range(len(self.params)), kind):
            if present:
                yield list(run)

    def _count(self, members: list[int], by: int) -> None:
        """What a step does on the host, or take it back."""
        for i in members:
            self._steps[i] += by
            bump(self.params[i]._version, f"{type(self).__name__}.step() on {self.params[i].label}")

    def _gradient(self, members: list[int]) -> Any:
        """The gradients of neighbours as a flat array; of one alone without a copy, if it lies in memory as its parameter."""
        gradients = ((i, self.params[i].grad) for i in members)
        flat = [g.data.transpose(self._orders[i]).reshape(-1) for i, g in gradients if g is not None]
        return flat[0] if len(flat) == 1 else self._home.concatenate(flat)

    def update(self, xp: Backend, value: Any, grad: Any, lr: Any, step: Any, **slots: Any) -> None:
        """Change the flat `value`, and the slots, in place.

        `lr` and `step`, which counts from 1, are numbers; on a device arrays of one, `lr` in the dtype of `value` and `step`
        in float64.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Settings, step counts, and host copies of the state arrays: flat, each parameter in C order.

        >>> sorted(mg.optim.Adam([mg.tensor(1.0, requires_grad=True)]).state_dict())
        ['m', 'settings', 'steps', 'v']
        """
        host = backends.get("numpy")
        hosted = {name: self._home.to_host(array) for name, array in self._slots.items()}
        arrays = {name: host.concatenate([v.reshape(-1) for v in self._views(array)]) for name, array in hosted.items()}
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
        self._slots = {name: self._home.from_host(self._laid_out(state[name])) for name in self._slots}
        self._settle()

    def _laid_out(self, flat: Any) -> Any:
        """A host array of a state, each parameter in the memory order of its values."""
        hosted = backends.get("numpy").empty_like(flat)
        for view, span in zip(self._views(hosted), self._spans, strict=True):
            view[...] = flat[span].reshape(view.shape)
        return hosted


def at_least_zero(**settings: float) -> None:
    """ValueError for a setting that is negative or not a number."""
    for name, value in settings.items():
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, got {value}")
