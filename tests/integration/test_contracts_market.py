"""What the services of the market take and give, over a real bus; see `contracts`."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from contracts import (
    Exchange,
    Start,
    a_database,
    answer,
    contract,
    now,
    survives_nonsense,
)

from tickbus import codec, history_api, subjects
from tickbus.events import (
    BookDelta,
    BookDepth,
    BookSnapshot,
    BookTop,
    FeedState,
    FeedStatus,
    Instrument,
    KeyframeWanted,
    Quote,
    Side,
    Trade,
)
from tickbus.history_api import Candle, CandlesAnswer, CandlesQuery, HistoryRefusal
from tickbus_book.service import BookRefusal
from tickbus_testkit.neighbours import NONSENSE, Neighbours

pytestmark = pytest.mark.timeout(120)


@contract("feed")
async def test_feed(bus: Neighbours, start: Start, exchange: Exchange) -> None:
    venue, where = exchange
    process = start("feed", **where)
    quote = await bus.hear(Quote, lambda q: q.instrument_id == "BTC-USDT")
    assert 0 < quote.bid < quote.ask
    assert (bus.subject(quote), bus.way(quote)) == ("md.quote.sim.BTC-USDT", ["feed"])
    trade = await bus.hear(Trade)
    assert trade.price > 0
    assert trade.size > 0
    described: dict[str, Instrument] = {}

    async def keep(key: str, value: bytes) -> None:
        described[key] = codec.decode_value(value, Instrument)

    await bus.bus.kv_watch("instruments", keep)
    assert set(described) == {"sim.BTC-USDT", "sim.ETH-USDT", "sim.SOL-USDT"}
    assert described["sim.BTC-USDT"].symbol == "BTCUSDT"
    btc: Callable[[Any], bool] = lambda e: e.instrument_id == "BTC-USDT"  # noqa: E731
    await bus.hear(BookDelta, btc, n=20)
    deltas = bus.all(BookDelta, btc)
    steps = [b.sequence - a.sequence for a, b in itertools.pairwise(deltas)]
    assert set(steps) == {1}
    assert len({d.epoch for d in deltas}) == 1
    before = len(bus.all(BookSnapshot, btc))
    await bus.say(KeyframeWanted(now(), now(), "sim", "BTC-USDT"), "book")
    repeated = await bus.hear(BookSnapshot, btc, n=before + 1)
    assert repeated.epoch == deltas[0].epoch
    await survives_nonsense(bus, process, "control.keyframe.sim.BTC-USDT")

    venue.kill()
    await bus.hear(FeedStatus, btc, lambda s: s.state is FeedState.DISCONNECTED)
    venue.start().until_ready()
    snapshot = await bus.hear(BookSnapshot, btc, lambda s: s.epoch > deltas[0].epoch)
    assert snapshot.bids[0][0] < snapshot.asks[0][0]
    await bus.hear(
        FeedStatus, btc, lambda s: s.state is FeedState.LIVE and s.ts_recv > trade.ts_recv
    )


@contract("book")
async def test_book(bus: Neighbours, start: Start) -> None:
    process = start("book")
    head = (now(), now(), "sim", "BTC-USDT")
    await bus.say(FeedStatus(*head, FeedState.LIVE))
    await bus.say(BookSnapshot(*head, 1, 10, ((100.0, 1.0), (99.0, 2.0)), ((101.0, 1.0),), 7))
    await bus.say(BookDelta(*head, 1, 11, ((100.0, 0.0), (99.5, 4.0)), ((101.0, 3.0),), 8))
    top = await bus.hear(BookTop, lambda t: t.sequence == 11)
    assert (top.bid, top.bid_size, top.ask, top.ask_size) == (99.5, 4.0, 101.0, 3.0)
    assert not top.stale
    assert (bus.subject(top), bus.way(top)) == ("book.top.sim.BTC-USDT", ["neighbour", "book"])
    await bus.say(BookDelta(*head, 1, 13, (), ((100.5, 1.0),), 10))  # 12 is missing
    await bus.hear(BookTop, lambda t: t.stale)
    await survives_nonsense(bus, process, "md.delta.sim.BTC-USDT")
    await bus.say(BookSnapshot(*head, 2, 1, ((90.0, 1.0),), ((91.0, 1.0),), 20))
    healed = await bus.hear(BookTop, lambda t: t.epoch == 2)
    assert (healed.bid, healed.ask, healed.stale) == (90.0, 91.0, False)
    depth = await bus.hear(BookDepth, lambda d: d.epoch == 2)
    assert (depth.bids, depth.asks) == (((90.0, 1.0),), ((91.0, 1.0),))
    assert bus.subject(depth) == "book.depth.sim.BTC-USDT"
    wanted, where = codec.encode_value(("BTC-USDT", 1)), subjects.book_snapshot_request("sim")
    whole = await answer(bus, where, wanted, BookSnapshot)
    assert (whole.bids, whole.asks, whole.epoch) == (depth.bids, depth.asks, 2)
    for unknown in (codec.encode_value(("DOGE-USDT", 1)), NONSENSE):
        assert (await answer(bus, where, unknown, BookRefusal)).error


@contract("history")
async def test_history(bus: Neighbours, start: Start, postgres_dsn: str) -> None:
    process = start("history", TICKBUS_POSTGRES_DSN=await a_database(postgres_dsn))

    def a_trade(number: int, price: float) -> Trade:
        return Trade(now(), now(), "sim", "BTC-USDT", str(number), price, 0.5, Side.BUY)

    query = CandlesQuery(venue="sim", instrument_id="BTC-USDT", interval_s=86_400)

    async def candles(trades: int) -> Candle:
        """The days put together, once they hold so many trades."""
        async with asyncio.timeout(60):
            while True:
                asked = codec.encode_value(query)
                found: CandlesAnswer = await answer(bus, history_api.CANDLES, asked, CandlesAnswer)
                if sum(candle.trades for candle in found.candles) == trades:
                    return found.candles[0]
                await asyncio.sleep(0.2)

    await bus.say(a_trade(1, 60_000.0), "feed")
    bids, asks = ((59_990.0, 1.0),), ((60_010.0, 2.0),)
    await bus.say(BookDepth(now(), now(), "sim", "BTC-USDT", bids, asks, 1, 1), "book")
    assert (await candles(1)).close == 60_000.0
    await survives_nonsense(bus, process, "md.trade.sim.BTC-USDT")
    process.stop()
    process.start().until_ready()
    await bus.say(a_trade(2, 60_100.0), "feed")
    day = await candles(2)
    assert (day.close, day.bid_size, day.ask_size) == (60_100.0, 1.0, 2.0)
    assert (await answer(bus, history_api.CANDLES, NONSENSE, HistoryRefusal)).reason
