"""The checks of behaviour find the bugs that they are there for, and say so in few words."""

import functools
import re

import numpy as np
import pytest
from badly_behaved import (
    AlwaysNoisy,
    Averages,
    BatchStatistics,
    Clips,
    Drifts,
    DriftsInItsBuffer,
    Float64State,
    Folds,
    Hidden,
    LosesItsBuffer,
    MovesInEvaluation,
    NoisyMean,
    NoWayBack,
    NumPysNoise,
    PlaceMatters,
    Remembers,
    RunningMean,
    Scale,
    Shrinks,
    Stubborn,
    X,
    between_elements,
    broken,
    centred_gradient,
    fingerprint,
    in_place,
    in_place_rectified,
    one_pass_variance,
    only_for_empty,
    shouts,
    writes_to_dy,
    writes_to_x,
)
from lossy import (
    Aliases,
    Caches,
    Forgets,
    Hasty,
    HostMean,
    Inherits,
    KeepsTensors,
    Lenient,
    ListOfParameters,
    LoadsNothing,
    NewObjects,
    OneMode,
    OnOneBackend,
    Projection,
    Rebinds,
    SharedArray,
    SharedByClass,
    SharedByDefault,
    StaysBehind,
    TakesMissing,
    TakesShapes,
    Views,
)

import minigan as mg
from minigan import nn
from minigan.testing import failures
from minigan.testing.behaviour import (
    check_batch_equivariance,
    check_deterministic,
    check_layouts,
    check_no_mutation,
)
from minigan.testing.calls import name_of
from minigan.testing.inference import check_dtype, check_shape_inference
from minigan.testing.state import check_backends, check_state_dict, check_train_eval

CHECKS = [
    check_shape_inference, check_dtype, check_layouts, check_no_mutation, check_batch_equivariance, check_deterministic,
    check_train_eval, check_state_dict, check_backends,
]  # fmt: skip


