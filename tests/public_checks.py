"""One use of every public name of `minigan.testing`: checks, by what they raise for what is wrong."""

import itertools
import math

import hypothesis
import numpy as np
from public_uses import tensor

import minigan as mg
from minigan import ops


def verdict(check, right, wrong, *shapes):
    """What a check says of a wrong subject; of a right one it says nothing."""
    xs = [np.arange(1.0, 1 + math.prod(shape), dtype="float32").reshape(shape) for shape in shapes or [(4, 3)]]
    assert check(right, *xs) is None
    try:
        check(wrong, *xs)
    except mg.testing.CheckFailed as failure:
        return type(failure).__name__


def doubled(rule=lambda F, dy: 2 * dy, kernel=lambda xp, x: 2 * x):
    op = mg.op(kernel)
    op.gradient("x", formula="2")(rule)
    return op


def once(function):
    """The function's first result at every call."""
    held = {}
    return lambda *args: held.setdefault("first", function(*args))


def stuck():
    first = once(lambda dy: 2 * dy)
    return lambda F, dy: first(dy)


def counting():
    count = itertools.count(1)
    return lambda x: x * float(next(count))


def keeping():
    kept = []
    return lambda x: [kept.append(y := ops.tanh(x)), y][1]


def squared_unseen():
    """Its rule reads an input that no node has saved."""
    held = []

    def kernel(xp, x):
        held[:] = [x]
        return x * x

    return doubled(lambda F, dy: 2 * dy * held[0], kernel)


class AlwaysNoisy(mg.nn.Module):
    def forward(self, x):
        return ops.dropout(x)


def in_place(xp, x):
    x *= 2
    return x + 0


def smallest(strategy):
    return hypothesis.find(strategy, lambda found: True)


USES = {
    "testing.check_layer": (
        lambda: verdict(lambda f, x: mg.testing.check_layer(f, x.shape), mg.nn.ReLU, doubled(lambda F, dy: dy)),
        "GradientWrong",
    ),
    "testing.layer_checks": (
        lambda: [case.id for case in mg.testing.layer_checks(mg.nn.ReLU).args[1]] == list(mg.testing.CHECKS),
        True,
    ),
    "testing.CHECKS": (lambda: "check_grads" in mg.testing.CHECKS, True),
    "testing.check_grads": (
        lambda: verdict(mg.testing.check_grads, doubled(), doubled(lambda F, dy: dy)),
        "GradientWrong",
    ),
    "testing.check_adjoint": (
        lambda: verdict(mg.testing.check_adjoint, doubled(), doubled(lambda F, dy: dy)),
        "AdjointWrong",
    ),
    "testing.check_linear": (lambda: verdict(mg.testing.check_linear, ops.neg, ops.tanh), "NotLinear"),
    "testing.check_shape_inference": (
        lambda: verdict(mg.testing.check_shape_inference, ops.tanh, lambda x: x if x.shape[0] else tensor(1, 3)),
        "ShapeWrong",
    ),
    "testing.check_dtype": (
        lambda: verdict(mg.testing.check_dtype, ops.tanh, lambda x: x.astype("float64")),
        "DTypeWrong",
    ),
    "testing.check_layouts": (
        lambda: verdict(
            mg.testing.check_layouts,
            ops.tanh,
            doubled(kernel=lambda xp, x: 2 * xp.reshape(xp.ravel(x, order="K"), x.shape)),
        ),
        "LayoutMatters",
    ),
    "testing.check_no_mutation": (
        lambda: verdict(mg.testing.check_no_mutation, doubled(), doubled(kernel=in_place)),
        "InputMutated",
    ),
    "testing.check_batch_equivariance": (
        lambda: verdict(mg.testing.check_batch_equivariance, ops.tanh, lambda x: x - x.mean(axis=0)),
        "SamplesCoupled",
    ),
    "testing.check_deterministic": (
        lambda: verdict(mg.testing.check_deterministic, ops.dropout, counting()),
        "NotDeterministic",
    ),
    "testing.check_train_eval": (
        lambda: verdict(mg.testing.check_train_eval, mg.nn.Dropout(), AlwaysNoisy()),
        "ModesMixed",
    ),
    "testing.check_state_dict": (
        lambda: verdict(mg.testing.check_state_dict, lambda: mg.nn.Dense(3, 2), once(lambda: mg.nn.Dense(3, 2))),
        "StateLost",
    ),
    "testing.check_backends": (
        lambda: verdict(mg.testing.check_backends, ops.tanh, lambda x: x * (2.0 if x.backend == "numpy" else 3.0)),
        "BackendsDiffer",
    ),
    "testing.check_laws": (
        lambda: verdict(mg.testing.check_laws, doubled(), doubled(lambda F, dy: F.abs(dy))),
        "LawBroken",
    ),
    "testing.check_rules_agree": (
        lambda: verdict(
            mg.testing.check_rules_agree,
            doubled(),
            doubled(lambda F, dy: dy * (2 if isinstance(dy, mg.Tensor) else 3)),
        ),
        "LawBroken",
    ),
    "testing.check_linear_in_gradient": (
        lambda: verdict(mg.testing.check_linear_in_gradient, doubled(), doubled(lambda F, dy: F.relu(dy))),
        "LawBroken",
    ),
    "testing.check_fewer_gradients": (
        lambda: verdict(
            mg.testing.check_fewer_gradients, ops.mul, lambda a, b: a * b if a.requires_grad else b, (2, 3), (2, 3)
        ),
        "LawBroken",
    ),
    "testing.check_fan_out": (
        lambda: verdict(mg.testing.check_fan_out, doubled(), doubled(stuck())),
        "LawBroken",
    ),
    "testing.check_no_graph_left": (lambda: verdict(mg.testing.check_no_graph_left, ops.tanh, keeping()), "LawBroken"),
    "testing.check_results_kept": (
        lambda: verdict(mg.testing.check_results_kept, ops.tanh, once(ops.tanh)),
        "LawBroken",
    ),
    "testing.check_changes_noticed": (
        lambda: verdict(mg.testing.check_changes_noticed, ops.tanh, squared_unseen()),
        "LawBroken",
    ),
    "testing.arrays": (lambda: smallest(mg.testing.arrays((3,), unique=True)), [1.0, -1.0, 2.0]),
    "testing.shapes": (lambda: smallest(mg.testing.shapes(2, 2, min_side=1)), (1, 1)),
    "testing.conv_geometry": (lambda: smallest(mg.testing.conv_geometry()).output_shape, (1, 1, 1, 1)),
    "testing.layer_cases": (lambda: smallest(mg.testing.layer_cases(mg.nn.ReLU, (1,)))[1], [1.0]),
    "testing.layers": (lambda: isinstance(smallest(mg.testing.layers())[0](), mg.nn.Module), True),
    "testing.LAYOUTS": (lambda: mg.testing.LAYOUTS["F"](np.ones((2, 3)), None).flags.f_contiguous, True),
    "testing.STRICT": (lambda: mg.testing.STRICT.name, "strict"),
}
