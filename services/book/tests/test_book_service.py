"""The book service answers requests for whole books, and says what there is where it cannot."""

from typing import Any

import pytest

from tickbus import codec
from tickbus.bus import MemoryBus
from tickbus.config import Settings
from tickbus.events import BookSnapshot
from tickbus.runtime import Shell
from tickbus_book.service import BookRefusal, BookRequest, build

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
async def bus() -> Any:
    bus = MemoryBus()
    shell = Shell(build(settings()), bus)
    await shell.start()
    await bus.publish("md.snapshot.sim.BTC-USDT", codec.encode([SNAPSHOT]))
    await bus.settle()
    yield bus
    await shell.stop()


async def ask(bus: MemoryBus, payload: bytes, kind: Any) -> Any:
    return codec.decode_value(await bus.request(SUBJECT, payload, 2), kind)


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
    assert await ask(bus, codec.encode_value(BookRequest("BTC-USDT")), BookSnapshot)
