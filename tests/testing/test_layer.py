"""Every shipped layer passes every check, wrong ones don't, and what cannot be checked is said to be so."""

import subprocess
import sys
import traceback
from functools import partial

import numpy as np
import pytest
from hypothesis import strategies as st

import minigan as mg
from minigan import nn
from minigan.testing import (
    CHECKS,
    BadSubject,
    CheckFailed,
    GradientWrong,
    LawBroken,
    ModesMixed,
    OnKink,
    SamplesCoupled,
    StateLost,
    UnexpectedPass,
    arrays,
    check_layer,
    layer_checks,
    layers,
    shapes,
)

pytest_plugins = ["pytester"]

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


def failure(*args, **kwargs):
    with pytest.raises(CheckFailed) as caught:
        check_layer(*args, **kwargs)
    return caught.value


def test_the_failing_input_is_shrunk_to_the_smallest_odd_width():
    error = failure(WrongForOddWidths, shapes(2, 3, 2, 9).flatmap(lambda s: arrays(s, "float32")))
    assert isinstance(error, GradientWrong)
    assert "(2, 3) float32" in error.facts["inputs"]
    shown = "".join(traceback.format_exception(error))
    for noise in ("Falsifying example", "hypothesis", "reproduce_failure", "Explanation"):
        assert noise not in shown
    assert error.facts == failure(WrongForOddWidths, shapes(2, 3, 2, 9).flatmap(lambda s: arrays(s, "float32"))).facts


def test_the_repro_of_a_shrunk_failure_fails_alike():
    error = failure(WrongForOddWidths, shapes(2, 3, 2, 9).flatmap(lambda s: arrays(s, "float32")))
    with pytest.raises(GradientWrong) as again:
        exec(compile(error.repro, "repro", "exec"), {})
    assert again.value.headline == error.headline


def test_points_where_differences_say_nothing_are_passed_over_unless_there_are_no_others():
    halves = [name for name in CHECKS if name not in ("check_grads", "check_second_order")]
    check_layer(nn.ReLU, st.sampled_from([np.zeros(3), np.ones(3)]), skip=halves)
    with pytest.raises(OnKink):
        check_layer(nn.ReLU, st.just(np.zeros(3)), skip=halves)


# -- what is wrong -----------------------------------------------------------------------------------------------------


class Frozen(nn.Module):
    """Its weight gets no gradient in evaluation."""

    def __init__(self):
        self.weight = nn.Parameter([2.0, 3.0, 4.0])

    def forward(self, x):
        return x * (self.weight if self.training else self.weight.detach())


class Coupled(nn.Module):
    def forward(self, x):
        return x - x.mean(axis=0, keepdims=True)


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
    error = failure(factory, (2, 3))
    assert isinstance(error, kind)
    assert error.facts.get("mode") == mode
    if factory is not Hidden:  # whose numbers are never the same
        with pytest.raises(kind):
            exec(compile(error.repro, "repro", "exec"), {})


def test_a_failure_begins_with_its_check_and_the_seed_is_in_it():
    error = failure(Bent, (2, 3), rng=7)
    assert str(error).startswith(f"{error.check}: ")
    assert "7" in str(error.facts["seed"])
    assert "rng=7" in error.repro


def test_an_error_that_is_no_check_says_where_it_happened():
    class Picky(nn.Dense):
        def forward(self, x):
            if not x.requires_grad:
                raise ZeroDivisionError("picky")
            return super().forward(x)

    others = [name for name in CHECKS if name != "check_fewer_gradients"]
    for input in (2, 3), shapes(2, 2, 3, 3).flatmap(lambda s: arrays(s, "float32")):
        with pytest.raises(ZeroDivisionError, match="picky") as caught:
            check_layer(lambda: Picky(3, 2), input, skip=others)
        (note,) = caught.value.__notes__
        assert note.startswith("in check_fewer_gradients of Picky(3, 2, bias=True), in training, for inputs (")


# -- skip and expected failures ----------------------------------------------------------------------------------------


