"""Proving layers and ops: what minigan's own tests use, for users' too."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minigan.backends import register
from minigan.testing.adjoints import check_adjoint, check_linear
from minigan.testing.behaviour import check_batch_equivariance, check_deterministic, check_layouts, check_no_mutation
from minigan.testing.changes import check_changes_noticed
from minigan.testing.failures import (
    AdjointWrong,
    BackendsDiffer,
    BadSubject,
    CheckFailed,
    DTypeWrong,
    GradientWrong,
    InputMutated,
    LawBroken,
    LayoutMatters,
    ModesMixed,
    NotDeterministic,
    NotLinear,
    OnKink,
    SamplesCoupled,
    ShapeWrong,
    StateLost,
    UnexpectedPass,
)
from minigan.testing.gradients import check_grads
from minigan.testing.inference import check_dtype, check_shape_inference
from minigan.testing.laws import (
    check_fan_out,
    check_fewer_gradients,
    check_laws,
    check_linear_in_gradient,
    check_no_graph_left,
    check_results_kept,
    check_rules_agree,
)
from minigan.testing.layer import CHECKS, Subject, check_layer, layer_checks
from minigan.testing.layouts import LAYOUTS
from minigan.testing.state import check_backends, check_state_dict, check_train_eval
from minigan.testing.strict import STRICT, StrictArray, StrictError

if TYPE_CHECKING:
    from minigan.testing.layer_strategies import layer_cases, layers
    from minigan.testing.strategies import ConvGeometry, arrays, conv_geometry, shapes

register(STRICT)

__all__ = [
    "CHECKS", "Subject", "check_layer", "layer_checks",
    "LAYOUTS", "STRICT", "StrictArray", "StrictError",
    "ConvGeometry", "arrays", "conv_geometry", "layer_cases", "layers", "shapes",
    "check_adjoint", "check_backends", "check_batch_equivariance", "check_changes_noticed", "check_deterministic", "check_dtype",
    "check_fan_out", "check_fewer_gradients", "check_grads", "check_laws", "check_layouts", "check_linear",
    "check_linear_in_gradient", "check_no_graph_left", "check_no_mutation", "check_results_kept", "check_rules_agree",
    "check_shape_inference", "check_state_dict", "check_train_eval",
    "AdjointWrong", "BackendsDiffer", "BadSubject", "CheckFailed", "DTypeWrong", "GradientWrong", "InputMutated", "LawBroken",
    "LayoutMatters", "ModesMixed", "NotDeterministic", "NotLinear", "OnKink", "SamplesCoupled", "ShapeWrong", "StateLost",
    "UnexpectedPass",
]  # fmt: skip
_LAZY = dict.fromkeys(("ConvGeometry", "arrays", "conv_geometry", "shapes"), "strategies")  # loaded when asked for
_LAZY |= dict.fromkeys(("layer_cases", "layers", "sequential", "spectral_norm"), "layer_strategies")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import_module(f"{__name__}.strategies")  # which says what to install where hypothesis is missing
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
