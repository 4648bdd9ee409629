"""The pytest plugin: ``--minigan-backend`` runs every test on that backend, and no test leaves minigan's state changed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from minigan import backends
from minigan.autodiff.trace import mode
from minigan.backends import random
from minigan.errors import BackendError
from minigan.testing import STRICT


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("minigan").addoption(
        "--minigan-backend",
        choices=["numpy", STRICT.name, "cupy"],
        default="numpy",
        help="the backend where tests make their arrays; strict stands for a device where there is none",
    )


def pytest_configure(config: pytest.Config) -> None:
    try:
        backends.set_backend(config.getoption("--minigan-backend"))
    except BackendError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Every test starts with the same default generator, and on the backend and in the grad mode that the session has."""
    random.seed(0)
    before = backends.current().name, mode.enabled
    try:
        return (yield)
    finally:
        backends.set_backend(before[0])
        mode.enabled = before[1]


@pytest.fixture(scope="session")
def backend(pytestconfig: pytest.Config) -> str:
    """The name of the backend that ``--minigan-backend`` gives."""
    return str(pytestconfig.getoption("--minigan-backend"))
