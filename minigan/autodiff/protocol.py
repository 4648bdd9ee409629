"""The op protocol: a kernel (arrays in, arrays out), a gradient rule for each input, and the call that joins them.

A rule is ordinary array mathematics written by hand. It is called with raw arrays when training, with
Tensors when the gradient itself is to be differentiated, and its formula is what a student reads.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Generic, TypeVar, overload

from minigan import backends
from minigan.autodiff.graph import Node
from minigan.autodiff.registry import OPS, USER_OPS
from minigan.autodiff.tensor import Tensor, wrap
from minigan.autodiff.trace import Cause, Version, caller, mode
from minigan.backends import Backend, by_type, storage
from minigan.errors import BackendError, DTypeError, RuleError, ShapeError

Result = TypeVar("Result")  # of a call: a Tensor, or for several outputs a tuple of them

PACKED = -1  # the plan of a call with one tuple of arrays


class Rule:
    """A hand-written gradient.

    Attributes:
        inputs: names of the inputs that it serves.
        function: ``(F, *parameters)``; its parameter list says what must be kept.
        formula: the rule in LaTeX.
        key: the name under which a backend may hold a fused version, None for users' ops.
        pick: takes the function's arguments out of a dict.
    """

    def __init__(self, op: Op[Any], inputs: tuple[str, ...], function: Callable[..., Any], formula: str) -> None:
        self.inputs, self.function, self.formula = inputs, function, formula
        self.parameters = tuple(inspect.signature(function).parameters)[1:]
        self.key = (op.name, inputs) if op.own else None
        self.pick = itemgetter(*self.parameters) if len(self.parameters) > 1 else self._pick_few

    def _pick_few(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(values[p] for p in self.parameters)


@dataclass(frozen=True, slots=True)
class Plan:
    """For one set of inputs that need a gradient: the rules to call, and all that they name. Nothing else is saved."""

    op: Op[Any]
    arrivals: tuple[tuple[str, int], ...]  # the gradients that arrive, d<output>, each with its output's position
    packed: bool
    rules: tuple[tuple[Rule, tuple[int, ...]], ...]  # each with the positions of its inputs
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    shapes: tuple[tuple[str, int], ...]
    attributes: tuple[str, ...]


class Op(Generic[Result]):
    """A differentiable function of arrays, made by `minigan.op`; called with Tensors, arrays or numbers.

    Positional arguments are the arrays; any that follow fill the attributes in the order of the kernel's
    signature, so that ``leaky_relu(x, 0.2)`` and ``leaky_relu(x, negative_slope=0.2)`` are the same.
    """

    def __init__(self, kernel: Callable[..., Any], outputs: tuple[str, ...], broadcasts: bool) -> None:
        self.kernel, self.outputs, self.broadcasts = kernel, outputs, broadcasts
        self.name = self.__name__ = kernel.__name__
        self.own = str(kernel.__module__).startswith("minigan.ops")
        self.__doc__, self.__module__ = kernel.__doc__, kernel.__module__
        _, *parameters = inspect.signature(kernel).parameters.values()
        self.__signature__ = inspect.Signature([p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in parameters])
        self.inputs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        self.attributes = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        # how many arguments a call may have that needs no sorting
        self._plain = -1 if inspect.Parameter.empty in self.attributes.values() else len(self.inputs)
        self.rules: list[Rule] = []
        self.differentiable = 0  # bit i: input i has a rule
        self._plans: dict[int, Plan] = {}

    def __repr__(self) -> str:
        return f"<minigan op {self.name}{self.__signature__}>"

    def gradient(self, *inputs: str, formula: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register the rule for one input, or a joint one that returns a tuple.

        Its first parameter is ``F``, minigan's ops by name. The others are any of: ``d<output>`` (None where
        nothing arrives), inputs, outputs, attributes, ``<input>_shape``; what they name is saved, and nothing else.

        Args:
            inputs: names of the kernel's array parameters.
            formula: the rule in LaTeX, as a reader would write it.

        Raises:
            RuleError: a name that the op does not have.
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            parameters = tuple(inspect.signature(function).parameters)
            known = {*self.inputs, *self.outputs, *self.attributes, *(f"{x}_shape" for x in self.inputs)}
            known |= {f"d{y}" for y in self.outputs}
            unknown = [p for p in parameters[1:] if p not in known] + [x for x in inputs if x not in self.inputs]
            if unknown or not inputs or parameters[:1] != ("F",):
                raise RuleError(
                    f"{self.name}.gradient{inputs}: {', '.join(unknown) or 'the first parameter'} is not known; a rule takes F "
                    f"and any of {', '.join(sorted(known))}, and serves inputs among {', '.join(self.inputs)}"
                )
            self.rules = [r for r in self.rules if r.inputs != inputs] + [Rule(self, inputs, function, formula)]
            for x in inputs:
                self.differentiable |= 1 << self.inputs.index(x)
            self._plans.clear()
            return function

        return register

    def plan(self, served: int) -> Plan:
        """What must be kept so that the inputs whose bits are set in `served` can have their gradients."""
        if served not in self._plans:
            wanted = {x for i, x in enumerate(self.inputs) if served >> i & 1}
            rules = [r for r in self.rules if wanted & set(r.inputs)]
            named = {p for r in rules for p in r.parameters}
            self._plans[served] = Plan(
                self,
                tuple((f"d{y}", i) for i, y in enumerate(self.outputs)),
                served == PACKED,
                tuple((r, tuple(self.inputs.index(x) for x in r.inputs)) for r in rules),
                tuple((x, i) for i, x in enumerate(self.inputs) if x in named),
                tuple((y, i) for i, y in enumerate(self.outputs) if y in named),
                tuple((f"{x}_shape", i) for i, x in enumerate(self.inputs) if f"{x}_shape" in named),
                tuple(a for a in self.attributes if a in named),
            )
        return self._plans[served]

    # -- calling ------------------------------------------------------------------------------------

    def bind(self, args: tuple[Any, ...], attributes: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Sort a call's arguments into arrays and attributes, with defaults filled in."""
        try:
            bound = self.__signature__.bind(*args, **attributes)
        except TypeError as error:
            raise TypeError(f"{self.name}{self.__signature__}: {error}") from None
        bound.apply_defaults()
        values = bound.arguments
        for a in self.attributes:
            values[a] = backends.weak(values[a])
            if getattr(getattr(values[a], "dtype", None), "kind", "") == "f":
                raise DTypeError(
                    f"{self.name}: the attribute {a} is a floating array, through which no gradient would flow; "
                    "what is differentiated must be an input of the op"
                )
        return [values[x] for x in self.inputs], {a: values[a] for a in self.attributes}

    def __call__(self, *args: Any, **attributes: Any) -> Result:
        if attributes or len(args) != self._plain:
            return self._run(*self.bind(args, attributes))
        return self._run(args, self.attributes)

    def raw(self, xp: Backend) -> Callable[..., Any]:
        """This op on raw arrays of one backend: what rules call when nothing is traced."""
        kernel, count, array_type = self.kernel, len(self.inputs), xp.array_type

        def call(*args: Any, **attributes: Any) -> Any:
            given, attrs = self.bind(args, attributes) if len(args) > count else (args, attributes)
            y = kernel(xp, *given, **attrs)
            return y if type(y) is array_type or type(y) is tuple or type(y) in by_type else xp.asarray(y)

        return call

    def _run(self, given: Sequence[Any], attrs: Mapping[str, Any], packed: bool = False) -> Any:
        """Compute on the arrays behind `given`, and record the call where a gradient may be wanted."""
        xp: Any = None
        dtype: Any = None
        mask, bit = 0, 1
        arrays: list[Any] = []
        for a in given:
            if isinstance(a, Tensor):
                if a._tracked:
                    mask |= bit
                a = a.data
            elif a is None or isinstance(a, backends.SCALARS):
                arrays.append(backends.weak(a))
                bit += bit
                continue
            elif isinstance(a, (tuple, list)) and len(given) == 1 and any(map(_is_array, a)):
                return self._run(a, attrs, packed=True)
            else:
                try:
                    a = backends.to_array(a, copy=False)
                except DTypeError as error:
                    raise DTypeError(f"{self.name}(): {error}") from None
            bit += bit
            arrays.append(a)
            if xp is None:
                xp, dtype = by_type[type(a)], a.dtype
            elif type(a) is not xp.array_type:
                raise self._mixed(arrays, xp)
            elif a.dtype is not dtype:
                dtype = None
        if xp is None:  # numbers only
            xp = backends.current()
            arrays = [a if a is None else backends.to_array(a) for a in arrays]
        uniform = dtype is not None and dtype.kind == "f"
        if not uniform:
            arrays = self._promoted(xp, arrays, packed)

        try:
            y = self.kernel(xp, tuple(arrays), **attrs) if packed else self.kernel(xp, *arrays, **attrs)
        except Exception as error:
            raise self._explained(error, arrays) from error
        outputs: Sequence[Any] = (y,)
        if type(y) is not xp.array_type or not uniform or len(self.outputs) > 1:
            outputs = self._settled(xp, y, arrays)

        served = mask & self.differentiable if not packed else PACKED if mask and self.differentiable else 0
        versions: list[Version] = []
        for y in outputs:
            shared = y.base is not None
            for a in arrays:
                shared = shared or a is y
            versions.append(_shared(y, given) if shared else [0, None])
        node = cause = None
        if served and mode.enabled:
            node = self._node(xp, given, arrays, outputs, versions, served, attrs)
        else:
            cause = self._cause(given, mask, served)
        if len(outputs) == 1:
            return wrap(y, (node, 0) if node is not None and y.dtype.kind == "f" else None, versions[0], cause)
        edges = [(node, i) if node is not None and y.dtype.kind == "f" else None for i, y in enumerate(outputs)]
        return tuple(wrap(y, edge, version, cause) for y, edge, version in zip(outputs, edges, versions, strict=True))

    def _node(
        self,
        xp: Backend,
        given: Sequence[Any],
        arrays: list[Any],
        outputs: Sequence[Any],
        versions: list[Version],
        served: int,
        attrs: Mapping[str, Any],
    ) -> Node:
        """What the rules will need, and where each gradient goes."""
        plan = self._plans.get(served) or self.plan(served)
        saved: dict[str, Any] = {}
        kept: list[tuple[str, Version, int]] = []
        for x, i in plan.inputs:
            saved[x] = tuple(arrays) if plan.packed else arrays[i]
            if plan.packed:
                kept += [(x, a._version, a._version[0]) if isinstance(a, Tensor) else (x, [0, None], 0) for a in given]
            elif isinstance(a := given[i], Tensor):
                kept.append((x, a._version, a._version[0]))
        for y, i in plan.outputs:
            saved[y] = outputs[i]
            kept.append((y, versions[i], versions[i][0]))
        for x, i in plan.shapes:
            saved[x] = tuple(a.shape for a in arrays) if plan.packed else getattr(arrays[i], "shape", ())
        for name in plan.attributes:
            saved[name] = attrs[name]

        routes: list[Any] = []
        for a in given:
            if not isinstance(a, Tensor):
                routes.append(None)
            elif not a._tracked:
                routes.append(a._cause)
            elif served & 1:
                routes.append((a._edge or a, a.data.shape, a.data.dtype))
            else:
                routes.append(Cause(f"{self.name}, which has no rule for its input {len(routes)}", caller()))
            served = served if plan.packed else served >> 1
        return Node(plan, xp, routes, saved, kept, caller(4))

    def _cause(self, given: Sequence[Any], mask: int, served: int) -> Cause | None:
        """Why the outputs are constants."""
        if served:
            return Cause("no_grad()", caller())
        if mask:
            return Cause(f"{self.name}, which has no gradient", caller())
        return next((a._cause for a in given if isinstance(a, Tensor) and a._cause), None)

    def _promoted(self, xp: Backend, arrays: list[Any], packed: bool) -> list[Any]:
        """Integers beside floats take the floats' dtype, so that float32 stays float32; only inputs with a rule count."""
        counts = [hasattr(a, "dtype") and self.differentiable >> (0 if packed else i) & 1 for i, a in enumerate(arrays)]
        floats = [a.dtype for a, counted in zip(arrays, counts, strict=True) if counted and a.dtype.kind == "f"]
        if not floats:
            return arrays
        target = xp.result_type(*floats)
        return [
            a.astype(target) if counted and a.dtype.kind in "iu" else a
            for a, counted in zip(arrays, counts, strict=True)
        ]

    def _settled(self, xp: Backend, result: Any, arrays: list[Any]) -> Sequence[Any]:
        """The kernel's results as arrays, never scalars; a float that integers alone made is float32, the default."""
        outputs = (result,) if len(self.outputs) == 1 else result
        if type(outputs) is not tuple or len(outputs) != len(self.outputs):
            raise RuleError(f"{self.name}: the kernel must return a tuple of {', '.join(self.outputs)}")
        settled = [y if type(y) in by_type else xp.asarray(y) for y in outputs]
        if self.differentiable and not any(hasattr(a, "dtype") and a.dtype.kind == "f" for a in arrays):
            settled = [y.astype("float32") if y.dtype.kind == "f" else y for y in settled]
        return settled

    # -- errors -------------------------------------------------------------------------------------

    def _described(self, arrays: Sequence[Any]) -> str:
        names = (
            self.inputs if len(arrays) <= len(self.inputs) else [f"{self.inputs[0]}[{i}]" for i in range(len(arrays))]
        )
        return ", ".join(
            f"{x} {a.shape} {a.dtype}" if hasattr(a, "dtype") else f"{x} {a}"
            for x, a in zip(names, arrays, strict=False)
            if a is not None or len(arrays) == 1
        )

    def _explained(self, error: Exception, arrays: Sequence[Any]) -> Exception:
        """The kernel's error with the op's name and every input's shape and dtype."""
        message = f"{self.name}({self._described(arrays)}): {error}"
        if isinstance(error, TypeError):
            return DTypeError(message)
        if isinstance(error, AttributeError):
            return DTypeError(f"{message}; is a number given where an array is needed?")
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


