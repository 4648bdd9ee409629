"""The op protocol: a kernel (arrays in, arrays out), a gradient rule for each input, and the call that joins them.

A rule is ordinary array mathematics written by hand. It is called with raw arrays when training, with
Tensors when the gradient itself is to be differentiated, and its formula is what a student reads.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from minigan import backends
from minigan.autodiff.graph import Node
from minigan.autodiff.registry import OPS, USER_OPS
from minigan.autodiff.tensor import Tensor, wrap
from minigan.autodiff.trace import Cause, Version, caller, mode
from minigan.backends import Backend
from minigan.errors import BackendError, DTypeError, RuleError, ShapeError


class Rule(NamedTuple):
    """A hand-written gradient: which inputs it serves, its formula, and the parameters that say what must be kept."""

    inputs: tuple[str, ...]
    function: Callable[..., Any]
    formula: str
    parameters: tuple[str, ...]


class Plan(NamedTuple):
    """For one set of inputs that need a gradient: the rules to call, and all that they name. Nothing else is saved."""

    rules: tuple[tuple[Rule, tuple[int, ...]], ...]  # each with the positions of its inputs
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    shapes: tuple[tuple[str, int], ...]
    attributes: tuple[str, ...]


class Op:
    """A differentiable function of arrays, made by `minigan.op`; called with Tensors, arrays or numbers.

    Positional arguments are the arrays; any that follow fill the attributes in the order of the kernel's
    signature, so that ``leaky_relu(x, 0.2)`` and ``leaky_relu(x, negative_slope=0.2)`` are the same.
    """

    def __init__(self, kernel: Callable[..., Any], outputs: tuple[str, ...], broadcasts: bool) -> None:
        self.kernel, self.outputs, self.broadcasts = kernel, outputs, broadcasts
        self.name = self.__name__ = kernel.__name__
        self.own = kernel.__module__.startswith("minigan.ops")
        self.__doc__, self.__module__ = kernel.__doc__, kernel.__module__
        _, *parameters = inspect.signature(kernel).parameters.values()
        arrays = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
        self.inputs = tuple(p.name for p in arrays)
        self.required = sum(p.default is p.empty for p in arrays)
        self.__signature__ = inspect.Signature([p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in parameters])
        self.attributes = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self._needs_attributes = inspect.Parameter.empty in self.attributes.values()
        self.rules: list[Rule] = []
        self.differentiable = 0  # bit i: input i has a rule
        self._plans: dict[int, Plan] = {}

    def __repr__(self) -> str:
        return f"<minigan op {self.name}({', '.join([*self.inputs, *self.attributes])})>"

    def gradient(self, *inputs: str, formula: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register the rule for one input, or a joint one that returns a tuple.

        Its first parameter is ``F``, minigan's ops by name. The others are any of: ``d<output>``, inputs,
        outputs, attributes, ``<input>_shape``; what they name is saved, and nothing else.

        Args:
            inputs: names of the kernel's array parameters.
            formula: the rule in LaTeX, as a reader would write it.
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            parameters = tuple(inspect.signature(function).parameters)
            known = {"F", *self.inputs, *self.outputs, *self.attributes}
            known |= {f"d{y}" for y in self.outputs} | {f"{x}_shape" for x in self.inputs}
            unknown = [p for p in parameters if p not in known] + [x for x in inputs if x not in self.inputs]
            if unknown or not inputs or parameters[:1] != ("F",):
                raise RuleError(
                    f"{self.name}.gradient{inputs}: {unknown or 'the first parameter'} is not known; a rule takes F "
                    f"and any of {', '.join(sorted(known - {'F'}))}, for inputs among {', '.join(self.inputs)}"
                )
            self.rules = [r for r in self.rules if r.inputs != inputs]
            self.rules.append(Rule(inputs, function, formula, parameters[1:]))
            self.differentiable |= sum(1 << self.inputs.index(x) for x in inputs)
            self._plans.clear()
            return function

        return register

    def plan(self, mask: int) -> Plan:
        """What must be kept so that the inputs whose bits are set in `mask` can have their gradients."""
        if mask not in self._plans:
            wanted = {x for i, x in enumerate(self.inputs) if mask >> i & 1}
            rules = tuple(r for r in self.rules if wanted & set(r.inputs))
            named = {p for r in rules for p in r.parameters}
            self._plans[mask] = Plan(
                tuple((r, tuple(self.inputs.index(x) for x in r.inputs)) for r in rules),
                tuple((x, i) for i, x in enumerate(self.inputs) if x in named),
                tuple((y, i) for i, y in enumerate(self.outputs) if y in named),
                tuple((f"{x}_shape", i) for i, x in enumerate(self.inputs) if f"{x}_shape" in named),
                tuple(a for a in self.attributes if a in named),
            )
        return self._plans[mask]

    # -- calling ------------------------------------------------------------------------------------

    def bind(self, args: tuple[Any, ...], attributes: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Sort a call's arguments into arrays and attributes, with defaults filled in."""
        try:
            bound = self.__signature__.bind(*args, **attributes)
        except TypeError as error:
            raise TypeError(f"{self.name}{self.__signature__}: {error}") from None
        bound.apply_defaults()
        values = bound.arguments
        return [values[x] for x in self.inputs], {a: backends.weak(values[a]) for a in self.attributes}

    def __call__(self, *args: Any, **attributes: Any) -> Any:
        if len(args) == len(self.inputs) and not attributes and not self._needs_attributes:
            given, attrs = args, self.attributes
        else:
            given, attrs = self.bind(args, attributes)
        packed = len(given) == 1 and isinstance(given[0], (tuple, list)) and any(map(_is_array, given[0]))
        if packed:
            given = given[0]

        xp, dtype, mask, arrays = None, None, 0, []
        for i, a in enumerate(given):
            if isinstance(a, Tensor):
                if a._tracked:
                    mask |= 1 << i
                a = a.data
            elif a is None or isinstance(a, backends.SCALARS):
                arrays.append(backends.weak(a))
                continue
            else:
                a = backends.to_array(a, copy=False)
            arrays.append(a)
            if xp is None:
                xp, dtype = backends.by_type[type(a)], a.dtype
            elif type(a) is not xp.array_type:
                raise self._mixed(arrays, xp)
            elif a.dtype is not dtype:
                dtype = None
        if xp is None:  # numbers only
            xp = backends.current()
            arrays = [a if a is None else backends.to_array(a) for a in arrays]
        if dtype is None or dtype.kind != "f":
            arrays = self._promoted(xp, arrays, packed)

        try:
            y = self.kernel(xp, tuple(arrays), **attrs) if packed else self.kernel(xp, *arrays, **attrs)
        except Exception as error:
            raise self._explained(error, arrays) from error
        outputs = self._settled(xp, y, arrays)
        tensors = self._recorded(xp, given, arrays, outputs, mask, attrs, packed)
        return tensors[0] if len(self.outputs) == 1 else tuple(tensors)

    def raw(self, xp: Backend) -> Callable[..., Any]:
        """This op on raw arrays of one backend: what rules call when nothing is traced."""

        def call(*args: Any, **attributes: Any) -> Any:
            given, attrs = (args, attributes) if len(args) <= len(self.inputs) else self.bind(args, attributes)
            y = self.kernel(xp, *given, **attrs)
            if type(y) is xp.array_type or type(y) is tuple:
                return y
            return xp.asarray(y)

        return call

    def _promoted(self, xp: Backend, arrays: list[Any], packed: bool) -> list[Any]:
        """Integers beside floats take the floats' dtype, so that float32 stays float32; only inputs with a rule count."""

        def counts(i: int) -> bool:
            return bool(self.differentiable) if packed else bool(self.differentiable >> i & 1)

        floats = [a.dtype for i, a in enumerate(arrays) if hasattr(a, "dtype") and a.dtype.kind == "f" and counts(i)]
        if not floats:
            return arrays
        target = xp.result_type(*floats)
        return [
            a.astype(target) if hasattr(a, "dtype") and a.dtype.kind in "iu" and counts(i) else a
            for i, a in enumerate(arrays)
        ]

    def _settled(self, xp: Backend, result: Any, arrays: list[Any]) -> Sequence[Any]:
        """The kernel's results as a sequence of arrays, never scalars; what integers alone made is float32, not float64."""
        outputs = (result,) if len(self.outputs) == 1 else result
        if type(outputs) is not tuple or len(outputs) != len(self.outputs):
            raise RuleError(f"{self.name}: the kernel must return a tuple of {', '.join(self.outputs)}")
        settled = []
        for y in outputs:
            if type(y) is not xp.array_type:
                y = xp.asarray(y)
            if y.dtype.kind == "f" and y.dtype.itemsize == 8 and self.differentiable:
                if not any(hasattr(a, "dtype") and a.dtype.kind == "f" for a in arrays):
                    y = y.astype("float32")
            settled.append(y)
        return settled

    def _recorded(
        self,
        xp: Backend,
        given: Sequence[Any],
        arrays: list[Any],
        outputs: Sequence[Any],
        mask: int,
        attrs: Mapping[str, Any],
        packed: bool,
    ) -> list[Tensor]:
        """Wrap the outputs, behind a node if anything that a rule serves needs a gradient."""
        versions = [_version(y, given) for y in outputs]
        cause: Any = None
        served = (1 if packed else mask & self.differentiable) if mask and self.differentiable else 0
        if not served or not mode.enabled:
            if served:
                cause = Cause("no_grad()", caller())
            elif mask:
                cause = Cause(f"{self.name}, which has no gradient", caller())
            else:
                cause = next((a._cause for a in given if isinstance(a, Tensor) and a._cause), None)
            return [wrap(y, None, 0, v, cause) for y, v in zip(outputs, versions, strict=True)]

        plan = self._plans.get(served) or self.plan(served)
        saved: dict[str, Any] = {}
        kept: list[tuple[str, Version, int]] = []
        for x, i in plan.inputs:
            for a in given if packed else given[i : i + 1]:
                if isinstance(a, Tensor):
                    kept.append((x, a._version, a._version.count))
            saved[x] = tuple(arrays) if packed else arrays[i]
        for y, i in plan.outputs:
            saved[y] = outputs[i]
            kept.append((y, versions[i], versions[i].count))
        for x, i in plan.shapes:
            saved[x] = tuple(a.shape for a in arrays) if packed else getattr(arrays[i], "shape", ())
        for a in plan.attributes:
            saved[a] = attrs[a]

        edges: list[Any] = []
        specs: list[Any] = []
        for i, a in enumerate(given):
            if not isinstance(a, Tensor):
                edges.append(None)
                specs.append(None)
            elif not a._tracked:
                edges.append(a._cause)
                specs.append(None)
            elif packed or served >> i & 1:
                edges.append(a if a._node is None else (a._node, a._index))
                specs.append((a.data.shape, a.data.dtype))
            else:
                edges.append(Cause(f"{self.name}, which has no rule for {self.inputs[i]!r}", caller()))
                specs.append(None)
        node = Node(self, xp, plan, edges, specs, saved, kept, len(outputs), packed, caller())
        return [
            wrap(y, node if y.dtype.kind == "f" else None, i, v, None)
            for i, (y, v) in enumerate(zip(outputs, versions, strict=True))
        ]

    # -- errors -------------------------------------------------------------------------------------

    def _described(self, arrays: Sequence[Any]) -> str:
        names = self.inputs if len(self.inputs) >= len(arrays) else tuple(f"{self.inputs[0]}[{i}]" for i in range(len(arrays)))
        return ", ".join(
            f"{x} {a.shape} {a.dtype}" if hasattr(a, "dtype") else f"{x} {a}" for x, a in zip(names, arrays, strict=False)
        )

    def _explained(self, error: Exception, arrays: Sequence[Any]) -> Exception:
        """The kernel's error with the op's name and every input's shape and dtype."""
        message = f"{self.name}({self._described(arrays)}): {error}"
        if isinstance(error, TypeError):
            return DTypeError(message)
        if isinstance(error, (ValueError, IndexError)):
            return ShapeError(message)
        error.add_note(f"in {message}")
        return error

    def _mixed(self, arrays: Sequence[Any], xp: Backend) -> BackendError:
        homes = [home.name for a in arrays if (home := backends.of(a))]
        return BackendError(
            f"{self.name}({self._described(arrays)}): inputs on different backends ({', '.join(homes)}); "
            f"bring them together, for example with x.to({xp.name!r})"
        )


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor) or backends.of(value) is not None


def _version(y: Any, given: Sequence[Any]) -> Version:
    """The version counter of an output: an input's where they share memory, else a new one."""
    root = y if y.base is None else backends.storage(y)
    for a in given:
        if isinstance(a, Tensor) and (a.data is root or (a.data.base is not None and backends.storage(a.data) is root)):
            return a._version
    return Version()


def op(
    kernel: Callable[..., Any] | None = None, *, outputs: tuple[str, ...] = ("y",), broadcasts: bool = False
) -> Any:
    """Make a differentiable op from a kernel; its gradient rules follow with ``@name.gradient("x", formula=...)``.

    Args:
        kernel: ``(xp, *inputs, **attributes)``. Positional parameters are arrays, or one tuple of arrays;
            keyword-only ones are attributes. It returns an array, or a tuple of them for several outputs.
        outputs: names of what it returns. Boolean and integer outputs are constants.
        broadcasts: whether its inputs broadcast against each other; the engine then sums each rule's result
            back to its input's shape.
    """
    if kernel is None:
        return lambda function: op(function, outputs=outputs, broadcasts=broadcasts)
    made = Op(kernel, outputs, broadcasts)
    (OPS if made.own else USER_OPS)[made.name] = made
    return made
