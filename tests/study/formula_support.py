r"""Formulas of gradient rules, computed: the LaTeX that is typeset elsewhere, read as arithmetic on float64 arrays.

Names beside each other are multiplied, element by element; ``\;`` is a matrix product and ``\top`` a transpose. A function is of
the factor that follows it; ``[condition]`` is 1 where it holds. ``n``, ``\operatorname{sum}`` and ``\operatorname{mean}`` are over
the axes that the op sums over, which stay with length 1.
"""

from dataclasses import replace
from math import prod

import numpy as np
from autodiff.rule_checks import tokens

from minigan.autodiff.registry import OPS
from minigan.study import formula

COMPARED = {"=": np.equal, ">": np.greater, "<": np.less, r"\le": np.less_equal, r"\ge": np.greater_equal}
FUNCTIONS = {
    **{name: getattr(np, name) for name in ("exp", "log", "sin", "cos", "sign")},
    "sigma": lambda x: 1 / (1 + np.exp(-x)),
}
ABSENT = {"weight": 1.0, "min": -np.inf, "max": np.inf}  # what is left out is the same as these
ENDS = {"+", "-", ")", "]", "}", *COMPARED}  # of a product


class Unreadable(Exception):
    """A formula says more than arithmetic can."""


class Formula:
    """A rule's text with a value for each of its names.

    Args:
        text: of the rule.
        values: numbers and arrays by name, and the gradients that arrive by ``"d"`` and the output's name.
        axes: those that sums are over.
        shape: of the input whose gradient is asked for.

    Raises:
        Unreadable: when a gradient is computed that the formula does not give in numbers.
    """

    def __init__(self, text, values, axes=(), shape=()):
        self.values, self.axes, self.shape = values, axes, shape
        parts = [tokens(part) for part in formula.parts(text)]
        self.defined = {part[0]: part[2:] for part in parts}

    def gradient(self, x):
        return settled(self.value("derivative", x), self.shape)

    def value(self, kind, name):
        if (kind, name) in self.defined:
            return Reading(self.defined[kind, name], self).whole()
        key = name if kind == "symbol" else f"d{name}"
        if key not in self.values:
            raise Unreadable(f"{name} has no value")
        return self.values[key]

    def call(self, function, x):
        if function in FUNCTIONS:
            return FUNCTIONS[function](x)
        if function in ("sum", "mean"):
            return getattr(np, function)(x, axis=self.axes, keepdims=True)
        if function in ("sum_to", "broadcast_to", "broadcast", "reshape"):
            return settled(x, self.shape)
        raise Unreadable(f"{function} is more than arithmetic")


class Reading:
    """The tokens of one expression, computed from left to right."""

    def __init__(self, left, formula):
        self.left, self.formula = [*left], formula

    def is_next(self, *texts):
        return bool(self.left) and self.left[0][1] in texts

    def take(self, *texts):
        return self.left.pop(0)[1] if self.is_next(*texts) else ""

    def whole(self):
        value = self.sum()
        if self.left:
            raise Unreadable(f"{self.left[0][1]} is left over")
        return value

    def sum(self):
        total = -self.product() if self.take("-") else self.product()
        while sign := self.take("+", "-"):
            total = total + self.product() if sign == "+" else total - self.product()
        return total

    def product(self):
        value = self.factor()
        while self.left and not self.is_next(*ENDS):
            if self.take("/"):
                value = value / self.factor()
            elif self.take(r"\;"):
                value = value @ self.factor()
            else:
                value = value * self.factor()
        return value

    def factor(self):
        self.take(r"\,")
        value = self.atom()
        if self.take("^"):
            value = value.swapaxes(-2, -1) if self.take(r"\top") else value ** self.atom()
        return value

    def atom(self):
        kind, text = self.left.pop(0) if self.left else ("", "the end")
        if kind in ("derivative", "symbol"):
            return self.formula.value(kind, text)
        if kind == "number":
            return np.float64(text)
        if kind == "function":
            return self.formula.call(text, self.factor())
        if text in "({":
            return self.closed(self.sum(), ")}")
        if text == "[":
            return self.closed(self.condition(), "]")
        if text == r"\tfrac":
            return self.atom() / self.atom()
        if text == r"\sqrt":
            return np.sqrt(self.atom())
        raise Unreadable(f"{text} has no value")

    def condition(self):
        negated = bool(self.take(r"\lnot"))
        holds = self.sum()
        if relation := self.take(*COMPARED):
            holds = COMPARED[relation](holds, self.sum())
        return np.not_equal(holds, negated).astype(float)

    def closed(self, value, brackets):
        if not self.take(*brackets):
            raise Unreadable("several arguments")
        return value


