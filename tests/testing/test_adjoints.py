"""check_adjoint and check_linear: linear functions pass, wrong adjoints and what is not linear are named."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import averaged, by_one, conv_flipped, inputs, normal, not_summed

import minigan as mg
from minigan.testing import check_adjoint, check_linear
from minigan.testing.failures import AdjointWrong, BadSubject, NotLinear

F = mg.ops
seeds = st.integers(0, 2**31)

LINEAR: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "matmul": (F.matmul, inputs((2, 3), (3, 4)), [0, "b"]),
    "linear": (F.linear, inputs((2, 3), (4, 3), (4,)), ["x", "weight", "bias"]),
    "conv2d": (partial(F.conv2d, stride=2, padding=1), inputs((2, 2, 5, 4), (3, 2, 3, 2), (3,)), [0, 1, 2]),
    "conv_transpose2d": (partial(F.conv_transpose2d, stride=2), inputs((2, 2, 3, 3), (2, 3, 3, 2)), [0, 1]),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), inputs((1, 2, 4, 4)), [0]),
    "dropout": (F.dropout, inputs((3, 4)), [0]),
    "getitem": (partial(F.getitem, index=np.array([0, 2, 0])), inputs((4, 3)), [0]),
    "sum of squares by the other": (lambda x, y: (y * y).sum() * x + y, inputs((3,), (3,)), [0]),
    "constant": (lambda x: x.detach() * 0 + 1, inputs((3,)), [0]),
    "a layer": (mg.nn.Conv2d(2, 3, 3, rng=0), inputs((2, 2, 4, 4)), [0, "weight", "bias"]),
    "empty": (F.matmul, [np.zeros((2, 0)), np.zeros((0, 3))], [0, 1]),
}


@pytest.mark.parametrize("name", LINEAR)
@given(seed=seeds)
def test_adjoints_of_linear_functions(name, seed):
    f, arrays, variables = LINEAR[name]
    for wrt in variables:
        check_adjoint(f, *arrays, wrt=wrt, rng=seed)
        check_linear(f, *arrays, wrt=wrt, rng=seed)


@given(seed=seeds)
def test_wrong_adjoints_are_found(seed):
    for f, shapes, wrt in [(by_one, [(5,)], 0), (not_summed, [(4, 3), (3,)], 1), (averaged, [(4, 3), (3,)], "b")]:
        with pytest.raises(AdjointWrong, match=f"{f.name}.gradient"):
            check_adjoint(f, *inputs(*shapes), wrt=wrt, rng=seed)
    with pytest.raises(AdjointWrong, match=r'conv_flipped\.gradient\("weight"\)'):
        check_adjoint(conv_flipped, *inputs((2, 2, 5, 4), (3, 2, 2, 2)), wrt="weight", rng=seed)


@given(seed=seeds, f=st.sampled_from([F.tanh, F.exp, F.relu, F.abs, lambda x: x * x, lambda x: x * (1 + 1e-8 * x)]))
def test_what_is_not_linear_is_said(seed, f):
    x = normal(8, seed=seed % 1000)
    for check in (check_linear, check_adjoint):
        with pytest.raises(NotLinear, match="f is not linear in x"):
            check(f, x, rng=seed)


def test_adjoint_of_a_variable_that_is_not_there():
    for wrt in (2, -1, "z"):
        with pytest.raises(BadSubject, match=r"check_adjoint: wrt=.* is none of the variables a, b"):
            check_adjoint(F.matmul, *inputs((2, 3), (3, 4)), wrt=wrt)
    with pytest.raises(BadSubject, match="check_linear: the output y is not finite"):
        check_linear(F.log, np.array([1.0]))
