"""The errors that minigan raises, each a subclass of the built-in that users would catch."""


class ShapeError(ValueError):
    """Shapes, axes or geometry that an op cannot take.

    >>> mg.ops.add([1.0, 2.0], [1.0, 2.0, 3.0])
    Traceback (most recent call last):
        ...
    minigan.errors.ShapeError: add(a (2,) float32, b (3,) float32): ...
    """


class DTypeError(TypeError):
    """A dtype or a kind of value that an op cannot take.

    >>> mg.tensor(["one"])
    Traceback (most recent call last):
        ...
    minigan.errors.DTypeError: cannot make an array of numbers from list ...
    """


class BackendError(RuntimeError):
    """A backend that is unknown, missing, or mixed with another.

    >>> mg.set_backend("abacus")
    Traceback (most recent call last):
        ...
    minigan.errors.BackendError: unknown backend 'abacus'; there is: cupy, numpy
    """


class CaptureError(BackendError):
    """Work of a device that cannot be recorded, or can no longer be launched again as it was recorded.

    >>> issubclass(mg.errors.CaptureError, mg.errors.BackendError)
    True
    """


class RuleError(RuntimeError):
    """A gradient rule that breaks the op protocol.

    >>> @mg.op
    ... def twice(xp, x):
    ...     return 2 * x
    >>> @twice.gradient("z", formula="2")
    ... def _(F, dy):
    ...     return 2 * dy
    Traceback (most recent call last):
        ...
    minigan.errors.RuleError: twice.gradient('z',): z is not known; ...
    """


class GraphError(RuntimeError):
    """A graph that cannot be walked, or a change that would falsify it.

    >>> issubclass(mg.errors.FreedGraph, mg.errors.GraphError)
    True
    """


class FreedGraph(GraphError):
    """A second backward pass over a graph whose saved arrays are gone.

    >>> y = mg.tensor(2.0, requires_grad=True) ** 2
    >>> y.backward()
    >>> y.backward()
    Traceback (most recent call last):
        ...
    minigan.errors.FreedGraph: a second backward pass came to pow, called at ...
    """


class InPlaceChange(GraphError):
    """A saved value was changed between the forward and the backward pass.

    >>> w = mg.tensor(2.0, requires_grad=True, name="w")
    >>> y = w * w
    >>> _ = w.assign_(3.0)
    >>> y.backward()
    Traceback (most recent call last):
        ...
    minigan.errors.InPlaceChange: 'a' of mul, called at ...
    """


class MissingGradient(GraphError):
    """A gradient was asked for where none can arrive; the message says why.

    >>> x, y = mg.tensor(1.0, requires_grad=True), mg.tensor(2.0)
    >>> mg.grad(y, x)
    Traceback (most recent call last):
        ...
    minigan.errors.MissingGradient: grad(): nothing flows from the output: ...
    """


class RunError(RuntimeError):
    """A run's folder, file or setting that cannot be used.

    >>> mg.gan.load("nowhere")
    Traceback (most recent call last):
        ...
    minigan.errors.RunError: nowhere is not a run: it has no config.json; minigan train writes one
    """


class DataError(RunError):
    """Data that cannot be had: a file or folder that is missing or damaged, a download that failed.

    >>> mg.data.mnist(folder="nowhere")
    Traceback (most recent call last):
        ...
    minigan.errors.DataError: there is no folder nowhere; give the one that holds MNIST's files
    """


class TrainingFailed(RunError):
    """Training that cannot go on, such as a loss that is not finite.

    >>> issubclass(mg.errors.TrainingFailed, mg.errors.RunError)
    True
    """
