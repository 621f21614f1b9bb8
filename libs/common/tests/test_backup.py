"""The operator can take a backup of the order path and restore it, as `nats stream backup` does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tickbus.bus import NatsBus
from tickbus.bus.connecting import options
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.users import NEIGHBOR, Users

pytestmark = pytest.mark.usefixtures("patient_bus")
CHUNK = 1024


@asynccontextmanager
async def operator(url: str, users: Users) -> AsyncIterator[tuple[Client, list[str]]]:
    """The client of the operator, and what the server refused it."""
    refused: list[str] = []

    async def on_error(error: Exception) -> None:
        if "permissions" in str(error).lower():
            refused.append(str(error))

    login = options(users.login("operator"))
    client = await nats.connect(url, error_cb=on_error, **login)
    yield client, refused
    await client.flush(PATIENCE_S)
    await client.close()


async def ask(client: Client, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.request(subject, json.dumps(body).encode(), timeout=PATIENCE_S)
    found: dict[str, Any] = json.loads(answer.data)
    assert "error" not in found, found
    return found


async def backup(client: Client, stream: str) -> tuple[dict[str, Any], list[bytes]]:
    """What the server sends of a stream, each piece acknowledged."""
    chunks: list[bytes] = []
    done = asyncio.Event()

    async def take(message: Msg) -> None:
        if not message.data:
            done.set()
            return
        chunks.append(message.data)
        if message.reply:
            await client.publish(message.reply)

    inbox = client.new_inbox()
    await client.subscribe(inbox, cb=take)
    wish = {"deliver_subject": inbox, "chunk_size": CHUNK, "no_consumers": False}
    facts = await ask(client, f"$JS.API.STREAM.SNAPSHOT.{stream}", wish)
    await asyncio.wait_for(done.wait(), PATIENCE_S)
    return facts, chunks


async def restore(client: Client, stream: str, facts: dict[str, Any], chunks: list[bytes]) -> Any:
    wish = {"config": facts["config"], "state": facts["state"]}
    target = (await ask(client, f"$JS.API.STREAM.RESTORE.{stream}", wish))["deliver_subject"]
    for chunk in chunks:
        await client.request(target, chunk, timeout=PATIENCE_S)
    answer = json.loads((await client.request(target, b"", timeout=PATIENCE_S)).data)
    assert "error" not in answer, answer
    return answer["state"]


async def test_the_order_path_comes_back_from_a_backup_on_another_server() -> None:
    users = Users()
    async with nats_server(users) as lost:
        bus = await NatsBus.connect(lost.url, "test", users.login(NEIGHBOR))
        for n in range(300):
            await bus.publish_durable("orders.intent.manual", b"order %d" % n, f"id-{n}")
        await bus.close()
        async with operator(lost.url, users) as (client, refused):
            facts, chunks = await backup(client, "ORDERS")
        assert len(chunks) > 1, "what is acknowledged matters only then"
        assert refused == []
    async with nats_server(users) as found:
        async with operator(found.url, users) as (client, refused):
            state = await restore(client, "ORDERS", facts, chunks)
        assert refused == []
        assert (state["messages"], state["last_seq"]) == (300, 300)
        bus = await NatsBus.connect(found.url, "test", users.login(NEIGHBOR))
        assert (await bus.read(300)).payload == b"order 299"
        await bus.close()
