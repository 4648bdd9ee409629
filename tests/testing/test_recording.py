"""Recording on the strict backend: a replay is the function once more, on what lies in its arrays by then."""

import gc
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan import backends
from minigan.errors import CaptureError
from minigan.testing import STRICT, StrictArray

pytestmark = pytest.mark.host  # they have a backend of their own

# -- programs: each line makes an array from earlier ones, or writes into one of its own ------------------------------

LINES = {
    "sum": lambda xp, a, b: xp.sum(a, axis=0) + b,
    "mixed": lambda xp, a, b: xp.where(a > 0, a, 2 * b),
    "view": lambda xp, a, b: a.transpose(1, 0)[::-1],
    "part": lambda xp, a, b: a[1:, ...] * b[:1],
    "product": lambda xp, a, b: xp.matmul(a, b) / 4,
    "stacked": lambda xp, a, b: xp.concatenate((a, b))[1:4],
    "rows": lambda xp, a, b: a[xp.argsort(b[:, 0])],
    "number": lambda xp, a, b: xp.mean(a) - b,
    "new": lambda xp, a, b: xp.zeros((3, 3)) + a[0],
}


def in_place(xp, a, b):
    a += b / 2
    return a


def written(xp, a, b):
    y = xp.empty((3, 3))
    y[...] = a
    y[0] = 1.5
    y[1:] *= b[1:]
    return y


def filled(xp, a, b):
    y = a.copy()
    y[:2].fill(0.25)
    xp.add(y, b, out=y)
    return y


LINES |= {"in place": in_place, "written": written, "filled": filled}
programs = st.lists(st.tuples(st.sampled_from(sorted(LINES)), st.integers(0, 9), st.integers(0, 9)), max_size=8)


def run(xp, program, x, state):
    """Every line's result; what is written in place is `state`, or comes from earlier lines."""
    arrays = [x, state]
    for name, i, j in program:
        a, b = arrays[i % len(arrays)], arrays[j % len(arrays)]
        if name == "in place":
            a = state
        if (a.shape, b.shape) == ((3, 3), (3, 3)):
            y = LINES[name](xp, a, b)
            arrays.append(y if y.shape == (3, 3) else xp.broadcast_to(y[:1], (3, 3)) + 0)
    state[...] = (arrays[-1] + state) / 3  # what is added to itself must not grow without end
    return arrays[-1] * 1


@given(programs, st.integers(0, 2**32 - 1))
def test_a_replay_is_the_function_once_more(program, seed):
    rng = np.random.default_rng(seed)
    x, state, twin = (STRICT.from_host(rng.normal(size=(3, 3))) for _ in range(3))
    twin[...] = state
    graph = STRICT.new_graph()
    for call in range(5):
        x[...] = STRICT.from_host(rng.normal(size=(3, 3)))
        expected = run(STRICT, program, x, twin)
        if call == 0:
            found = graph.run(lambda: run(STRICT, program, x, state))
        elif call == 1:
            found = graph.record(lambda: run(STRICT, program, x, state))
        else:
            graph.replay()
        np.testing.assert_array_equal(STRICT.to_host(found), STRICT.to_host(expected))
        np.testing.assert_array_equal(STRICT.to_host(state), STRICT.to_host(twin))


def test_a_replay_is_one_launch_and_makes_no_array():
    x, y = STRICT.from_host(np.ones(3)), STRICT.from_host(np.zeros(3))
    graph, calls = STRICT.new_graph(), []

    def function():
        calls.append(1)
        y[...] = 2 * x + y
        return STRICT.zeros(3) + y

    result = graph.record(function)
    noted = len(graph.noted)
    gc.collect()
    before = (
        STRICT.launches,
        STRICT.host_reads,
        STRICT.host_copies,
        sum(type(o) is StrictArray for o in gc.get_objects()),
    )
    for _ in range(10):
        graph.replay()
    gc.collect()
    after = (
        STRICT.launches,
        STRICT.host_reads,
        STRICT.host_copies,
        sum(type(o) is StrictArray for o in gc.get_objects()),
    )
    assert after == (before[0] + 10, *before[1:])
    assert (len(graph.noted), len(calls)) == (noted, 1)
    assert STRICT.to_host(result).tolist() == STRICT.to_host(y).tolist() == [22.0] * 3


