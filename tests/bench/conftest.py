"""The number of threads is the process's: a bench sets it, and the next test finds it as it was."""

import pytest

from minigan import backends


@pytest.fixture(autouse=True)
def threads():
    before = backends.threads()
    yield
    backends.set_threads(before)
