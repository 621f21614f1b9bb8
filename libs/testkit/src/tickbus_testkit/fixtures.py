"""pytest fixtures that every member may use; the repository's conftest.py loads this plugin.

A server is started for the first test that asks for it and shared by the rest of the run, so a
test names what it creates (streams, tables) for itself.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tickbus_testkit.brokers import nats_server, postgres_server
from tickbus_testkit.patience import be_patient


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_url() -> AsyncIterator[str]:
    """Where a NATS server with JetStream listens."""
    async with nats_server() as server:
        yield server.url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_dsn() -> AsyncIterator[str]:
    """Where a Postgres listens, with the account that owns its database."""
    async with postgres_server() as server:
        yield server.dsn


@pytest.fixture
def patient_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails because a bus, or who stops, took its time: see `tickbus_testkit.patience`."""
    be_patient(monkeypatch)