def test_what_is_skipped_is_not_run():
    check_layer(Coupled, (2, 3), skip=["check_batch_equivariance", "check_train_eval"])
    check_layer(Frozen, (2, 3), skip=[name for name in CHECKS if name != "check_deterministic"])


def test_an_expected_failure_is_none():
    reasons = {"check_batch_equivariance": "it centres the batch", "check_train_eval": "it centres the batch"}
    check_layer(Coupled, (2, 3), expected_failures=reasons)


def test_an_expected_failure_that_passes_is_one():
    with pytest.raises(UnexpectedPass) as caught:
        check_layer(nn.ReLU, (2, 3), expected_failures={"check_dtype": "it is old"})
    assert str(caught.value) == "check_layer: check_dtype is expected to fail because it is old, but it passed"
    drawn = shapes(1, 2, 1, 2).flatmap(lambda s: arrays(s, "float32"))
    with pytest.raises(UnexpectedPass):
        check_layer(nn.ReLU, drawn, expected_failures={"check_dtype": "it is old"})


def test_other_failures_are_still_failures():
    assert isinstance(
        failure(Frozen, (2, 3), expected_failures={"check_dtype": "it is old"}), (UnexpectedPass, GradientWrong)
    )


def test_a_bad_subject_is_no_expected_failure():
    with pytest.raises(BadSubject):
        check_layer(lambda: nn.Dense(3, 2), (2, 5), expected_failures=dict.fromkeys(CHECKS, "whatever"))


# -- bad input ---------------------------------------------------------------------------------------------------------


def raising():
    raise OSError("no such file")


class Growing(nn.Module):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return mg.ops.broadcast_to(x, (self.calls, *x.shape))


class NaN(nn.Module):
    def forward(self, x):
        return x * float("nan")


class Listing(nn.Module):
    def forward(self, x):
        return x.numpy()


widths = iter(range(1, 1000))


def growing(x):
    return mg.ops.broadcast_to(x, (next(widths), *x.shape))


