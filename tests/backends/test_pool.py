"""The one pool of threads: every part done once, in the caller's context, with BLAS kept to one thread."""

import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

import minigan as mg
from minigan import backends
from minigan.backends import passes, pool
from minigan.backends.numpy import NUMPY
from minigan.errors import BackendError

MANY = pool.usable()


@pytest.fixture(autouse=True, params=["asleep", "spinning"])
def several(monkeypatch, request):
    """As many threads as parts in these tests, whatever the machine has; they wait as they do with each kind of loops."""
    monkeypatch.setattr(pool._pool, "size", 3)
    monkeypatch.setattr(pool._pool, "serving", True)
    monkeypatch.setattr(pool._pool, "wait", (passes if request.param == "asleep" else NUMPY.compiled).wait)


def test_a_wait_ends_by_itself():
    assert pool._pool.wait(np.array([3]), 3) is None


@given(st.integers(0, 50), st.integers(1, 20))
def test_the_parts_make_up_the_range_and_results_come_in_order(count, least):
    parts = pool.run(lambda part: list(range(part.start, part.stop)), count, least)
    assert [i for part in parts for i in part] == list(range(count))
    assert len(parts) <= 3
    assert all(len(part) >= least for part in parts) or len(parts) == 1


def test_parts_run_at_the_same_time():
    meeting = threading.Barrier(3, timeout=20)
    names = pool.run(lambda part: meeting.wait() is not None and threading.current_thread().name, 3)
    assert len(names) == 3


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_an_error_in_any_part_arrives_and_the_pool_goes_on(wrong):
    def work(part):
        if part.start == wrong:
            raise ZeroDivisionError(f"part {wrong}")

    with pytest.raises(ZeroDivisionError, match=f"part {wrong}"):
        pool.run(work, 3)
    assert pool.run(lambda part: part.start, 3) == [0, 1, 2]


def test_a_part_may_call_what_is_cut_into_parts_itself():
    def work(part):
        return sum(pool.run(lambda inner: inner.stop - inner.start, 10))

    assert pool.run(work, 3) == [10, 10, 10]


def test_numpys_error_state_is_the_callers():
    def work(part):
        return np.geterr()["over"]

    with np.errstate(over="raise"):
        assert pool.run(work, 3) == ["raise"] * 3


def test_blas_has_one_thread_inside_and_its_own_afterwards():
    def counts():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = counts()
    inside = pool.run(lambda part: counts(), 3)
    assert all(n == 1 for found in inside for n in found)
    assert counts() == before


def test_callers_in_several_threads_do_not_mix():
    wrong = []

    def call(i):
        for _ in range(50):
            if pool.run(lambda part: (i, part.start), 3) != [(i, 0), (i, 1), (i, 2)]:
                wrong.append(i)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    pool.run(lambda part: None, 3)
    with multiprocessing.get_context("fork").Pool(1) as processes:
        assert processes.apply_async(_in_child).get(timeout=30) == [0, 1, 2]


def _in_child():
    return pool.run(lambda part: part.start, 3)


def test_until_it_takes_over_all_is_done_in_one_part():
    for own, cut in ((False, [(0, 9)]), (True, [(0, 3), (3, 6), (6, 9)])):
        with backends.own_threads(own):
            assert pool.run(lambda part: (part.start, part.stop), 9) == cut


def test_the_first_large_convolution_takes_over():
    with backends.own_threads(False):
        weight = mg.tensor(np.ones((2, 1, 3, 3), "float32"))
        mg.ops.conv2d(mg.tensor(np.ones((1, 1, 8, 8), "float32")), weight)
        assert not pool.serving()
        mg.ops.conv2d(mg.tensor(np.ones((16, 1, 64, 64), "float32")), weight)
        assert pool.serving() == (mg.tensor(0.0).backend == "numpy")


@pytest.mark.host
@pytest.mark.parametrize("shapes", [((128, 6272), (6272, 1)), ((1, 64), (64, 6272)), ((4, 300, 300), (4, 300, 300))])
def test_no_product_wakes_blas_threads_while_minigans_serve(shapes, monkeypatch):
    """They would spin beside minigan's, and slow down all that follows."""
    seen = []
    matmul = np.matmul

    def noting(*args, **kwargs):
        seen.extend(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        return matmul(*args, **kwargs)

    monkeypatch.setattr(np, "matmul", noting)
    NUMPY.matmul(*(np.ones(shape, "float32") for shape in shapes))
    assert set(seen) <= {1}


@pytest.mark.parametrize("n", [0, -1, MANY + 1, 1.0, "2", None])
def test_a_number_of_threads_that_cannot_be(n):
    with pytest.raises(BackendError, match=f"threads must be from 1 to {MANY}, .* got {n!r}"):
        backends.set_threads(n)
    assert backends.threads() == 3


@pytest.mark.host
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, MANY),
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "64"}, 1),
        ({"OMP_NUM_THREADS": "64"}, MANY),
        ({"OMP_NUM_THREADS": "many"}, MANY),
        ({"OMP_NUM_THREADS": "0"}, 1),
    ],
)
def test_the_usual_variables_say_how_many_threads_there_are(variables, expected):
    environment = {k: v for k, v in os.environ.items() if k not in pool.VARIABLES} | variables
    program = "import minigan as mg; print(mg.backends.threads())"
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert int(run.stdout) == expected
