"""What the tests of strategies share: all that one draws, the simplest that it draws, and facts about an array."""

from random import Random

import numpy as np
from hypothesis import Phase, find, given, seed, settings


def collect(strategy, count=600):
    """What a strategy draws."""
    found = []

    @seed(0)
    @settings(max_examples=count, database=None, phases=[Phase.generate])
    @given(strategy)
    def draw(value):
        found.append(value)

    draw()
    return found


def simplest(strategy, condition):
    """The smallest value for which a condition holds, as a failing test would show it."""
    return find(strategy, condition, settings=settings(max_examples=2000, database=None), random=Random(0))


def spread_of(a):
    """The least distance of two elements."""
    return np.diff(np.sort(a.ravel())).min(initial=np.inf)


def lies(name, a):
    """Whether an array of the host lies in memory as the layout's name says."""
    long = [axis for axis, n in enumerate(a.shape) if n > 1] if a.size else []
    if name == "C":
        return a.flags.c_contiguous and a.flags.writeable
    if name == "F":
        return a.flags.f_contiguous and a.flags.writeable
    if name == "permuted":
        return len(long) < 2 or not a.flags.c_contiguous
    if name == "strided":
        return a.base is not None and all(a.strides[axis] >= 2 * a.itemsize for axis in long)
    if name == "negative-stride":
        return not long or min(a.strides[axis] for axis in long) < 0
    if name == "broadcast":
        channels = min(1, a.ndim - 1)
        return channels not in long or a.strides[channels] == 0
    return not a.flags.writeable and a.base is None
