"""The venue's list of instruments: what is configured is kept, what changed is said."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from tickbus import codec
from tickbus.bus import MemoryBus, Message
from tickbus.config import Settings
from tickbus.events import Instrument, InstrumentChanged
from tickbus.runtime import Context, ServiceSpec, Shell
from tickbus.shard import Shard
from tickbus_feed.adapter import Request
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import FeedCore
from tickbus_feed.listing import Listing
from tickbus_feed.rest import VenueUnavailable
from tickbus_feed.service import adapter_named


class FakeVenue:
    """A venue that lists what it is told to."""

    def __init__(self) -> None:
        self.ticks = {"BTCUSDT": "0.01", "ETHUSDT": "0.01"}
        self.halted: set[str] = set()

    async def get(self, _: Request) -> bytes:
        return json.dumps(
            {
                "rateLimits": [
                    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
                     "limit": 777},
                ],
                "symbols": [self.a_symbol(symbol, tick) for symbol, tick in self.ticks.items()],
            }
        ).encode()  # fmt: skip

    def a_symbol(self, symbol: str, tick: str) -> dict[str, Any]:
        return {
            "symbol": symbol, "status": "HALT" if symbol in self.halted else "TRADING",
            "baseAsset": symbol[:3], "quoteAsset": symbol[3:],
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": tick},
                {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001"},
            ],
        }  # fmt: skip


class AListing:
    """Listings of one venue on one bus, with what they said."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.venue = FakeVenue()
        self.core = FeedCore(FeedConfig(), "v", adapter_named("binance"))
        self.shell = Shell(ServiceSpec(name="feed", core=self.core), self.bus)
        self.said: list[InstrumentChanged] = []

    def begin(self, *instruments: str, first: tuple[str, ...] = ()) -> Listing:
        """A listing as of a process that has just started."""
        section = {
            "name": "v", "adapter": "binance", "rest_url": "http://v", "ws_url": "ws://v",
            "ws_api_url": "ws://v", "instruments": list(instruments),
            "fees": {"maker": "0", "taker": "0"},
        }  # fmt: skip
        venue = Settings({"venue": section}).venue
        context, rest = Context(self.shell, "listing"), self.venue
        return Listing(
            venue, adapter_named("binance"), rest, context, frozenset(first), Shard(), None,  # type: ignore[arg-type]
        )  # fmt: skip

    async def hear(self, message: Message) -> None:
        self.said.extend(codec.decode(message.payload).events)  # type: ignore[arg-type]

    async def kept(self, name: str) -> Instrument:
        value, _ = await self.bus.kv_read("instruments", f"v.{name}")
        return codec.decode_value(value, Instrument)


@pytest.fixture
async def a() -> AsyncIterator[AListing]:
    listing = AListing()
    await listing.bus.subscribe("md.instrument.v.*", listing.hear)
    await listing.shell.start()
    yield listing
    await listing.shell.stop()


async def test_configured_instruments_are_kept_and_nothing_is_said_to_have_changed(
    a: AListing,
) -> None:
    listing = a.begin("BTC-USDT", "ETH-*")
    await listing.read()
    await listing.read()
    await a.bus.settle()
    assert (await a.kept("BTC-USDT")).tick_size == Decimal("0.01")
    assert (
        list(listing.instruments)
        == ["BTC-USDT", "ETH-USDT"]
        == [sync.instrument_id for sync in a.core.syncs.values()]
    )
    assert listing.weight_limit == 777
    assert a.said == []


async def test_changed_filter_is_said_with_what_it_was(a: AListing) -> None:
    listing = a.begin("BTC-USDT", "ETH-USDT")
    await listing.read()
    a.venue.ticks["BTCUSDT"] = "0.10"
    await listing.read()
    await a.bus.settle()
    (changed,) = a.said
    assert (changed.venue, changed.instrument_id) == ("v", "BTC-USDT")
    assert changed.changes == (("tick_size", "0.01", "0.1"),)
    assert (await a.kept("BTC-USDT")).tick_size == Decimal("0.1")
    assert a.shell.telemetry.errors["instrument_changed"] == 1


async def test_change_while_no_feed_ran_is_said_by_the_next_one(a: AListing) -> None:
    await a.begin("BTC-USDT").read()
    a.venue.ticks["BTCUSDT"] = "0.05"
    await a.begin("BTC-USDT").read()
    await a.bus.settle()
    assert [changed.changes for changed in a.said] == [(("tick_size", "0.01", "0.05"),)]


@pytest.mark.parametrize("wanted", ["BTC-USDT", "BTC-*"])
@pytest.mark.parametrize("how", ["halted", "delisted"])
async def test_instrument_that_trades_no_more_is_kept_as_such(
    a: AListing, wanted: str, how: str
) -> None:
    listing = a.begin(wanted, "ETH-USDT")
    await listing.read()
    if how == "halted":
        a.venue.halted.add("BTCUSDT")
    else:
        del a.venue.ticks["BTCUSDT"]
    await listing.read()
    await listing.read()
    await a.bus.settle()
    assert [changed.changes for changed in a.said] == [(("trading", "True", "False"),)]
    assert not (await a.kept("BTC-USDT")).trading
    assert (await a.kept("ETH-USDT")).trading


async def test_what_an_older_version_kept_is_replaced(a: AListing) -> None:
    await a.bus.kv_put("instruments", "v.BTC-USDT", b"\xc1 not readable")
    await a.begin("BTC-USDT").read()
    assert (await a.kept("BTC-USDT")).symbol == "BTCUSDT"


async def test_traded_instruments_are_first(a: AListing) -> None:
    listing = a.begin("*-USDT", first=("ETH-USDT",))
    await listing.read()
    assert list(listing.instruments) == ["ETH-USDT", "BTC-USDT"]


async def test_nothing_of_ours_listed_is_an_error_that_names_it(a: AListing) -> None:
    with pytest.raises(VenueUnavailable, match="DOGE-USDT"):
        await a.begin("DOGE-USDT").read()