def unreadable(rule):
    """Why a rule's formula cannot be computed; "" where it can."""
    values = dict.fromkeys(rule.parameters, np.ones((1, 1))) | {"n": 2}
    try:
        for x in rule.inputs:
            Formula(rule.formula, values).gradient(x)
    except Unreadable as error:
        return str(error)
    return ""


def by_formula(call, arriving, rule, x):
    """The gradient that a rule's formula gives for an input of a call."""
    op = OPS[call.name]
    outputs = replace(call, reads=tuple(range(len(op.outputs))))(*call.variables.values())
    values = {y: t.numpy() for y, t in zip(op.outputs, outputs, strict=True)}
    values |= {f"d{y}": np.zeros(a.shape) for y, a in values.items()}
    values |= {f"d{op.outputs[i]}": g for i, g in zip(call.reads, arriving, strict=True)}
    values |= dict.fromkeys(op.inputs) | op.attributes | call.attributes | call.inputs
    values |= {name: ABSENT.get(name) for name, value in values.items() if value is None}
    axes, whole = axes_of(call), np.shape(values.get("x"))
    values |= with_axes(values, whole, axes) | {"n": prod(whole[a] for a in axes)}
    shape = call.inputs[x].shape
    if call.name in ("matmul", "linear"):
        matrices = as_matrices(values, *op.inputs[:2])
        values |= matrices
        return Formula(rule.formula, values, axes, matrices.get(x, values[x]).shape).gradient(x).reshape(shape)
    return Formula(rule.formula, values, axes, shape).gradient(x)


def axes_of(call):
    """The axes that an op's rules sum over: those that it reduces, all but the channels', or all but the last."""
    count = np.ndim(call.inputs.get("x"))
    if call.name in ("sum", "mean", "var", "max", "min", "softmax", "log_softmax"):
        axis = call.attributes["axis"]
        return tuple(range(count)) if axis is None else tuple(a % count for a in np.atleast_1d(np.array(axis, int)))
    if call.name.startswith(("batch_norm", "conv")):
        return (0, *range(2, count))
    if call.name == "standardize":
        return tuple(range(count - call.attributes["ndim"], count))
    if call.name == "linear":
        return tuple(range(count - 1))
    return tuple(range(count)) if call.name in ("bce_with_logits", "mse_loss", "l1_loss") else ()


def with_axes(values, shape, axes):
    """Arrays that lack the axes, such as a channel's statistics, with those of length 1."""
    without = tuple(n for i, n in enumerate(shape) if i not in axes)
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return {name: a.reshape(kept) for name, a in values.items() if isinstance(a, np.ndarray) and a.shape == without}


def as_matrices(values, left, right):
    """Vectors in a matrix product: a row on the left, a column on the right, and what arrives as their product would be."""
    a, b, dy = values[left], values[right], values["dy"]
    dy = dy[..., None, :] if a.ndim == 1 and b.ndim > 1 else dy[..., None] if a.ndim == 1 else dy
    dy = dy[..., None] if b.ndim == 1 else dy
    return {left: np.atleast_2d(a), right: b[:, None] if b.ndim == 1 else b, "dy": dy}


def settled(a, shape):
    """In a shape: with fewer or more axes of length 1, or repeated along them, or summed."""
    a = np.asarray(a)
    if a.size == prod(shape):
        return a.reshape(shape)
    if np.broadcast_shapes(a.shape, shape) == shape:
        return np.broadcast_to(a, shape)
    extra = a.ndim - len(shape)
    return a.sum(axis=(*range(extra), *(extra + i for i, n in enumerate(shape) if n == 1))).reshape(shape)
