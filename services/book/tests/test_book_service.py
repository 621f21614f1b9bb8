"""The book service answers requests for whole books, and says what there is where it cannot."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import msgspec
import pytest

from tickbus import codec
from tickbus.bus import MemoryBus, Message
from tickbus.config import Settings
from tickbus.events import BookSnapshot
from tickbus.runtime import Shell
from tickbus_book.service import BookRefusal, BookRequest, build

T = TypeVar("T")
SUBJECT = "control.book.snapshot.sim"
SNAPSHOT = BookSnapshot(
    1, 1, "sim", "BTC-USDT", 1, 0, ((100.0, 1.0), (99.0, 1.0)), ((101.0, 1.0),), 5
)


def settings() -> Settings:
    venue = {
        "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
        "instruments": ["BTC-USDT"], "fees": {"maker": "0", "taker": "0"},
    }  # fmt: skip
    return Settings({"venue": venue})


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    bus = MemoryBus()
    shell = Shell(build(settings()), bus)
    await shell.start()
    await bus.publish("md.snapshot.sim.BTC-USDT", codec.encode([SNAPSHOT]))
    await bus.settle()
    yield bus
    await shell.stop()


async def ask(bus: MemoryBus, payload: bytes, kind: type[T]) -> T:
    return codec.decode_value(await bus.request(SUBJECT, payload, 30), kind)


@pytest.mark.parametrize(("levels", "bids"), [(0, SNAPSHOT.bids), (1, ((100.0, 1.0),))])
async def test_book_is_given_as_deep_as_wanted(bus: MemoryBus, levels: int, bids: Any) -> None:
    request = codec.encode_value(BookRequest("BTC-USDT", levels))
    assert (await ask(bus, request, BookSnapshot)).bids == bids


async def test_unknown_book_is_refused_with_what_there_is(bus: MemoryBus) -> None:
    refusal = await ask(bus, codec.encode_value(BookRequest("ETH-USDT")), BookRefusal)
    assert "ETH-USDT" in refusal.error
    assert "BTC-USDT" in refusal.error


async def test_malformed_request_is_refused_and_the_next_one_answered(bus: MemoryBus) -> None:
    assert "instrument_id" in (await ask(bus, b"\xc1", BookRefusal)).error
    answer = await ask(bus, codec.encode_value(BookRequest("BTC-USDT")), BookSnapshot)
    assert answer.asks == SNAPSHOT.asks


async def test_shards_on_one_bus_publish_and_answer_what_one_would() -> None:
    names = [f"C{n}-USDT" for n in range(12)]
    said: dict[int, list[tuple[str, bytes]]] = {}
    for parts in (1, 3):
        bus, published = MemoryBus(), said.setdefault(parts, [])

        async def note(message: Message, published: Any = published) -> None:
            published.append((message.subject, message.payload))

        await bus.subscribe("book.>", note)
        shells = [
            Shell(build(in_shard(settings(), f"{n}/{parts}")), bus, instance=str(n))
            for n in range(1, parts + 1)
        ]
        for shell in shells:
            await shell.start()
        for name in names:
            snapshot = msgspec.structs.replace(SNAPSHOT, instrument_id=name)
            await bus.publish(f"md.snapshot.sim.{name}", codec.encode([snapshot]))
        await bus.settle()
        for name in names:
            answer = await bus.request(SUBJECT, codec.encode_value(BookRequest(name)), 30)
            assert codec.decode_value(answer, BookSnapshot).instrument_id == name
        for shell in shells:
            await shell.stop()
    subjects = {parts: sorted(subject for subject, _ in rows) for parts, rows in said.items()}
    assert subjects[1] == subjects[3]
    assert len(subjects[1]) == 2 * len(names)


def in_shard(given: Settings, shard: str) -> Settings:
    return Settings(given.raw, {"TICKBUS_SHARD": shard})
