"""Every shipped layer passes every check, wrong ones don't, and the smallest case is shown."""

import traceback
from functools import partial

import numpy as np
import pytest
from hypothesis import strategies as st
from planted import Coupled, Frozen, layer_failure

import minigan as mg
from minigan import nn
from minigan.testing import (
    CHECKS,
    GradientWrong,
    LawBroken,
    ModesMixed,
    OnKink,
    SamplesCoupled,
    StateLost,
    arrays,
    check_layer,
    layers,
    shapes,
)

IMAGES = (2, 3, 4, 4)
ROWS = np.array([[0, 2], [1, 0], [3, 3]])

SHIPPED = {
    "Dense": (lambda: nn.Dense(4, 3), (2, 4)),
    "Dense, no bias": (lambda: nn.Dense(4, 3, bias=False), IMAGES),
    "Conv2d": (lambda: nn.Conv2d(3, 4, 3, padding=1), IMAGES),
    "Conv2d, all settings": (lambda: nn.Conv2d(4, 2, (3, 2), stride=2, padding=(1, 2), dilation=2, groups=2), (2, 4, 7, 6)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), IMAGES),
    "BatchNorm": (lambda: nn.BatchNorm(3), IMAGES),
    "BatchNorm of rows": (lambda: nn.BatchNorm(4), (5, 4)),
    "LayerNorm": (lambda: nn.LayerNorm((4, 4)), IMAGES),
    "SpectralNorm": (lambda: nn.SpectralNorm(nn.Conv2d(3, 4, 3)), IMAGES),
    "SpectralNorm of one output": (lambda: nn.SpectralNorm(nn.Dense(3, 1)), (2, 3)),
    "Dropout": (nn.Dropout, IMAGES),
    "Dropout, its own generator": (lambda: nn.Dropout(0.3, rng=0), IMAGES),
    "Embedding": (lambda: nn.Embedding(4, 3), ROWS),
    "Flatten": (nn.Flatten, IMAGES),
    "Reshape": (lambda: nn.Reshape(4, 12), IMAGES),
    "ReLU": (nn.ReLU, IMAGES),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.2), IMAGES),
    "Tanh": (nn.Tanh, IMAGES),
    "Sigmoid": (nn.Sigmoid, IMAGES),
    "Softplus": (nn.Softplus, IMAGES),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), IMAGES),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, stride=2, padding=1), IMAGES),
    "Upsample": (lambda: nn.Upsample(2), IMAGES),
    "Sequential": (
        lambda: nn.Sequential(
            nn.SpectralNorm(nn.Conv2d(3, 4, 3)), nn.BatchNorm(4), nn.LeakyReLU(0.2), nn.Dropout(), nn.Flatten(), nn.Dense(16, 2)
        ),
        IMAGES,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_layer_passes_every_check(name):
    factory, input = SHIPPED[name]
    check_layer(factory, input)


def test_no_shipped_layer_is_forgotten():
    containers = {"Module", "ModuleList", "Sequential"}
    classes = {n for n in nn.__all__ if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)}
    assert classes - containers == {name.partition(",")[0].partition(" ")[0] for name in SHIPPED} - containers


@pytest.mark.parametrize("seed", range(3))
def test_drawn_layers_pass_too(seed):
    from hypothesis import HealthCheck, given, settings
    from hypothesis import seed as seeded

    @seeded(seed)
    @settings(database=None, deadline=None, max_examples=5, suppress_health_check=list(HealthCheck))
    @given(layers())
    def run(case):
        factory, shape = case
        check_layer(factory, shape, rng=seed)

    run()


def test_ops_and_functions_are_taken_themselves():
    check_layer(mg.ops.tanh, (2, 3))
    check_layer(mg.ops.matmul, ((2, 3), (3, 4)))
    check_layer(mg.ops.embedding, (ROWS, (4, 3)))
    check_layer(lambda x, scale=2.0: (x * scale, x), ())
    check_layer(partial(mg.ops.leaky_relu, negative_slope=0.3), mg.tensor(np.ones((2, 3))))


class Add(nn.Module):
    def forward(self, x, y):
        return x + y


def test_several_inputs_are_shapes_and_arrays():
    check_layer(Add, ((2, 3), np.ones((2, 3), "float32")))


# -- strategies --------------------------------------------------------------------------------------------------------


def test_a_strategy_gives_the_inputs_of_every_check():
    seen = set()

    class Seeing(nn.Module):
        def forward(self, x):
            seen.add(x.shape)
            return x * 2.0

    check_layer(Seeing, shapes(2, 2, 1, 4).flatmap(lambda s: arrays(s, "float32")))
    assert len({shape for shape in seen if 0 not in shape}) > 5


def test_a_strategy_may_give_tuples():
    pairs = shapes(1, 2, 1, 3).flatmap(lambda s: st.tuples(arrays(s, "float32"), arrays(s, "float32")))
    check_layer(Add, pairs, skip=[name for name in CHECKS if name not in ("check_grads", "check_fan_out")])


