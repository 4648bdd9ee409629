"""Gradients as functions: `backward`, `grad`, `vjp`, `jvp`, `hvp`, and `why` there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, overload

from minigan import backends
from minigan.autodiff.graph import Watch, reachable, total, walk
from minigan.autodiff.registry import OPS
from minigan.autodiff.tensor import Tensor, wrap
from minigan.autodiff.trace import Cause, mode, place, recording
from minigan.errors import BackendError, MissingGradient, ShapeError


def backward(output: Tensor, gradient: Any, retain: bool) -> None:
    """`Tensor.backward`."""
    for leaf, arrived in pull(output, gradient, "backward", None, retain):
        held = leaf.grad
        leaf.grad = wrap(arrived if held is None else total(held.data, arrived), None, [0, None], None)


def pull(
    output: Tensor,
    gradient: Any,
    who: str,
    targets: Sequence[Tensor] | None = None,
    retain: bool = True,
    watch: Watch | None = None,
) -> list[tuple[Tensor, Any]]:
    """One walk from one output, on raw arrays: `walk`'s result; `who` is to be named in errors."""
    if not output._tracked:
        raise MissingGradient(f"{who}(): no gradient can flow from this tensor: {_constant(output)}")
    seed = _arriving(output, gradient, who, traced=False)
    return walk([output._edge or output], [seed], targets, False, retain, watch)


@overload
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor,
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: Literal[False] = False,
) -> Tensor: ...
@overload
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: list[Tensor] | tuple[Tensor, ...],
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: Literal[False] = False,
) -> tuple[Tensor, ...]: ...
@overload
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | list[Tensor] | tuple[Tensor, ...],
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Any: ...
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Any:
    """Gradients of the sum of `outputs` with respect to any tensors, intermediates included; nothing else is computed.

    Args:
        outputs: one tensor or several.
        inputs: one tensor or several: leaves, or results of ops such as a generator's images.
        grad_outputs: what arrives at each output, of its shape; 1 for scalars when left out.
        create_graph: record the computation, so that the results can be differentiated again.
        retain_graph: keep what was saved for another pass; as `create_graph` when left out.
        allow_unused: give None instead of raising where nothing can arrive.

    Returns:
        One Tensor for one input, a tuple for a list or tuple; each of its input's shape and dtype, and the caller's own.

    Raises:
        MissingGradient: nothing can arrive at an input; the message says why.
        FreedGraph: an earlier pass freed what this one needs.
        ShapeError: an output is not a scalar and no gradient for it was given.

    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> g = mg.grad((x**3).sum(), x, create_graph=True)
    >>> g.numpy().tolist()
    [3.0, 12.0]
    >>> mg.grad(g.sum(), x).numpy().tolist()
    [6.0, 12.0]
    """
    outs = tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)
    ins = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    for t in (*outs, *ins):
        if not isinstance(t, Tensor):
            raise TypeError(
                f"grad() differentiates Tensors by Tensors, got {type(t).__name__}; make it with minigan.tensor"
            )
    if grad_outputs is None:
        given: tuple[Any, ...] = (None,) * len(outs)
    else:
        given = (grad_outputs,) if isinstance(outputs, Tensor) else tuple(grad_outputs)
    if len(given) != len(outs):
        raise ShapeError(f"grad() got {len(given)} grad_outputs for {len(outs)} outputs")

    pairs = [(t, g) for t, g in zip(outs, given, strict=True) if t._tracked]
    with recording(mode.enabled or create_graph):
        seeds = [_arriving(t, g, "grad", create_graph) for t, g in pairs]
        retain = create_graph if retain_graph is None else retain_graph
        found = walk([t._edge or t for t, _ in pairs], seeds, ins, create_graph, retain)
    reached, arrived = {id(t) for t, _ in found}, iter(found)
    results: list[Tensor | None] = []
    for t in ins:
        if id(t) in reached:
            g = next(arrived)[1]
            results.append(g if create_graph else wrap(g, None, [0, None], None))
        elif allow_unused:
            results.append(None)
        else:
            raise MissingGradient(f"grad(): {_missing(t, outs)}; allow_unused=True gives None instead")
    return tuple(results) if isinstance(inputs, (tuple, list)) else results[0]


