"""The errors that minigan raises, each a subclass of the built-in that users would catch."""


class ShapeError(ValueError):
    """Shapes, axes or geometry that an op cannot take."""


class DTypeError(TypeError):
    """A dtype or a kind of value that an op cannot take."""


class BackendError(RuntimeError):
    """A backend that is unknown, missing, or mixed with another."""


class RuleError(RuntimeError):
    """A gradient rule that breaks the op protocol."""


class GraphError(RuntimeError):
    """A graph that cannot be walked."""


class FreedGraph(GraphError):
    """A second backward pass over a graph whose saved arrays are gone."""


class InPlaceChange(GraphError):
    """A saved value was changed between the forward and the backward pass."""


class MissingGradient(GraphError):
    """A gradient was asked for where none can arrive; the message says why."""


class RunError(RuntimeError):
    """A run's folder, file or setting that cannot be used."""


class TrainingFailed(RunError):
    """Training that cannot go on, such as a loss that is not finite."""
