"""Timers count what is called from outside, and give what runs inside to it; the worker's memory is what a step took."""

import time

import numpy as np
import pytest

from minigan.bench import worker
from minigan.bench.timers import WARM_UP, Timers


def test_what_runs_inside_something_timed_belongs_to_that():
    timers = Timers(lambda: None)
    inner = timers.timed(lambda: time.sleep(0.001), "inner", "forward")
    outer = timers.timed(lambda: [inner(), inner()], "outer", "backward")

    def step():
        outer()
        inner()

    profile = timers.profile(step, 3)
    rows = {row["op"]: row for row in profile["ops"]}
    assert (rows["outer"]["backward_calls"], rows["outer"]["forward_calls"]) == (1, 0)
    assert (rows["inner"]["forward_calls"], rows["inner"]["backward_calls"]) == (1, 0)
    assert rows["outer"]["backward_ms"] >= 2  # two sleeps of a millisecond at least
    assert [row["op"] for row in profile["ops"]] == ["outer", "inner"]


def test_a_fast_rule_that_declines_is_no_call_and_an_error_is_no_end():
    timers = Timers(lambda: None)
    answers = iter([None, 1, None, 1])
    fast = timers.timed(lambda: next(answers), "op", "backward", may_decline=True)
    assert [fast() for _ in range(4)] == [None, 1, None, 1]
    assert timers.calls["op", "backward"] == 2

    def fails():
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        timers.timed(fails, "bad", "forward")()
    timers.timed(lambda: None, "good", "forward")()
    assert timers.calls["good", "forward"] == 1


def test_a_profile_begins_after_the_warm_up():
    steps = []
    Timers(lambda: None).profile(lambda: steps.append(1), 2)
    assert len(steps) == WARM_UP + 2


class Holder:
    """A side whose step holds `size` bytes for a moment, ten times less in the rehearsal."""

    def __init__(self, size):
        self.size, self.now = size, size

    def rehearse(self, samples):
        np.ones(self.size // 10, "uint8")

    def step(self):
        np.ones(self.size, "uint8")

    def finish(self):
        pass


@pytest.mark.skipif(not worker._restart_peak(), reason="this system does not let the peak begin anew")
def test_memory_is_the_peak_of_the_steps_though_nothing_is_held_at_their_end():
    # pages of 4 KiB, and what the interpreter takes beside: within a tenth
    for megabytes in (100, 40):  # falling, as a peak that was not begun anew would not
        assert worker.memory(Holder(megabytes * 1_000_000), 2) == pytest.approx(megabytes, rel=0.1)