def vjp(function: Callable[..., Any], *inputs: Any) -> tuple[Any, Callable[..., Any]]:
    """The value of ``function(*inputs)`` and its pullback.

    Args:
        function: of Tensors; a layer counts as a function of its inputs, its parameters are constants.
        inputs: arrays or Tensors.

    Returns:
        ``y, pullback``. ``pullback(dy)`` gives one gradient for one input, else a tuple, with zeros where `y` does not
        depend on an input; it may be called again.

    Raises:
        ShapeError: from the pullback, for a `dy` that is not of the shape of `y`.

    >>> y, pullback = mg.vjp(mg.ops.matmul, [[1.0, 2.0]], [3.0, 4.0])
    >>> y.numpy().tolist()
    [11.0]
    >>> [gradient.numpy().tolist() for gradient in pullback([10.0])]
    [[[30.0, 40.0]], [10.0, 20.0]]
    """
    xs = tuple(_leaf(x) for x in inputs)
    with recording(True):
        y = function(*xs)
    ys = y if isinstance(y, tuple) else (y,)

    def pullback(*dy: Any) -> Any:
        given = dy[0] if len(dy) == 1 and isinstance(dy[0], tuple) else dy
        grads = grad(ys, xs, given, retain_graph=True, allow_unused=True)
        results = tuple(_or_zeros(g, x) for g, x in zip(grads, xs, strict=True))
        return results[0] if len(xs) == 1 else results

    return (tuple(t.detach() for t in ys) if isinstance(y, tuple) else y.detach()), pullback


def jvp(function: Callable[..., Any], inputs: Any, tangents: Any) -> tuple[Any, Any]:
    """The value of the function and its derivative along `tangents`, from two backward passes.

    The pullback is linear in what arrives, so its own pullback is the forward derivative.

    Args:
        function: of Tensors; a layer's parameters are constants.
        inputs: an array or Tensor, or a tuple of them.
        tangents: one a input, of its shape.

    Returns:
        ``y, dy``; zeros where `y` does not depend on the inputs.

    Raises:
        ShapeError: other numbers or shapes of tangents than of inputs.

    >>> y, dy = mg.jvp(mg.ops.exp, 0.0, 3.0)
    >>> y.item(), dy.item()
    (1.0, 3.0)
    """
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    along = tangents if isinstance(tangents, tuple) else (tangents,)
    if len(given) != len(along):
        raise ShapeError(f"jvp() got {len(along)} tangents for {len(given)} inputs")
    xs = tuple(_leaf(x) for x in given)
    with recording(True):
        y = function(*xs)
    ys = y if isinstance(y, tuple) else (y,)
    dummies = tuple(_zeros(t, requires_grad=True) for t in ys)
    back = grad(ys, xs, dummies, create_graph=True, allow_unused=True)
    pairs = [(g, t) for g, t in zip(back, along, strict=True) if g is not None and g._tracked]
    forward: Any = (None,) * len(ys)
    if pairs:
        forward = grad([g for g, _ in pairs], dummies, [t for _, t in pairs], allow_unused=True)
    dys = tuple(_or_zeros(g, t) for g, t in zip(forward, ys, strict=True))
    return (tuple(t.detach() for t in ys), dys) if isinstance(y, tuple) else (y.detach(), dys[0])


def hvp(function: Callable[..., Tensor], x: Any, v: Any) -> Tensor:
    """The Hessian of a scalar function at `x` times `v`: the gradient of <gradient, v>. Zeros where it is linear.

    Args:
        function: of one Tensor, giving a scalar Tensor.
        x: an array or Tensor.
        v: of x's shape.

    Returns:
        A Tensor of x's shape.

    Raises:
        ShapeError: the function gives more than one number, or `v` has another shape.

    >>> mg.hvp(lambda x: (x**3).sum(), x=[1.0, 2.0], v=[1.0, 1.0])
    Tensor([ 6. 12.], float32, shape (2,))
    """
    leaf = _leaf(x)
    with recording(True):
        y = function(leaf)
    first = grad(y, leaf, create_graph=True, allow_unused=True)
    if first is None or not first._tracked:
        return _zeros(leaf)
    return _or_zeros(grad(first, leaf, v, allow_unused=True), leaf)