odd_doubled = mg.op(lambda xp, x: 2 * x)
odd_doubled.gradient("x", formula="2")(lambda F, dy: dy * (3 if dy.shape[-1] % 2 else 2))


class WrongForOddWidths(nn.Module):
    def forward(self, x):
        return odd_doubled(x)


def test_the_failing_input_is_shrunk_to_the_smallest_odd_width():
    error = layer_failure(WrongForOddWidths, shapes(2, 3, 2, 9).flatmap(lambda s: arrays(s, "float32")))
    assert isinstance(error, GradientWrong)
    assert "(2, 3) float32" in error.facts["inputs"]
    shown = "".join(traceback.format_exception(error))
    for noise in ("Falsifying example", "hypothesis", "reproduce_failure", "Explanation"):
        assert noise not in shown
    assert (
        error.facts
        == layer_failure(WrongForOddWidths, shapes(2, 3, 2, 9).flatmap(lambda s: arrays(s, "float32"))).facts
    )


def test_the_repro_of_a_shrunk_failure_fails_alike():
    error = layer_failure(WrongForOddWidths, shapes(2, 3, 2, 9).flatmap(lambda s: arrays(s, "float32")))
    with pytest.raises(GradientWrong) as again:
        exec(compile(error.repro, "repro", "exec"), {})
    assert again.value.headline == error.headline


def test_points_where_differences_say_nothing_are_passed_over_unless_there_are_no_others():
    halves = [name for name in CHECKS if name not in ("check_grads", "check_second_order")]
    check_layer(nn.ReLU, st.sampled_from([np.zeros(3), np.ones(3)]), skip=halves)
    with pytest.raises(OnKink):
        check_layer(nn.ReLU, st.just(np.zeros(3)), skip=halves)


# -- what is wrong -----------------------------------------------------------------------------------------------------


class Hidden(nn.Module):
    """Keeps a weight that its state dict does not know."""

    def __init__(self):
        self.weight = [nn.Parameter(np.random.default_rng(id(self)).standard_normal(3).astype("float32"))]

    def forward(self, x):
        return x * self.weight[0]


class Leaky(nn.Module):
    """Draws noise in evaluation too."""

    def forward(self, x):
        return mg.ops.dropout(x, 0.5)


class Hoarding(nn.Module):
    """Keeps its results."""

    def forward(self, x):
        self.last = x * 2.0
        return self.last


bent = mg.op(lambda xp, x: 2 * x)
bent.gradient("x", formula="2")(lambda F, dy: 2 * dy + 0 * F.abs(dy) + 1e-3 * (F.abs(dy) - dy))


class Bent(nn.Module):
    def forward(self, x):
        return bent(x)


WRONG = {
    "no gradient in evaluation": (Frozen, GradientWrong, "evaluation"),
    "samples coupled": (Coupled, SamplesCoupled, "training"),
    "state outside of the state dict": (Hidden, StateLost, None),
    "noise in evaluation": (Leaky, ModesMixed, None),
    "a graph is kept": (Hoarding, LawBroken, "training"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_layer_fails_the_check_that_is_meant_for_it(name):
    factory, kind, mode = WRONG[name]
    error = layer_failure(factory, (2, 3))
    assert isinstance(error, kind)
    assert error.facts.get("mode") == mode
    if factory is not Hidden:  # whose numbers are never the same
        with pytest.raises(kind):
            exec(compile(error.repro, "repro", "exec"), {})


def test_a_failure_begins_with_its_check_and_the_seed_is_in_it():
    error = layer_failure(Bent, (2, 3), rng=7)
    assert str(error).startswith(f"{error.check}: ")
    assert "7" in str(error.facts["seed"])
    assert "rng=7" in error.repro


def test_an_error_in_one_check_alone_is_its_failure():
    class Picky(nn.Dense):
        def forward(self, x):
            if not x.requires_grad:
                raise ZeroDivisionError("picky")
            return super().forward(x)

    others = [name for name in CHECKS if name != "check_fewer_gradients"]
    for input in (2, 3), shapes(2, 2, 3, 3).flatmap(lambda s: arrays(s, "float32")):
        error = layer_failure(lambda: Picky(3, 2), input, skip=others)
        assert error.headline == "fewer gradients change none: ZeroDivisionError: picky"
        assert isinstance(error.__cause__, ZeroDivisionError)
        assert error.facts["subject"] == "Picky(3, 2, bias=True)"
        assert error.facts["mode"] == "training"


# -- what stays --------------------------------------------------------------------------------------------------------


def test_a_check_leaves_the_default_generator_as_it_was():
    mg.seed(5)
    expected = nn.Dense(2, 2).weight.numpy()
    mg.seed(5)
    check_layer(lambda: nn.Sequential(nn.Dense(3, 2), nn.Dropout()), (2, 3))
    assert np.array_equal(nn.Dense(2, 2).weight.numpy(), expected)


def test_one_axis_of_floats_is_no_batch():
    check_layer(lambda: nn.LayerNorm(3), input=(3,))
