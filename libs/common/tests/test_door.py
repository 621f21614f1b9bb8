"""One request at the door to the streams holds up no other, and none is done for nobody."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import nats
import pytest
from nats.aio.client import Client

from tickbus.bus import door
from tickbus.bus.consumers import Wish
from tickbus_testkit.brokers import nats_server

SUBJECT = "control.reader.strategy-alpha.all"


class Streams:
    """JetStream that answers nobody who asks for a message, before it is told to."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.asked = 0

    async def get_msg(self, stream: str, sequence: int) -> Any:
        self.asked += 1
        await self.answers.wait()
        return SimpleNamespace(subject="orders.event.sim.alpha", data=b"kept", seq=sequence)

    async def stream_info(self, stream: str) -> Any:
        return SimpleNamespace(state=SimpleNamespace(last_seq=7))


async def ask(
    client: Client, request: door.Request, timeout_s: float = 30, subject: str = SUBJECT
) -> door.Answer:
    packed = msgspec.msgpack.encode(request)
    message = await client.request(subject, packed, timeout=timeout_s)
    return msgspec.msgpack.decode(message.data, type=door.Answer)


@pytest.mark.parametrize("limit", ["AT_ONCE_MAX", "AT_ONCE_OF_ONE_MAX"])
async def test_a_request_that_waits_holds_up_no_other(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, limit, 2)
    async with nats_server() as server:
        client, streams = await nats.connect(server.url), Streams()
        try:
            keeper: Any = door.Doorkeeper(client, streams)  # type: ignore[arg-type]
            await keeper.open()
            waits = asyncio.create_task(ask(client, door.Read(5)))
            async with asyncio.timeout(30):
                while not streams.asked:
                    await asyncio.sleep(0.01)
            assert msgspec.msgpack.decode((await ask(client, door.Last())).value) == 7
            # With as many on their way as there may be, one more is left to be asked again.
            also = asyncio.create_task(ask(client, door.Read(6)))
            async with asyncio.timeout(30):
                while streams.asked < 2:
                    await asyncio.sleep(0.01)
            with pytest.raises(nats.errors.TimeoutError):
                await ask(client, door.Last(), timeout_s=0.2)
            if limit == "AT_ONCE_OF_ONE_MAX":
                other = await ask(client, door.Last(), subject="control.reader.strategy-beta.all")
                assert msgspec.msgpack.decode(other.value) == 7, "others have room"
            streams.answers.set()
            for answer in (await waits, await also):
                assert b"kept" in answer.value
            assert msgspec.msgpack.decode((await ask(client, door.Last())).value) == 7
            async with asyncio.timeout(30):
                while keeper._of_one:  # nobody is remembered for what is done
                    await asyncio.sleep(0.01)
        finally:
            await client.close()


async def test_no_consumer_is_made_for_who_has_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Wish] = []

    async def make(self: door.Doorkeeper, user: object, wish: Wish) -> bool:
        made.append(wish)
        return True

    monkeypatch.setattr(door.Doorkeeper, "_make", make)
    monkeypatch.setattr(door, "ASK_TIMEOUT_S", 0.1)
    wish = door.Make(Wish("ORDERS", ("orders.event.>",), "deliver.x.y", 1))
    async with nats_server() as server:
        client = await nats.connect(server.url)
        try:
            keeper: Any = door.Doorkeeper(client, Streams())  # type: ignore[arg-type]
            await keeper.open()
            async with keeper._making:  # another one is being made, for too long
                late = asyncio.create_task(ask(client, wish))
                async with asyncio.timeout(30):
                    while not keeper._answering:
                        await asyncio.sleep(0.01)
                await asyncio.sleep(0.3)
            answer = await late
            assert (answer.error, answer.again, made) == ("asked too long ago", True, [])
        finally:
            await client.close()