BUGS = {
    check_shape_inference: {
        "values select": (lambda: lambda x: x[x.numpy() > 0], "values|shape depends on values"),
        "call by call": (Shrinks, "the output's shape changes from call to call"),
        "empty: division": (lambda: lambda x: x * (1 / x.shape[0]), "an empty batch ends in ZeroDivisionError"),
        "empty: shape": (lambda: only_for_empty, r"an empty batch gives shape \(1, 3\), where \(0, 3\) is expected"),
        "empty: no batch": (
            lambda: lambda x: x.sum(axis=0) if x.shape[0] else x.sum(axis=1),
            r"an empty batch gives shape \(0,\), where \(3,\) is expected",
        ),
        "empty: gradient": (Averages, "an empty batch gives a gradient of weight that is not zero"),
        "empty: statistics": (RunningMean, "an empty batch leaves mean not finite"),
        "gradient": (lambda: broken(lambda xp, x: x + 0, lambda F, dy: F.sum(dy)), "RuleError"),
        "layout": (
            lambda: broken(lambda xp, x: x + 0 if x.flags.c_contiguous else x.T + 0),
            "the output's shape depends on memory",
        ),
    },
    check_dtype: {
        "a parameter of np.ones": (lambda: Scale("float64"), "float32 in, float64 out"),
        "a NumPy scalar": (lambda: lambda x: x + mg.tensor(np.sqrt(2) * x.numpy()), "float32 in, float64 out"),
        "np.ones": (lambda: lambda x: x * mg.tensor(np.ones(3)), "float32 in, float64 out"),
        "float32 for good": (lambda: lambda x: x.astype("float32"), "float64 in, float32 out"),
        "a buffer": (Float64State, "a call with float32 turns mean from float32 into float64"),
        "integers": (
            lambda: lambda x: mg.tensor((x.numpy() > 0).astype("int32" if x.dtype == "float32" else "int64")),
            "output is of int32 for float32 and of int64 for float64",
        ),
        "cancellation": (lambda: lambda x: one_pass_variance(x + 1000), "the float32 result is not the float64 one"),
    },
    check_layouts: {
        "memory order": (
            lambda: broken(lambda xp, x: x.ravel("K").reshape(x.shape)),
            "another result where x is laid out",
        ),
        'order "A"': (lambda: broken(lambda xp, x: x.reshape(-1, order="A").reshape(x.shape)), "x is laid out 'F'"),
        "contiguous only": (
            lambda: broken(lambda xp, x: x + 0 if x.flags.c_contiguous else xp.zeros(0).reshape(3)),
            "fails where x is laid out 'F'",
        ),
        "negative strides": (
            lambda: broken(lambda xp, x: x + 0 if min(x.strides) >= 0 else -x),
            "another result where x is laid out 'negative-stride'",
        ),
        "zero strides": (
            lambda: broken(lambda xp, x: x + 0 if min(x.strides) else 2 * x),
            "another result where x is laid out 'broadcast'",
        ),
        "what arrives": (
            lambda: broken(
                lambda xp, x: x + 0, lambda F, dy: dy * (1 if min(getattr(dy, "strides", (0,))) >= 0 else -1)
            ),
            "another result where the gradient that arrives is laid out 'negative-stride'",
        ),
    },
    check_no_mutation: {
        "input": (lambda: broken(in_place), "the call writes to x"),
        "input, by mask": (lambda: broken(in_place_rectified), "the call writes to x"),
        "what arrives": (
            lambda: broken(lambda xp, x: x + 0, writes_to_dy),
            "the gradient writes to the gradient that arrives",
        ),
        "input, by the rule": (lambda: broken(lambda xp, x: x + 0, writes_to_x), "the gradient writes to x"),
        "between elements": (lambda: broken(between_elements), "the call writes to x"),
        "parameter": (Clips, "the call writes to weight"),
        "buffer in evaluation": (MovesInEvaluation, "the call writes to mean"),
    },
    check_batch_equivariance: {
        "centred over the batch": (BatchStatistics, "sample 0 depends on the others of its batch"),
        "gradient only": (
            lambda: centred_gradient,
            "sample 0 depends on the others of its batch",
        ),
        "place": (PlaceMatters, "sample 1 depends on the others"),
        "place beside batch norm": (
            lambda: nn.Sequential(nn.BatchNorm(3), PlaceMatters()),
            "a sample's result depends on its place",
        ),
        "with noise": (NoisyMean, "sample 0 depends on the others"),
        "with noise, output only": (
            lambda: lambda x: mg.ops.dropout(x) * x.detach().mean(),
            "sample 0 depends on the others",
        ),
        "with noise, gradient only": (
            lambda: lambda x: centred_gradient(mg.ops.dropout(x)),
            "sample 0 depends on the others",
        ),
        "a batch of one": (lambda: lambda x: x if len(x.numpy()) > 1 else x.reshape(-1), "fails for sample 0 alone"),
        "averaged": (Averages, "the gradient of weight is not the sum of the samples'"),
    },
    check_deterministic: {
        "NumPy's generator": (NumPysNoise, "two calls with the same seed differ"),
        "an unseeded generator": (
            lambda: lambda x: mg.ops.dropout(x, rng=np.random.default_rng()),
            "two calls with the same seed differ",
        ),
        "a counter": (Drifts, "two calls with the same seed differ"),
        "another dtype": (
            lambda: Remembers(lambda x, n: x.astype(["float32", "float64"][n % 2])),
            "seed differ",
        ),
        "another number of outputs": (lambda: Remembers(lambda x, n: (x,) * n), "another number of outputs"),
        "a buffer in evaluation": (lambda: DriftsInItsBuffer().eval(), "two calls in evaluation differ"),
        "a memory outside": (Remembers, "two calls with the same seed differ"),
        "gradient only": (
            lambda: broken(lambda xp, x: x + 0, lambda F, dy: dy * float(np.random.rand())),
            "two calls with the same seed differ",
        ),
    },
    check_train_eval: {
        "statistics in evaluation": (MovesInEvaluation, "evaluation changes mean"),
        "a list of modules": (Hidden, "eval() does not reach parts.0, a Dropout"),
        "a buffer that goes": (LosesItsBuffer, "evaluation changes the state: mean is gone"),
        "modes not handed down": (Stubborn, "eval() does not reach inner, a Dropout"),
        "noise in evaluation": (AlwaysNoisy, "evaluation draws random numbers"),
        "NumPy's noise": (NumPysNoise, "two calls in evaluation differ"),
        "batch statistics": (BatchStatistics, "in evaluation sample 0 depends on the others of its batch"),
        "folded weights": (Folds, "eval() changes weight"),
        "no way back": (NoWayBack, "train() after eval() gives another result"),
    },
    check_state_dict: {
        "class attribute": (SharedByClass, "share state|missing from the state dict"),
        "default argument": (SharedByDefault, "two layers share state: a change of one changes the other's weight"),
        "an array of the class": (SharedArray, "two layers share state: a call of one changes what the other computes"),
        "a default of the class": (Inherits, "two layers share state: a call of one changes what a new one computes"),
        "one layer for all": (functools.cache(lambda: nn.Dense(3, 2)), "returns one and the same layer twice"),
        "statistics in an array": (HostMean, "the state dict is not all of the state"),
        "parameters in a list": (ListOfParameters, "weights.0 changes the result and is missing from the state dict"),
        "a matrix that is drawn": (Projection, "matrix changes the result and is missing from the state dict"),
        "made once": (Caches, "weight is the layer's own memory: writing to it changes the layer"),
        "Tensors": (KeepsTensors, "the state dict's weight is Parameter, where a NumPy array is expected"),
        "a missing key": (TakesMissing, "load_state_dict() takes a state dict with no weight"),
        "another shape": (TakesShapes, "load_state_dict() takes a state dict with weight of another shape"),
        "lost in training": (functools.partial(OneMode, True), "computes something else in training"),
        "lost in evaluation": (functools.partial(OneMode, False), "computes something else in evaluation"),
        "loads nothing": (LoadsNothing, "weight does not come back"),
        "missing keys": (Lenient, "load_state_dict() takes a state dict with"),
        "loaded in part": (Hasty, "and yet changes weight"),
        "other objects": (Rebinds, "load_state_dict() puts other objects in the place"),
        "no keys": (Forgets, "mean is missing from the state dict"),
    },
    check_backends: {
        "NumPy's functions": (lambda: broken(lambda xp, x: np.tanh(x)), "fails on strict"),
        "another branch": (
            lambda: broken(lambda xp, x: x + 0 if xp.name == "numpy" else 2 * x),
            "another result on strict",
        ),
        "parameters stay": (StaysBehind, "leaves weight on"),
        "other objects": (NewObjects, "puts another object in the place of weight"),
        "a Tensor left behind": (OnOneBackend, "fails on strict: BackendError"),
    },
}


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize(
    ("check", "bug"), [pytest.param(c, b, id=f"{c.__name__}-{b}") for c, bugs in BUGS.items() for b in bugs]
)
def test_a_check_finds(check, bug):
    factory, said = BUGS[check][bug]
    kind = next(k for k in vars(failures).values() if getattr(k, "check", "") == check.__name__)
    subject = factory if check is check_state_dict else factory()
    before = fingerprint(subject, X)
    with pytest.raises(kind) as caught:
        check(subject, X)
    assert fingerprint(subject, X) == before
    headline = str(caught.value).splitlines()[0]
    assert len(re.sub(r"\S*/", "", headline)) < 200  # wherever the checkout is
    assert said in headline or re.search(said, headline), headline
    assert check.__name__ in caught.value.repro


