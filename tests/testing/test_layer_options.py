"""What is skipped or expected to fail, what cannot be checked, and one pytest test a check."""

import subprocess
import sys

import pytest
from hypothesis import strategies as st
from planted import Coupled, Frozen, layer_failure

import minigan as mg
from minigan import nn
from minigan.testing import (
    CHECKS,
    BadSubject,
    GradientWrong,
    UnexpectedPass,
    arrays,
    check_layer,
    layer_checks,
    shapes,
)

pytest_plugins = ["pytester"]


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
        layer_failure(Frozen, (2, 3), expected_failures={"check_dtype": "it is old"}), (UnexpectedPass, GradientWrong)
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


@pytest.mark.host
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


@pytest.mark.host
def test_neither_hypothesis_nor_pytest_is_needed_for_a_plain_shape():
    program = (
        "import sys\n"
        "sys.modules['hypothesis'] = sys.modules['pytest'] = None\n"
        "import minigan as mg\n"
        "from minigan.testing import check_layer\n"
        "check_layer(mg.nn.ReLU, (2, 3))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