def why(x: Tensor) -> str:
    """Why ``x.grad`` is None, or that it is not, in one sentence.

    >>> mg.why(mg.tensor([1.0, 2.0]))
    'a tensor of shape (2,) does not require a gradient: make it with requires_grad=True'
    """
    if x.grad is not None:
        return f"{x.label} has a gradient"
    if not x._tracked:
        return _constant(x)
    if x._edge is not None:
        node = x._edge[0]
        return (
            f"{x.label} is the result of {node.plan.op.name} at {place(node.where)}: backward() leaves gradients at leaves only; "
            "mg.grad(loss, x) gives this one"
        )
    return (
        f"{x.label} requires a gradient and none has arrived: backward() has not run since it was made or cleared, "
        "or the loss does not depend on it; mg.grad(loss, x) would say which"
    )


def _constant(x: Tensor) -> str:
    """Why x carries no gradient."""
    if x.dtype.kind != "f":
        return f"{x.label} is of dtype {x.dtype}, and only floats have gradients"
    if x._cause is not None:
        return f"{x.label} was cut from its graph by {x._cause}"
    return f"{x.label} does not require a gradient: make it with requires_grad=True"


def _missing(x: Tensor, outputs: Sequence[Tensor]) -> str:
    """Why nothing arrives at x from the outputs."""
    if not x._tracked:
        return f"nothing can arrive: {_constant(x)}"
    constant = next((t for t in outputs if not t._tracked), None)
    if constant is not None and len(outputs) == 1:
        return f"nothing flows from the output: {_constant(constant)}"
    nodes = reachable([t._edge or t for t in outputs])
    cuts = [str(route) for node in nodes for route in node.routes if isinstance(route, Cause)]
    hint = f"; the graph was cut by {cuts[0]}" if cuts else ""
    return f"{x.label} is not on any path to the outputs{hint}"


def _arriving(output: Tensor, gradient: Any, who: str, traced: bool) -> Any:
    """The gradient that starts a walk at `output`."""
    if gradient is None:
        if output.size != 1:
            raise ShapeError(
                f"{who}() of a tensor of shape {output.shape} needs the gradient that arrives there, of the same shape; "
                "only a scalar has 1 by default: reduce it with .mean() or .sum(), or give one"
            )
        gradient = output._home.ones_like(output.data)
    seed = gradient
    if not isinstance(gradient, Tensor):
        seed = wrap(backends.to_array(gradient, False, output._home, output.dtype), None, [0, None], None)
    if seed.shape != output.shape:
        raise ShapeError(f"{who}() got a gradient of shape {seed.shape} for an output of shape {output.shape}")
    if seed.backend != output.backend:
        raise BackendError(
            f"{who}() got a gradient on {seed.backend} for an output on {output.backend}; "
            f"bring them together with gradient.to({output.backend!r})"
        )
    if traced:
        return seed if seed.dtype == output.dtype else OPS["astype"](seed, dtype=str(output.dtype))
    return seed.data if seed.dtype == output.dtype else seed.data.astype(output.dtype)


def _leaf(x: Any) -> Tensor:
    """x as a fresh leaf that requires a gradient if it is of floats; memory is shared."""
    t = x.detach() if isinstance(x, Tensor) else Tensor(x, copy=False)
    t.requires_grad = t.dtype.kind == "f"
    return t


def _zeros(like: Tensor, requires_grad: bool = False) -> Tensor:
    zeros = wrap(like._home.zeros_like(like.data), None, [0, None], None)
    zeros.requires_grad = requires_grad
    return zeros


def _or_zeros(gradient: Tensor | None, like: Tensor) -> Tensor:
    return _zeros(like) if gradient is None else gradient