def test_numbers_of_the_host_are_frozen_and_arrays_are_not():
    """The classic mistake: a rate that is a Python number is that of the recording ever after."""
    rate, there = 0.5, STRICT.from_host(np.array(0.5))
    x, y = STRICT.from_host(np.zeros(())), STRICT.from_host(np.zeros(()))
    graph = STRICT.new_graph()

    def function():
        x[...] = x + rate
        y[...] = y + there

    graph.record(function)
    rate, there[...] = 2.0, 2.0
    graph.replay()
    assert (STRICT.to_host(x), STRICT.to_host(y)) == (1.0, 2.5)


MASK = STRICT.from_host(np.array([True, False, True]))
X = STRICT.from_host(np.arange(3.0))
REFUSED = {
    "a read": lambda: STRICT.to_host(X),
    "a copy from the host": lambda: STRICT.from_host(np.zeros(3)),
    "an index of the host": lambda: X[STRICT.indices(np.array([0, 1]))],
    "a mask": lambda: X[MASK],
    "a mask to write at": lambda: X.__setitem__(MASK, 1.0),
    "places": lambda: STRICT.nonzero(X),
    "places of a condition": lambda: STRICT.where(MASK),
    "another graph": lambda: STRICT.new_graph().run(lambda: None),
    "another recording": lambda: STRICT.new_graph().record(lambda: None),
}


@pytest.mark.parametrize("what", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_recorded_is_refused_and_named_beforehand(what):
    graph = STRICT.new_graph()
    with pytest.raises(CaptureError, match=r"which cannot be recorded|inside of another"):
        graph.record(lambda: (X + 1, what()))
    assert STRICT.open_graph is None
    with nullcontext() if what in list(REFUSED.values())[:-2] else pytest.raises(CaptureError):
        graph.run(what)  # an ordinary call, but for another graph
        assert graph.refused
    graph.run(lambda: X + 1)
    assert not graph.refused


@given(programs, st.integers(0, 8), st.integers(0, 2**32 - 1))
def test_a_function_that_raises_leaves_everything_as_it_was(program, line, seed):
    """Wherever it raises: nothing was computed, who follows has been told, and the next recording is as good as ever."""
    rng = np.random.default_rng(seed)
    x, state = (STRICT.from_host(rng.normal(size=(3, 3))) for _ in range(2))
    before, counted = STRICT.to_host(state), []

    def function():
        STRICT.follow(lambda: None, counted.append)
        run(STRICT, program[:line], x, state)
        raise ZeroDivisionError

    graph = STRICT.new_graph()
    with pytest.raises(ZeroDivisionError):
        graph.record(function)
    assert (counted, STRICT.open_graph, STRICT.recording) == ([-1], None, False)
    np.testing.assert_array_equal(STRICT.to_host(state), before)
    twin = STRICT.from_host(before)
    graph.record(lambda: run(STRICT, program, x, state))
    graph.replay()
    for _ in range(2):
        run(STRICT, program, x, twin)
    np.testing.assert_array_equal(STRICT.to_host(state), STRICT.to_host(twin))


def test_who_follows_is_asked_before_each_launch_and_told_after():
    told, x = [], STRICT.from_host(np.zeros(()))

    def function():
        STRICT.follow(lambda: told.append(f"before {STRICT.to_host(x):.0f}"), lambda by: told.append(by))
        x[...] = x + 1

    graph = STRICT.new_graph()
    graph.run(function)
    graph.record(function)
    graph.replay()
    assert told == ["before 1", "before 2", 1]
    STRICT.follow(told.clear, told.clear)  # where nothing is recorded nobody follows
    graph.replay()
    assert told == ["before 1", "before 2", 1, "before 3", 1]


def test_the_host_has_nothing_to_record():
    with pytest.raises(CaptureError, match="the backend 'numpy' cannot record"):
        backends.get("numpy").new_graph()
    assert not backends.get("numpy").can_record
