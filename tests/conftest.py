"""How much hypothesis tries, `dev` by default or the profile in HYPOTHESIS_PROFILE; and what only the host's arrays can show.

With MINIGAN_SIMULATED set the strict backend has the kernels of a GPU, simulated: `make test-simulated`.
"""

import os
import signal

import pytest
from cuda_support import simulated_on_strict
from hypothesis import settings

from minigan import backends

SIMULATED = pytest.StashKey()


@pytest.hookimpl(trylast=True)  # minigan's own plugin registers the profiles
def pytest_configure(config):
    config.addinivalue_line("markers", "host: about arrays in the host's memory, or about none; other backends skip it")
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
    if "MINIGAN_SIMULATED" in os.environ:
        config.stash[SIMULATED] = simulation = simulated_on_strict()
        simulation.__enter__()
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell has it for what it starts in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config):
    if SIMULATED in config.stash:
        config.stash[SIMULATED].__exit__(None, None, None)


def pytest_runtest_setup(item):
    chosen = getattr(getattr(item, "callspec", None), "params", {}).get("backend")  # with --minigan-backend all
    if item.get_closest_marker("host") and (chosen or backends.current().name) != "numpy":
        pytest.skip("about arrays in the host's memory, or about none")
