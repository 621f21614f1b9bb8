"""Real brokers for tests: each on a free port, empty at first and gone afterwards."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tickbus_embedded import EmbeddedNats, EmbeddedPostgres
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.users import Users


@asynccontextmanager
async def nats_server(users: Users | None = None) -> AsyncIterator[EmbeddedNats]:
    """A NATS server with JetStream, for a test that needs one to itself or wants to kill it.

    With `users` nobody else may connect, and each may do only what the table says.
    """
    accounts = users.accounts if users is not None else None
    with tempfile.TemporaryDirectory(prefix="tickbus-nats-") as directory:
        async with EmbeddedNats(
            Path(directory), accounts=accounts, start_timeout_s=PATIENCE_S, stop_timeout_s=30
        ) as server:
            yield server


@asynccontextmanager
async def postgres_server() -> AsyncIterator[EmbeddedPostgres]:
    """A Postgres server, for a test that needs one to itself or wants to kill it."""
    with tempfile.TemporaryDirectory(prefix="tickbus-postgres-") as directory:
        async with EmbeddedPostgres(
            Path(directory), start_timeout_s=PATIENCE_S, stop_timeout_s=30, durable=False
        ) as server:
            yield server
