"""A module as a table: its layers in the order in which they are called, what they give, and their parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

from minigan import backends
from minigan.autodiff import Tensor, no_grad
from minigan.nn.module import Buffer, Module, Parameter

COLUMNS = ("path", "layer", "output", "parameters")


@dataclass(frozen=True)
class Row:
    """One call of a layer, or a layer that was not called.

    Attributes:
        path: where it stands in the module, as in the state dict's keys; empty for the module itself.
        layer: its class and settings.
        output: the shape of what it gave, or "not called"; empty where nothing was called.
        parameters: how many numbers it learns that no row above has counted.
        shared: whether it has parameters that a row above has counted.
    """

    path: str
    layer: str
    output: str
    parameters: int
    shared: bool

    def cells(self) -> tuple[str, str, str, str]:
        """Its text by column."""
        count = "shared" if self.shared and not self.parameters else f"{self.parameters:,}"
        return self.path, self.layer, self.output, count


@dataclass(frozen=True)
class Summary:
    """A module's layers and totals; ``print`` and notebooks show it as a table.

    Attributes:
        rows: one a call of a layer, in the order of the calls, then the layers that were not called.
        trainable: the number of parameters that require a gradient.
        fixed: the number of those that do not.

    >>> mg.nn.summary(mg.nn.Dense(4, 2)).trainable
    10
    """

    rows: tuple[Row, ...]
    trainable: int
    fixed: int

    @property
    def total(self) -> str:
        """The totals in one line."""
        return f"{self.trainable + self.fixed:,} parameters: {self.trainable:,} trainable, {self.fixed:,} fixed"

    def __str__(self) -> str:
        table = [COLUMNS, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join((*map(str.ljust, cells[:3], widths), cells[3].rjust(widths[3]))) for cells in table]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:], rule, self.total])

    def _repr_html_(self) -> str:
        body = "".join(_html_row("td", row.cells()) for row in self.rows)
        hint = "" if any(row.output for row in self.rows) else "; <code>nn.summary(module, x)</code> shows the shapes"
        foot = f'<tr style="background:none"><td colspan="4" style="padding:2px 10px;text-align:left">{self.total}{hint}</td></tr>'
        return (
            '<table style="border-collapse:collapse;color:inherit;background:none">'
            f'<thead style="border-bottom:1px solid #8888">{_html_row("th", COLUMNS)}</thead><tbody>{body}</tbody>'
            f'<tfoot style="border-top:1px solid #8888">{foot}</tfoot></table>'
        )


def summary(module: Module, *inputs: Any) -> Summary:
    """Call the module once, in evaluation mode, and note what each layer gives. The module stays exactly as it was.

    A module that has parameters beside its submodules has a row as well. Parameters that several layers share, or that
    a layer uses in several calls, count once.

    Args:
        module: the module.
        inputs: what it is called with: Tensors, arrays, or shapes such as ``(1, 100)``, which stand for float32 ones.
            Without any it is not called, and the table has no shapes.

    Raises:
        TypeError: `module` is not a Module, or an input is none of these. Errors of the module itself pass through.

    >>> G = mg.nn.Sequential(mg.nn.Dense(100, 784), mg.nn.Tanh(), mg.nn.Reshape(1, 28, 28))
    >>> print(mg.nn.summary(G, (8, 100)))
    path  layer                       output          parameters
    ------------------------------------------------------------
    0     Dense(100, 784, bias=True)  (8, 784)            79,184
    1     Tanh()                      (8, 784)                 0
    2     Reshape(1, 28, 28)          (8, 1, 28, 28)           0
    ------------------------------------------------------------
    79,184 parameters: 79,184 trainable, 0 fixed
    """
    if not isinstance(module, Module):
        raise TypeError(f"summary() shows a Module, got {type(module).__name__}; give it a layer or a network")
    parameters = module.parameters()
    home = backends.get(parameters[0].backend) if parameters else backends.current()
    given = [_input(x, home) for x in inputs]
    modules: dict[int, tuple[str, Module]] = {}
    for path, m in _paths(module):
        modules.setdefault(id(m), (path, m))
    rows: list[Row] = []
    counted: set[int] = set()
    called: set[int] = set()

    def note(path: str, m: Module, output: str) -> None:
        called.add(id(m))
        own = {id(p): p for p in vars(m).values() if isinstance(p, Parameter)}
        leaf = not any(m.children())
        if leaf or own:
            fresh = sum(p.size for i, p in own.items() if i not in counted)
            shared = not counted.isdisjoint(own)
            rows.append(Row(path, " ".join(repr(m).split()) if leaf else type(m).__name__, output, fresh, shared))
            counted.update(own)

    if given:
        with _borrowed([m for _, m in modules.values()]), no_grad():
            for path, m in modules.values():
                vars(m)["forward"] = _noting(m.forward, partial(note, path, m))
            module.eval()(*given)
    for path, m in modules.values():
        if id(m) not in called:
            note(path, m, "not called" if given else "")
    trainable = sum(p.size for p in parameters if p.requires_grad)
    return Summary(tuple(rows), trainable, sum(p.size for p in parameters) - trainable)


def _paths(module: Module, path: str = "") -> Iterator[tuple[str, Module]]:
    """The module and all below it, with their paths."""
    yield path, module
    for name, child in module.children():
        yield from _paths(child, f"{path}.{name}" if path else name)


@contextmanager
def _borrowed(modules: list[Module]) -> Iterator[None]:
    """Inside the block the modules work on copies of their buffers; after it all attributes are what they were."""
    before = [(m, dict(vars(m))) for m in modules]
    try:
        for m, attributes in before:
            vars(m).update({k: Buffer(v, name=v.name) for k, v in attributes.items() if isinstance(v, Buffer)})
        yield
    finally:
        for m, attributes in before:
            vars(m).clear()
            vars(m).update(attributes)


def _noting(forward: Callable[..., Any], note: Callable[[str], None]) -> Callable[..., Any]:
    """`forward`, which tells the shape of what it returns."""

    def noting(*args: Any, **kwargs: Any) -> Any:
        y = forward(*args, **kwargs)
        note(_shape(y))
        return y

    return noting


def _input(x: Any, home: backends.Backend) -> Tensor:
    """A Tensor as it is, an array as a Tensor, a shape as ones."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, tuple) and all(isinstance(n, int) and n >= 0 for n in x):
        return Tensor(home.ones(x, "float32"), copy=False)
    if backends.of(x) is None:
        raise TypeError(f"summary() takes Tensors, arrays, or shapes such as (1, 100) as inputs, got {x!r:.60}")
    return Tensor(x, copy=False)


def _shape(y: Any) -> str:
    if isinstance(y, (tuple, list)):
        return ", ".join(map(_shape, y))
    return str(y.shape) if isinstance(y, Tensor) else type(y).__name__


def _html_row(tag: str, cells: tuple[str, ...]) -> str:
    sides = ("left", "left", "left", "right")
    style = "padding:2px 10px;text-align:{};white-space:nowrap"
    shown = (f'<{tag} style="{style.format(side)}">{escape(c)}</{tag}>' for side, c in zip(sides, cells, strict=True))
    return f'<tr style="background:none">{"".join(shown)}</tr>'
