"""The containers that every other integration test stands on do their part."""

import asyncpg
import nats

from tickbus_testkit.users import NEIGHBOR, Users


async def test_jetstream_keeps_and_delivers_a_message(nats_url: str, nats_users: Users) -> None:
    login = nats_users.login(NEIGHBOR)
    client = await nats.connect(nats_url, user=login.user, password=login.password)
    stream = client.jetstream()
    await stream.add_stream(name="BROKERS", subjects=["brokers.>"])
    sent = await stream.publish("brokers.test", b"bought", headers={"Nats-Msg-Id": "1"})
    again = await stream.publish("brokers.test", b"bought", headers={"Nats-Msg-Id": "1"})
    assert (sent.duplicate, again.duplicate) == (None, True)
    subscription = await stream.pull_subscribe("brokers.>", durable="reader")
    [message] = await subscription.fetch(1, timeout=30)
    await message.ack_sync()
    assert message.data == b"bought"
    await stream.delete_stream("BROKERS")
    await client.close()


async def test_postgres_answers_with_its_version(postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    assert await connection.fetchval("SELECT current_setting('server_version')") >= "17"
    await connection.close()
