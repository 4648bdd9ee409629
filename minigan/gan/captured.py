"""A step that a device does as a whole: recorded once, and launched again without the host's share in it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Any, TypeAlias

from minigan import backends
from minigan.autodiff import Tensor
from minigan.autodiff.trace import bump
from minigan.backends import Backend
from minigan.errors import CaptureError
from minigan.nn import Module

Step: TypeAlias = Callable[..., tuple[Tensor, ...]]
KINDS = 8  # of calls, that are kept: those used last


class Captured:
    """A step of training that a device launches as a whole: on a GPU, a CUDA graph.

    On a GPU a small network waits for the host, which launches hundreds of kernels a step. Here the first call of each kind
    is an ordinary one; the second one too, in the memory where the third is recorded; from then on one launch does all of
    it, and the results are those of ordinary calls, bit for bit. Calls are of one kind if the shapes and dtypes of their
    arrays and the values of all other arguments are the same, and the backend's precision. Where nothing can be recorded,
    as on NumPy, every call is an ordinary one.

    A step computes with its arguments and with `modules`, and lets optimisers and averages (`EMA`) make their steps, whose
    counts and learning rates are followed. Whatever else it does on the host is done while recording, and never again. A
    step that reads from the device, or brings values there, as dropout and instance noise do with what they draw, is not
    recorded and stays as it is; so is one that is of another kind in each call. That is said once.

    Gradients are forgotten before each call. Those of a recorded step lie in its own memory, where the next call overwrites
    them; arguments and results are copied.

    Args:
        step: takes one or more Tensors by position and hashable values by keyword, and returns a tuple of Tensors.
        modules: all that it computes with. Another mode, layer or setting of theirs is recorded anew.
        say: told once why calls are not recorded; a RuntimeWarning without it.

    >>> G, D = mg.nn.Dense(2, 3, rng=0), mg.nn.Dense(3, 1, rng=0)
    >>> optimisers = [mg.optim.Adam(player.parameters()) for player in (G, D)]
    >>> loss = mg.gan.losses.LOSSES["non-saturating"]
    >>> def step(real, z):
    ...     return mg.gan.adversarial_step(G, D, *optimisers, real, z, loss.discriminator, loss.generator)
    >>> captured = mg.gan.Captured(step, G, D)
    >>> loss_d, loss_g = captured(mg.tensor([[1.0, 2.0, 3.0]]), mg.tensor([[0.5, -0.5]]))
    >>> loss_d.shape
    ()
    """

    def __init__(self, step: Step, *modules: Module, say: Callable[[str], None] | None = None) -> None:
        self.step, self.modules = step, modules
        self._say = say or partial(warnings.warn, category=RuntimeWarning, stacklevel=3)
        self._said = False
        self._kinds: dict[Hashable, _Kind] = {}

    def __call__(self, *inputs: Tensor, **fixed: Hashable) -> tuple[Tensor, ...]:
        xp = backends.get(inputs[0].backend)
        step = partial(self._ordinary, **fixed)
        if not xp.can_record:
            return step(*inputs)
        if any(t.requires_grad for t in inputs):
            self._explain("an argument requires a gradient, and arguments are copied")
            return step(*inputs)
        key = (xp.precision, *((t.backend, t.shape, str(t.dtype)) for t in inputs), *fixed.items())
        kind = self._kinds.pop(key, None) or _Kind(xp, self.modules)
        try:
            results = kind(step, inputs)
        except CaptureError:  # something has changed since it was recorded
            kind = _Kind(xp, self.modules)
            results = kind(step, inputs)
        self._kinds[key] = kind  # the one used last stands last
        if kind.refused:
            self._explain(kind.refused)
        if len(self._kinds) > KINDS:
            del self._kinds[next(iter(self._kinds))]
            self._explain(f"its calls are of more than {KINDS} kinds")
        return results

    def _ordinary(self, *inputs: Tensor, **fixed: Hashable) -> tuple[Tensor, ...]:
        for module in self.modules:
            for p in module.parameters():
                p.grad = None
        return self.step(*inputs, **fixed)

    def _explain(self, why: str) -> None:
        if not self._said:
            self._said = True
            self._say(f"steps are not recorded, but launched kernel by kernel: {why}")


class _Kind:
    """Calls that do the same to other values.

    Attributes:
        stage: what the next call does: 0 for an ordinary one, 1 for one where it is to be recorded, 2 to record, 3 to replay.
        refused: why they are not recorded, or nothing.
    """

    def __init__(self, xp: Backend, modules: tuple[Module, ...]) -> None:
        self.graph: Any = xp.new_graph()
        self.modules, self.stage, self.refused = modules, 0, ""
        self.inputs: tuple[Tensor, ...] = ()
        self.results: tuple[Tensor, ...] = ()
        self.facts: list[tuple[Any, str, Any]] = []
        self.grads: list[tuple[Tensor, Tensor | None]] = []
        self.changed: list[Tensor] = []  # in place, by every call

    def __call__(self, step: Step, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        results = (self._first, self._warm, self._record, self._replay)[self.stage](step, inputs)
        self.stage = min(3, self.stage + 1)
        if self.refused:
            self.stage, self.graph, self.inputs = 0, None, ()  # and their memory
        return results

    def _first(self, step: Step, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return step(*inputs)

    def _warm(self, step: Step, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self.inputs = _copies(inputs)
        results = _copies(self.graph.run(lambda: step(*self.inputs)))
        self.refused = self.graph.refused
        return results

    def _record(self, step: Step, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        state = [t for module in self.modules for _, t in module.named_state()]
        versions = [t._version[0] for t in state]
        self._fill(inputs)
        self.graph.ready()
        try:
            results = self.graph.record(lambda: step(*self.inputs))
        except CaptureError as error:
            self.refused = str(error)
            return step(*inputs)
        self.results = tuple(t.detach() for t in results)
        self.facts = list(_facts(self.modules))
        self.grads = [(p, p.grad) for module in self.modules for p in module.parameters()]
        self.changed = [t for t, version in zip(state, versions, strict=True) if t._version[0] != version]
        self.changed += [grad for _, grad in self.grads if grad is not None]
        return _copies(self.results)

    def _replay(self, step: Step, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not all(getattr(thing, name, None) is value for thing, name, value in self.facts):
            raise CaptureError("a module has changed since it was recorded")
        self._fill(inputs)
        self.graph.replay()
        for p, grad in self.grads:
            p.grad = grad
        for t in self.changed:
            bump(t._version, f"a recorded step on {t.label}")
        return _copies(self.results)

    def _fill(self, inputs: tuple[Tensor, ...]) -> None:
        for static, given in zip(self.inputs, inputs, strict=True):
            static.overwrite(given, "a recorded step on its arguments")


def _copies(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Constants with the same values, in memory of their own."""
    return tuple(Tensor(t.detach()) for t in tensors)


def _facts(modules: tuple[Module, ...]) -> Iterator[tuple[Any, str, Any]]:
    """What a recording takes for granted of modules: things, their attributes' names, and values."""
    for module in modules:
        for layer in module.modules():
            yield layer, "training", layer.training
            yield from ((layer, name, value) for name, value in vars(layer).items())
        for _, tensor in module.named_state():
            yield from ((tensor, name, getattr(tensor, name)) for name in ("data", "requires_grad"))