@pytest.mark.host
@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (Views, "mean is the layer's own memory: it follows the layer"),
        (Aliases, "weight is the memory of the state dict"),
    ],
)
def test_state_dicts_share_no_memory_with_a_layer(factory, said):
    with pytest.raises(failures.StateLost, match=said):
        check_state_dict(factory, X)


def test_stated_shapes_are_held():
    check_shape_inference(mg.ops.tanh, X, output=(4, 3))
    check_shape_inference(mg.ops.mean, X, output=())
    check_shape_inference(lambda x: (x, x.sum()), X, output=[(4, 3), ()])
    with pytest.raises(failures.ShapeWrong, match="another shape than stated"):
        check_shape_inference(mg.ops.tanh, X, output=(4, 4))


def test_a_gradient_of_another_shape_is_found_though_the_engine_let_it_pass(monkeypatch):
    from minigan.testing import calls

    transposed = lambda *args, **kwargs: [g.transpose(1, 0) for g in grad(*args, **kwargs)]
    grad = calls.grad
    monkeypatch.setattr(calls, "grad", transposed)
    with pytest.raises(failures.ShapeWrong, match=r"the gradient of x has shape \(3, 4\), x has \(4, 3\)"):
        check_shape_inference(mg.ops.tanh, X)


# -- what cannot be checked -------------------------------------------------------------------------------------------


