"""The shared servers answer, and a test's own server is another one."""

import asyncpg
import nats
from hypothesis import settings

from tickbus_testkit.brokers import nats_server, postgres_server


async def test_the_shared_nats_has_jetstream(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    info = await client.jetstream(timeout=60).account_info()
    assert info.limits.max_streams == -1, "as many as anybody makes"
    await client.close()


async def test_the_shared_postgres_answers(postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    assert await connection.fetchval("SELECT current_database()") == "tickbus"
    await connection.close()


async def test_a_server_of_ones_own_is_another_one(nats_url: str, postgres_dsn: str) -> None:
    async with nats_server() as own_nats, postgres_server() as own_postgres:
        assert own_nats.url != nats_url
        assert own_postgres.dsn != postgres_dsn


def test_no_example_of_a_property_fails_for_taking_long() -> None:
    assert settings().deadline is None
