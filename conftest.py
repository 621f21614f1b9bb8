"""What every test of the repository may ask for, and how the tests are shared out to workers."""

import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tickbus_testkit.sharing_out import share_out, writable

pytest_plugins = ["tickbus_testkit.fixtures"]

# A machine that tests share may stand still in any example: how long one took says nothing.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


STATE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    # Logins, and where platforms run, are kept for each user of a machine: tests see none of them,
    # and what runs elsewhere on it is never what a test stops.
    config.stash[STATE] = os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="tickbus-state-")


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[STATE], ignore_errors=True)


@pytest.hookimpl(tryfirst=True)  # xdist then reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    share_out(items)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    # A test of half letters logs some, and a worker that cannot send its report ends the whole run.
    return writable((yield))


@pytest.fixture(autouse=True)
def _places_of_modules() -> Iterator[None]:
    """What lies beside a strategy that a test loads is found by no other test."""
    before = list(sys.path)
    yield
    sys.path[:] = before
