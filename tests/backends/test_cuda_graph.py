"""A CUDA graph as far as it can be proved without a GPU: what is asked of CuPy, in which order, and what is left behind.

The CuPy of these tests only writes down what it is asked; that its streams, events and graphs do what CUDA's do is not shown.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from minigan.backends.cupy import MANY, CuPyBackend
from minigan.errors import CaptureError

pytestmark = pytest.mark.host  # about no arrays


class CUDARuntimeError(RuntimeError):
    """As CuPy's."""


class FakeCuPy:
    """What `CuPyBackend` and `CudaGraph` call, with everything written down in `log`."""

    ndarray = type("ndarray", (), {})

    def __init__(self):
        self.log, self.current, self.allocator, self.capturing = [], "default", "pool of all", False
        fake = self

        class Stream:
            def __init__(self, non_blocking=False, name="own"):
                assert non_blocking or name == "default", "it would wait for the default stream"
                self.name = name

            def __enter__(self):
                fake.outer, fake.current = fake.current, self.name

            def __exit__(self, *_):
                fake.current = fake.outer

            def begin_capture(self):
                assert fake.current == self.name
                fake.capturing = True
                fake.log.append("begin")

            def end_capture(self):
                fake.capturing = False
                fake.log.append("end")
                if fake.invalid:
                    raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated")
                return SimpleNamespace(launch=lambda stream: fake.log.append(f"launch on {stream.name}"))

            def record(self, event):
                fake.log.append(f"{self.name} reaches {event}")

            def wait_event(self, event):
                fake.log.append(f"{self.name} waits for {event}")

        class Pool:
            def malloc(self, size):
                raise AssertionError("only its identity matters here")

        class Using:
            def __init__(self, allocator):
                self.allocator = allocator

            def __enter__(self):
                self.before, fake.allocator = fake.allocator, self.allocator

            def __exit__(self, *_):
                fake.allocator = self.before

        events = iter(["before", "behind"])
        self.invalid = False
        default = Stream(name="default")
        self.cuda = SimpleNamespace(
            Stream=Stream, MemoryPool=Pool, using_allocator=Using, get_current_stream=lambda: default,
            Event=lambda disable_timing: next(events),
        )  # fmt: skip

    def array(self, values):
        return values

    asnumpy = array

    def concatenate(self, arrays, axis=0):
        assert len(arrays) <= MANY or not self.capturing
        return np.concatenate(arrays, axis)

    def expand_dims(self, a, axis):
        return np.expand_dims(a, axis)


@pytest.fixture
def cupy():
    return FakeCuPy()


@pytest.fixture
def graph(cupy):
    return CuPyBackend(cupy).new_graph()


AROUND = ["default reaches before", "own waits for before"], ["own reaches behind", "default waits for behind"]


def test_a_function_runs_is_recorded_and_launched_in_one_place_between_what_is_outside(cupy, graph):
    def function():
        seen.append((cupy.current, cupy.allocator, cupy.capturing))
        cupy.log.append("work")
        return "result"

    seen, (first, last) = [], AROUND
    assert graph.run(function) == graph.record(function) == "result"
    graph.replay()
    capture, launch = [*first, "begin", "work", "end", *last], [*first, "launch on own", *last]
    assert cupy.log == [*first, "work", *last, *capture, *launch, *launch]
    assert seen == [("own", graph._pool.malloc, False), ("own", graph._pool.malloc, True)]
    assert (cupy.current, cupy.allocator) == ("default", "pool of all")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (NotImplementedError("cuBLAS"), CaptureError),  # what CuPy says to a product in a capture
        (CUDARuntimeError("cudaErrorStreamCaptureUnsupported"), CaptureError),
        (RuntimeError("radix_sort: failed on 1st step"), CaptureError),  # what Thrust says
        (ZeroDivisionError(), ZeroDivisionError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
@pytest.mark.parametrize("invalid", [False, True])
def test_a_capture_that_fails_is_ended_and_leaves_stream_and_memory_as_they_were(cupy, graph, error, raised, invalid):
    def function():
        raise error

    cupy.invalid = invalid
    with pytest.raises(raised):
        graph.record(function)
    assert cupy.log == [*AROUND[0], "begin", "end", *AROUND[1]]
    assert (cupy.current, cupy.allocator, cupy.capturing) == ("default", "pool of all", False)
    assert graph.xp.open_graph is None
    assert not graph.xp.recording


def test_a_capture_that_turns_out_to_be_none_is_named(cupy, graph):
    cupy.invalid = True
    with pytest.raises(CaptureError, match="CuPy cannot capture what was computed: cudaErrorStreamCaptureInvalidated"):
        graph.record(lambda: None)
    assert (cupy.current, cupy.allocator) == ("default", "pool of all")


def test_copies_between_host_and_device_are_refused_while_capturing(graph):
    xp, x = graph.xp, np.zeros(3)
    for copy in (xp.from_host, xp.to_host):
        np.testing.assert_array_equal(copy(x), x)
        with pytest.raises(CaptureError, match=r"values of shape \(3,\)"):
            graph.record(lambda copy=copy: copy(x))
        graph.run(lambda copy=copy: copy(x))
        assert "(3,)" in graph.refused


@pytest.mark.parametrize("count", [1, MANY, MANY + 1, MANY**2 + 1])
def test_many_arrays_are_put_side_by_side_without_a_list_of_addresses(graph, count):
    xp, arrays = graph.xp, [np.full(2, i) for i in range(count)]
    for call in (graph.run, graph.record, lambda function: function()):
        np.testing.assert_array_equal(call(lambda: xp.concatenate(arrays)), np.concatenate(arrays))
        np.testing.assert_array_equal(call(lambda: xp.stack(arrays, axis=1)), np.stack(arrays, axis=1))


def test_what_is_asked_of_cupy_is_there():
    """The fake's names are CuPy's own."""
    cupy = pytest.importorskip("cupy", exc_type=ImportError)
    for name in ("Stream", "MemoryPool", "Event", "Graph", "using_allocator", "get_current_stream"):
        assert hasattr(cupy.cuda, name)
    for name in ("begin_capture", "end_capture", "record", "wait_event", "__enter__"):
        assert hasattr(cupy.cuda.Stream, name)
    assert hasattr(cupy.cuda.Graph, "launch")
    assert hasattr(cupy.cuda.MemoryPool, "malloc")
    assert issubclass(cupy.cuda.runtime.CUDARuntimeError, RuntimeError)
