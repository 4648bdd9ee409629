"""The pytest plugin: tests on any backend, state sealed between them, marks, and hypothesis profiles.

``--minigan-backend strict`` runs every test there; ``all`` runs each on every backend that this machine has.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from minigan import backends
from minigan.autodiff.trace import recording
from minigan.backends import random
from minigan.errors import BackendError
from minigan.testing import STRICT

HERE = ["numpy", STRICT.name]  # on every machine
EXAMPLES = {"dev": 25, "ci": 25, "nightly": 500}  # of hypothesis, for each property


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("minigan").addoption(
        "--minigan-backend",
        choices=[*HERE, "cupy", "all"],
        default="numpy",
        help="where tests make their arrays; strict stands for a device where there is none; all: on each there is",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gpu: needs a GPU that CuPy can use; skipped without one")
    config.addinivalue_line("markers", "nightly: long; runs with the hypothesis profile nightly only")
    chosen = config.getoption("--minigan-backend")
    if chosen != "all":
        try:
            backends.set_backend(chosen)  # for what test modules make when they are imported
        except BackendError as error:
            raise pytest.UsageError(str(error)) from None
    try:
        from hypothesis import settings
    except ImportError:
        return
    settings.register_profile("dev", max_examples=EXAMPLES["dev"], deadline=None)
    settings.register_profile("ci", max_examples=EXAMPLES["ci"], deadline=None, derandomize=True, print_blob=True)
    settings.register_profile("nightly", max_examples=EXAMPLES["nightly"], deadline=None)


def _available(name: str) -> bool:
    try:
        backends.get(name)
    except BackendError:
        return False
    return True


def _nightly() -> bool:
    try:
        from hypothesis import settings
    except ImportError:
        return False
    return settings.get_current_profile_name() == "nightly"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.config.getoption("--minigan-backend") == "all":
        names = [*HERE, *filter(_available, ["cupy"])]
        metafunc.parametrize("backend", names, indirect=True, scope="session")


@pytest.fixture(scope="session", autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the backend where tests make their arrays."""
    with backends.backend(getattr(request, "param", backends.current().name)) as made:
        yield made.name


def pytest_runtest_setup(item: pytest.Item) -> None:
    random.seed(0)  # a test draws the same whatever ran before it
    if item.get_closest_marker("gpu") and not _available("cupy"):
        pytest.skip("needs a GPU that CuPy can use")
    if item.get_closest_marker("nightly") and not _nightly():
        pytest.skip("long; runs with --hypothesis-profile nightly")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Backend and grad mode are after a test what they were before it."""
    with backends.backend(backends.current().name), recording(True):
        return (yield)
