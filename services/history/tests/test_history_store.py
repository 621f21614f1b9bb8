"""The bars in a real Postgres: added up, put together, dropped by the day, asked for."""

import asyncio
import itertools
import time
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tickbus import codec, history_api
from tickbus.bus import MemoryBus
from tickbus.config import Settings
from tickbus.events import BookDepth, Side, Trade
from tickbus.history_api import CandlesAnswer, CandlesQuery, HistoryRefusal
from tickbus.runtime import Shell
from tickbus_history.core import BarClosed
from tickbus_history.service import build
from tickbus_history.store import Store

SECOND = 1_000_000_000
NOW = 1_700_000_040 * SECOND  # a full minute
numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that stands still for some seconds is not away."""
    for name in ("CONNECT_TIMEOUT_S", "COMMAND_TIMEOUT_S"):
        monkeypatch.setattr(f"tickbus_history.store.{name}", 60.0)


@pytest.fixture
async def dsn(postgres_dsn: str) -> str:
    name = f"history_{next(numbers)}"
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return urlunsplit(urlsplit(postgres_dsn)._replace(path=f"/{name}"))


def a_bar(second: int, price: float | None, **values: Any) -> BarClosed:
    traded = price is not None
    given = {
        "venue": "sim", "instrument_id": "BTC-USDT", "ts_open": NOW + second * SECOND,
        "open": price, "high": price, "low": price, "close": price,
        "volume": 2.0 if traded else 0.0, "notional": 2 * price if price else 0.0,
        "buys": 1.0 if traded else 0.0, "trades": 1 if traded else 0, "mid": 100.0 + second,
        "variance": 0.01, "samples": 2, "spread_bps_sum": 4.0, "spread_bps_max": 3.0,
        "bid_size_sum": 10.0, "ask_size_sum": 6.0,
    }  # fmt: skip
    return BarClosed(NOW, NOW, **{**given, **values})


def a_query(**values: Any) -> CandlesQuery:
    return CandlesQuery(venue="sim", instrument_id="BTC-USDT", **values)


async def test_seconds_are_put_together_to_any_interval(dsn: str) -> None:
    store = await Store.open(dsn)
    prices = [10.0, None, 30.0, 20.0]
    await store.write([a_bar(20 * n, price) for n, price in enumerate(prices)])
    newest, minute = await store.candles(a_query(interval_s=60))
    assert (newest.ts_open, minute.ts_open) == (NOW + 60 * SECOND, NOW)
    assert (minute.open, minute.high, minute.low, minute.close) == (10.0, 30.0, 10.0, 30.0)
    assert (minute.volume, minute.vwap, minute.trades, minute.buys) == (4.0, 20.0, 2, 2.0)
    assert minute.mid == 140.0
    assert minute.volatility == pytest.approx(0.03**0.5)
    assert (minute.spread_bps, minute.spread_bps_max) == (2.0, 3.0)
    assert (minute.bid_size, minute.ask_size) == (5.0, 3.0)
    twenty = await store.candles(a_query(interval_s=20))
    assert [candle.open for candle in twenty] == [20.0, 30.0, None, 10.0]
    (one,) = await store.candles(
        a_query(interval_s=20, start_ns=NOW + 40 * SECOND, end_ns=NOW + 60 * SECOND)
    )
    assert one.open == 30.0
    assert len(await store.candles(a_query(interval_s=20, limit=2))) == 2
    await store.close()


async def test_second_part_of_a_bar_adds_up_with_the_first(dsn: str) -> None:
    store = await Store.open(dsn)
    await store.write([a_bar(0, 10.0)])
    await store.write([a_bar(0, 12.0, mid=None, samples=0, spread_bps_max=1.0)])
    (candle,) = await store.candles(a_query(interval_s=1))
    assert (candle.open, candle.high, candle.low, candle.close) == (10.0, 12.0, 10.0, 12.0)
    assert (candle.trades, candle.volume, candle.mid, candle.spread_bps_max) == (2, 4.0, 100.0, 3.0)
    await store.close()


async def test_days_are_partitions_that_are_dropped_when_they_are_old(dsn: str) -> None:
    store = await Store.open(dsn)
    await store.write([a_bar(0, 10.0), a_bar(86_400, 11.0)])
    day = datetime.fromtimestamp(NOW / SECOND, UTC).date()
    assert await store.drop_before(day) == []
    assert await store.drop_before(date.fromordinal(day.toordinal() + 1)) == [
        f"history.bars_{day:%Y%m%d}"
    ]
    (left,) = await store.candles(a_query(interval_s=1))
    assert left.open == 11.0
    await store.write([a_bar(0, 10.0)])
    assert len(await store.candles(a_query(interval_s=1))) == 2, "the day is made again"
    await store.close()
    again = await Store.open(dsn)
    await again.write([a_bar(1, 10.0)])
    await again.close()


async def test_service_keeps_what_it_hears_and_answers(dsn: str) -> None:
    bus = MemoryBus()
    settings = Settings({"postgres": {"dsn": dsn}, "history": {"grace_s": 0}})
    shell = Shell(build(settings), bus)
    await shell.start()
    await bus.settle()
    now = time.time_ns()  # what is older than the retention is dropped at once
    trade = Trade(now, now, "sim", "BTC-USDT", "1", 10.0, 2.0, Side.BUY)
    depth = BookDepth(now, now, "sim", "BTC-USDT", ((9.0, 1.0),), ((11.0, 3.0),), 1, 1)
    await bus.publish("md.trade.sim.BTC-USDT", codec.encode([trade]))
    await bus.publish("book.depth.sim.BTC-USDT", codec.encode([depth]))
    await bus.settle()

    async def ask(query: CandlesQuery) -> Any:
        payload = await bus.request(history_api.CANDLES, codec.encode_value(query), 30)
        kind: Any = CandlesAnswer | HistoryRefusal
        return codec.decode_value(payload, kind)

    async def bars() -> list[Any]:
        return list(getattr(await ask(a_query()), "candles", ()))

    async with asyncio.timeout(60):
        # Trade and book make two parts of the bar where its second ends in between.
        while not (found := await bars()) or None in (found[0].open, found[0].mid):
            await asyncio.sleep(0.1)
    (candle,) = found
    assert (candle.open, candle.volume, candle.mid, candle.trades) == (10.0, 2.0, 10.0, 1)
    await shell.stop()


async def test_interval_that_is_no_multiple_of_the_base_is_refused(dsn: str) -> None:
    bus = MemoryBus()
    settings = Settings({"postgres": {"dsn": dsn}, "history": {"base_interval_s": 60}})
    shell = Shell(build(settings), bus)
    await shell.start()
    payload = await bus.request(history_api.CANDLES, codec.encode_value(a_query(interval_s=90)), 30)
    assert "multiple of 60" in codec.decode_value(payload, HistoryRefusal).reason
    wrong = await bus.request(history_api.CANDLES, b"\xc1", 30)
    assert codec.decode_value(wrong, HistoryRefusal).reason
    await shell.stop()
