"""Memory that is used again: as good as fresh, bounded, and never memory that somebody still sees."""

import gc
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan.backends.memory import ALIGNMENT, SMALLEST, STEP, Memory
from minigan.backends.numpy import NUMPY

# elements of float32 around the least size that is leased, and a few that share a rounded size
SIZES = st.sampled_from([1, SMALLEST // 4 - 1, SMALLEST // 4, SMALLEST // 4 + 1, SMALLEST // 2, SMALLEST])
VIEWS = {
    "itself": lambda a: a,
    "slice": lambda a: a[len(a) // 2 :],
    "every other": lambda a: a[::2],
    "reversed": lambda a: a[::-1],
    "reshaped": lambda a: a.reshape(1, -1),
    "transposed": lambda a: a.reshape(-1, 1).T,
    "bytes": lambda a: a.view(np.uint8),
    "view of a view": lambda a: a[1:].reshape(-1, 1)[::2],
}


@given(st.lists(st.tuples(SIZES, st.sampled_from(sorted(VIEWS)), st.integers(0, 3)), max_size=25))
def test_what_is_held_is_never_written_again(steps):
    """Arrays are made and dropped while some of them, or views of them, are held: each keeps the values it was given."""
    memory, held = Memory(), []
    for i, (size, view, drop) in enumerate(steps):
        a = memory.empty(size, "float32")
        a[...] = i + 1
        held.append((VIEWS[view](a), VIEWS[view](a.copy())))
        del a
        for _ in range(min(drop, len(held))):
            held.pop(len(held) // 2)
        for seen, expected in held:
            np.testing.assert_array_equal(seen, expected)


@given(st.lists(st.tuples(SIZES, st.booleans()), min_size=1, max_size=30), st.integers(0, 2 * SMALLEST))
def test_what_is_free_is_bounded_when_memory_is_asked_for(steps, bound):
    memory, held = Memory(bound), []
    for size, drop in steps:
        known = {id(block) for blocks in memory._blocks.values() for block in blocks}
        held.append(memory.empty(size, "float32"))
        if any(id(block) not in known for blocks in memory._blocks.values() for block in blocks):
            assert memory.free <= bound
        if drop:
            held.pop(0)
    held.clear()
    memory.clear()
    assert memory.free == 0
    assert not memory._blocks


@given(SIZES, st.integers(0, STEP // 8))
def test_a_freed_block_serves_the_next_array_of_about_its_size(size, less):
    memory = Memory()
    first = memory.empty(size, "float32")
    place = first.ctypes.data
    del first
    again = memory.empty(max(1, size - less), "float32")
    rounded = [-(-max(SMALLEST, n * 4) // STEP) for n in (size, size - less)]
    if min(size, size - less) * 4 >= SMALLEST and rounded[0] == rounded[1]:
        assert again.ctypes.data == place


@given(st.lists(st.integers(0, 40), max_size=4).map(tuple), st.sampled_from(["float32", "float64", "int64", "bool"]))
def test_arrays_are_like_those_of_numpy(shape, dtype):
    ours, theirs = Memory().empty(shape, dtype), np.empty(shape, dtype)
    assert type(ours) is np.ndarray
    assert (ours.shape, ours.dtype, ours.strides) == (theirs.shape, theirs.dtype, theirs.strides)
    assert ours.flags.writeable
    assert ours.flags.c_contiguous
    assert ours.nbytes < SMALLEST or ours.ctypes.data % ALIGNMENT == 0


def test_the_least_used_blocks_go_first():
    memory = Memory(bound=4 * SMALLEST)
    for times in (1, 4, 2):  # nobody keeps them, and none serves for another
        memory.empty(times * SMALLEST, "uint8")
    memory.empty(8 * SMALLEST, "uint8")
    assert {size for size, blocks in memory._blocks.items() if blocks} == {2 * SMALLEST, 8 * SMALLEST}


def test_a_block_is_free_without_the_collector():
    memory = Memory()
    gc.disable()
    try:
        a = memory.empty(3 * SMALLEST, "uint8")
        b = a[3:].reshape(-1, 3)
        del a
        assert memory.free == 0
        del b
        assert memory.free == 3 * SMALLEST
    finally:
        gc.enable()


def test_threads_never_share_a_block():
    memory, wrong = Memory(), []

    def work(i):
        for _ in range(200):
            a = memory.empty(SMALLEST, "uint8")
            a[...] = i
            if not (a == i).all():
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.parametrize("rounds", [1, 5])
def test_memory_that_is_used_again_is_not_asked_for_again(rounds):
    NUMPY.free_memory()
    tracemalloc.start()
    try:
        for _ in range(rounds):
            NUMPY.empty(1 << 20, "float32")
        assert tracemalloc.get_traced_memory()[1] < 1.5 * 4 * (1 << 20)
    finally:
        tracemalloc.stop()