def fails():
    raise KeyError("no such layer")


@pytest.mark.parametrize("check", [c for c in CHECKS if c is not check_state_dict], ids=lambda c: c.__name__)
def test_what_gives_nan_raises_or_is_no_tensor_never_passes(check):
    layer = check is check_train_eval
    for f, said in [
        (lambda x: x * float("nan"), r"^check_layer: \S+ gives nan for finite inputs"),
        (lambda x: x @ x, r"^check_layer: \S+ raises ShapeError: matmul"),
        (lambda x: x.numpy(), r"^check_layer: \S+ returned ndarray; a Tensor or a tuple of Tensors is expected"),
    ]:
        subject = type("Layer", (nn.Module,), {"forward": staticmethod(f)}) if layer else f
        with pytest.raises(failures.BadSubject, match=said):
            check(subject, X)


@pytest.mark.parametrize("check", [check_train_eval, check_state_dict], ids=lambda c: c.__name__)
@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (fails, "the factory fails raises KeyError: 'no such layer'"),
        (lambda: "layer", "the factory <lambda> returned str; a Module is expected"),
        (lambda: type("Layer", (nn.Module,), {"forward": lambda self, x: x * float("inf")})(), "gives (inf|-inf)"),
    ],
)
def test_a_bad_factory_never_passes(check, factory, said):
    with pytest.raises(failures.BadSubject, match=said):
        check(factory, X)


def test_a_check_says_what_it_cannot_do():
    with pytest.raises(failures.BadSubject, match="takes a factory, such as lambda: ReLU"):
        check_state_dict(nn.ReLU(), X)
    with pytest.raises(failures.BadSubject, match="no batch of at least two samples"):
        check_batch_equivariance(mg.ops.mean, X)
    with pytest.raises(failures.BadSubject, match="no batch of at least two samples"):
        check_batch_equivariance(mg.ops.tanh, X[:1])
    with pytest.raises(failures.BadSubject, match="random numbers are drawn for each place"):
        check_batch_equivariance(NoisyMean(), X, coupled=True)
    with pytest.raises(failures.BadSubject, match="the backend 'abacus' cannot be used here: unknown backend 'abacus'"):
        check_backends(mg.ops.tanh, X, backends=("numpy", "abacus"))


# -- messages ---------------------------------------------------------------------------------------------------------


def test_messages_name_what_was_given():
    named = {
        "max": functools.partial(mg.ops.max, axis=1),
        "Dense(3, 2, bias=True)": nn.Dense(3, 2),
        "Sequential": nn.Sequential(*[nn.Dense(3, 3) for _ in range(9)]),
        "Remembers": Remembers(),
    }
    assert [name_of(f) for f in named.values()] == list(named)


def test_a_message_says_what_where_and_how_to_see_it_again():
    with pytest.raises(failures.SamplesCoupled) as caught:
        check_batch_equivariance(shouts, np.array([[0.0, 4.0], [2.0, 4.0]]), rng=3)
    assert (
        str(caught.value)
        == """\
check_batch_equivariance: sample 0 depends on the others of its batch
  function      shouts
  inputs        x (2, 2) float64
  where         output[0, 0]
  alone         0.0
  in its batch  -0.5
  allowed       ± 1.8e-12
  seed          3
  repro:
    import minigan as mg
    import numpy as np
    from badly_behaved import shouts
    from minigan.testing import check_batch_equivariance

    x0 = np.array([[0.0, 4.0], [2.0, 4.0]], np.float64)
    check_batch_equivariance(shouts, x0, rng=3)"""
    )


@pytest.mark.parametrize(
    ("check", "subject"),
    [
        (check_batch_equivariance, shouts),
        (check_dtype, Float64State),
        (check_train_eval, AlwaysNoisy),
        (check_deterministic, Drifts),
        (check_no_mutation, Clips),
        (check_state_dict, Lenient),
        (check_backends, StaysBehind),
    ],
)
def test_a_repro_fails_in_the_same_way(check, subject):
    given = subject if check is check_state_dict or subject is shouts else subject()
    with pytest.raises(failures.CheckFailed) as caught:
        check(given, X)
    with pytest.raises(type(caught.value)) as again:
        exec(caught.value.repro, {})
    assert again.value.headline == caught.value.headline
