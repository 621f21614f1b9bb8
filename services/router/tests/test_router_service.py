"""The router as a service: what it offers to others beside the order path."""

import asyncio
import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from router_cores import an_instrument

from tickbus import codec
from tickbus.bus import BusError, MemoryBus
from tickbus.config import Settings
from tickbus.events import Event, Instrument
from tickbus.runtime import ServiceSpec, Shell
from tickbus_router import service

TIMEOUT_S = 30
MOST = {"a": Decimal(5), "b": Decimal(7)}


class BusyAtFirst(MemoryBus):
    """The first times nothing of `smart` can be kept."""

    refused = 0

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        if key.startswith("smart.") and self.refused < 3:
            self.refused += 1
            raise BusError(f"cannot keep {bucket}/{key}: no answer")
        await super().kv_put(bucket, key, value)


@pytest.mark.parametrize("early", ["", "a", "ab"])
async def test_what_can_be_routed_is_listed_whenever_it_is_described(
    early: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the start and after it, and though the bus does not take it at first."""
    monkeypatch.setattr(service, "delays_s", lambda *_: iter([0.01] * 10))
    fees = {"maker": "0.001", "taker": "0.001"}
    venues = [
        {"name": name, "adapter": "binance", "instruments": ["BTC-USDT"], "fees": fees,
         "rest_url": "http://127.0.0.1:9", "ws_url": "ws://127.0.0.1:9",
         "ws_api_url": "ws://127.0.0.1:9"}
        for name in "ab"
    ]  # fmt: skip
    bus = BusyAtFirst()
    shell = Shell(service.build(Settings({"venue": venues[0], "venues": venues[1:]})), bus)

    async def describe(names: str) -> None:
        for venue in names:
            one = replace(an_instrument(venue), quantity_max=MOST[venue])
            await bus.kv_put("instruments", f"{venue}.BTC-USDT", codec.encode_value(one))

    await describe(early)
    await shell.start()
    try:
        await describe("ab".removeprefix(early))
        async with asyncio.timeout(TIMEOUT_S):
            while await what_is_listed(bus) != sum(MOST.values()):
                await asyncio.sleep(0.01)
        assert bus.refused == 3
        assert shell.telemetry.errors["instrument_not_listed"] == 3
    finally:
        await shell.stop()


class WithoutOne(MemoryBus):
    """One key is never kept."""

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        if key == "smart.BTC-USDT":
            raise BusError(f"cannot keep {bucket}/{key}: no answer")
        await super().kv_put(bucket, key, value)


async def test_an_instrument_that_is_never_taken_keeps_no_other_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "delays_s", lambda *_: itertools.repeat(0.01))
    bus, notices = WithoutOne(), service.Notices()
    nothing = ServiceSpec(name="router", core=Silent(), edges=(notices,))
    shell = Shell(nothing, bus)
    await shell.start()
    try:
        for name in ("BTC-USDT", "ETH-USDT"):
            one = replace(an_instrument("smart"), instrument_id=name, quantity_max=MOST["a"])
            await notices.list_instrument(one, ())
        async with asyncio.timeout(TIMEOUT_S):
            while await what_is_listed(bus, "ETH-USDT") is None:
                await asyncio.sleep(0.01)
        assert shell.telemetry.errors["instrument_not_listed"] >= 1
        assert await what_is_listed(bus) is None
    finally:
        await shell.stop()


class Silent:
    """A core with nothing to say."""

    def handle(self, _: Any, /) -> Sequence[Event]:
        return ()


async def what_is_listed(bus: MemoryBus, instrument_id: str = "BTC-USDT") -> Decimal | None:
    """The largest order that `smart` offers to take; None while it offers nothing."""
    kept, _ = await bus.kv_read("instruments", f"smart.{instrument_id}")
    return codec.decode_value(kept, Instrument).quantity_max if kept else None