BAD = {
    "a factory that raises": (raising, (2, 3), {}, r"factory raising raises OSError: no such file"),
    "a class that needs arguments": (nn.Dense, (2, 3), {}, r"factory Dense raises TypeError"),
    "no layer": (lambda: 3, (2, 3), {}, r"returned int; a Module is expected"),
    "a layer itself": (nn.ReLU(), (2, 3), {}, r"give lambda: ReLU\(\) instead of the layer"),
    "nothing to call": (3, (2, 3), {}, r"called without arguments for a layer, got int"),
    "an output that grows": (Growing, (2, 3), {}, r"changes its shape between calls"),
    "a function whose output grows": (growing, (2, 3), {}, r"changes its shape between calls"),
    "another output each time": (lambda: nn.Dense(3, next(widths)), (2, 3), {}, r"changes its shape between calls"),
    "NaN": (NaN, (2, 3), {}, r"NaN\(\) gives nan for finite inputs"),
    "no Tensor": (Listing, (2, 3), {}, r"returned \w+; a Tensor or a tuple of Tensors is expected"),
    "a layer that raises": (lambda: nn.Dense(3, 2), (2, 5), {}, r"Dense\(3, 2, bias=True\) raises ShapeError"),
    "a function that raises": (mg.ops.matmul, ((2, 3), (2, 3)), {}, r"matmul raises ShapeError"),
    "a negative side": (nn.ReLU, (2, -3), {}, r"input is a shape such as \(2, 3, 4, 4\).* got \(2, -3\)"),
    "half a shape": (nn.ReLU, (2, 3.5), {}, r"input is a shape such as .* got \(2, 3.5\)"),
    "text": (nn.ReLU, "2, 3", {}, r"input is a shape such as .* got '2, 3'"),
    "a list": (nn.ReLU, [2, 3], {}, r"input is a shape such as .* got \[2, 3\]"),
    "an empty strategy": (nn.ReLU, st.nothing(), {}, r"generates no input"),
    "a strategy that refuses all": (nn.ReLU, st.integers().filter(lambda n: False), {}, r"generates no input"),
    "a strategy of something else": (nn.ReLU, st.integers(), {}, r"has to give arrays or tuples of arrays, and gave 0"),
    "no such check": (
        nn.ReLU,
        (2, 3),
        {"skip": ["check_gradients"]},
        r"no check 'check_gradients'; there are check_shape",
    ),
    "no such check to fail": (nn.ReLU, (2, 3), {"expected_failures": {"grads": "x"}}, r"no check 'grads'"),
    "skipped and failing": (
        nn.ReLU,
        (2, 3),
        {"skip": ["check_grads"], "expected_failures": {"check_grads": "x"}},
        r"check_grads is to be skipped and is expected to fail",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_checked_is_one_clear_error(name):
    factory, input, options, message = BAD[name]
    with pytest.raises(BadSubject, match=message):
        check_layer(factory, input, **options)


@pytest.mark.parametrize("name", ["no such check", "no such check to fail", "skipped and failing"])
def test_the_decorator_says_so_at_once(name):
    factory, input, options, message = BAD[name]
    with pytest.raises(BadSubject, match=message):
        layer_checks(factory, input, **options)


# -- pytest ------------------------------------------------------------------------------------------------------------


@layer_checks(lambda: nn.Conv2d(3, 4, 3), input=(2, 3, 5, 5))
def test_a_decorated_test_is_one_test_a_check(check):
    check()


def test_each_check_has_its_id_and_expected_failures_are_shown_with_their_reason(pytester):
    pytester.makepyfile(
        """
        import minigan as mg
        from minigan.testing import layer_checks

        class Coupled(mg.nn.Module):
            def forward(self, x):
                return x - x.mean(axis=0, keepdims=True)

        reasons = {name: "it centres the batch" for name in ("check_batch_equivariance", "check_train_eval")}

        @layer_checks(Coupled, input=(2, 3), skip=["check_backends"], expected_failures=reasons)
        def test_coupled(check):
            check()

        @layer_checks(mg.nn.ReLU, input=(2, 3), expected_failures={"check_dtype": "it is old"})
        def test_relu(check):
            check()

        @layer_checks(lambda: 3, input=(2, 3), expected_failures={"check_dtype": "it is old"})
        def test_bad(check):
            check()
        """
    )
    result = pytester.runpytest_subprocess("-v", "-rx", "-p", "no:cacheprovider", "-p", "no:randomly")
    counts = result.parseoutcomes()
    checks = len(CHECKS)
    assert counts == {"passed": 2 * checks - 4, "xfailed": 2, "failed": checks + 1}
    result.stdout.fnmatch_lines_random(
        [
            "*::test_coupled?check_grads? PASSED*",
            "XFAIL *::test_coupled?check_batch_equivariance? - it centres the batch",
            "*::test_relu?check_dtype? FAILED*",
            "*XPASS(strict)* it is old*",
            "*::test_bad?check_dtype? FAILED*",
        ]
    )
    result.stdout.no_fnmatch_line("*test_coupled?check_backends?*")


def test_neither_hypothesis_nor_pytest_is_needed_for_a_plain_shape():
    program = (
        "import sys\n"
        "sys.modules['hypothesis'] = sys.modules['pytest'] = None\n"
        "import minigan as mg\n"
        "from minigan.testing import check_layer\n"
        "check_layer(mg.nn.ReLU, (2, 3))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# -- what stays --------------------------------------------------------------------------------------------------------


def test_a_check_leaves_the_default_generator_as_it_was():
    mg.seed(5)
    expected = nn.Dense(2, 2).weight.numpy()
    mg.seed(5)
    check_layer(lambda: nn.Sequential(nn.Dense(3, 2), nn.Dropout()), (2, 3))
    assert np.array_equal(nn.Dense(2, 2).weight.numpy(), expected)


def test_one_axis_of_floats_is_no_batch():
    check_layer(lambda: nn.LayerNorm(3), input=(3,))