def _shared(y: Any, given: Sequence[Any]) -> Version:
    """The version of an output that may be a view: an input's where they share memory, else a new one."""
    root = storage(y)
    for a in given:
        if isinstance(a, Tensor) and storage(a.data) is root:
            return a._version
    return [0, None]


@overload
def op(kernel: Callable[..., Any], /) -> Op[Tensor]: ...
@overload
def op(*, broadcasts: bool = False) -> Callable[[Callable[..., Any]], Op[Tensor]]: ...
@overload
def op(
    *, outputs: tuple[str, ...], broadcasts: bool = False
) -> Callable[[Callable[..., Any]], Op[tuple[Tensor, ...]]]: ...
def op(kernel: Callable[..., Any] | None = None, *, outputs: tuple[str, ...] = ("y",), broadcasts: bool = False) -> Any:
    r"""Make a differentiable op from a kernel; its gradient rules follow with ``@name.gradient("x", formula=...)``.

    Args:
        kernel: ``(xp, *inputs, **attributes)``. Positional parameters are arrays, or one tuple of arrays;
            keyword-only ones are attributes. It returns an array, or a tuple of them for several outputs.
        outputs: names of what it returns. Boolean and integer outputs are constants.
        broadcasts: whether its inputs broadcast against each other; the engine then sums each rule's result
            back to its input's shape.

    Returns:
        An `Op`, called as a function of Tensors, arrays or numbers.

    >>> @mg.op
    ... def cube(xp, x):
    ...     return x**3
    >>> @cube.gradient("x", formula=r"\partial L/\partial x = 3 x^2 \, \partial L/\partial y")
    ... def _(F, dy, x):
    ...     return 3 * x**2 * dy
    >>> x = mg.tensor(2.0, requires_grad=True)
    >>> mg.grad(cube(x), x).item()
    12.0
    """

    def make(kernel: Callable[..., Any]) -> Op[Any]:
        made: Op[Any] = Op(kernel, outputs, broadcasts)
        (OPS if made.own else USER_OPS)[made.name] = made
        return made

    return make if kernel is None else make(kernel)
