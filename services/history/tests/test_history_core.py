"""The history: given trades and views of books, then bars that add up."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import BookDepth, Event, Side, TimerFired, Trade
from tickbus_history.config import HistoryConfig
from tickbus_history.core import BARS_OPEN_MAX, TIMER, BarClosed, HistoryCore

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND


def a_trade(second: float, price: float, size: float = 1.0, side: Side = Side.BUY) -> Trade:
    ts = NOW + int(second * SECOND)
    return Trade(ts, ts, "sim", "BTC-USDT", f"{second}", price, size, side)


def a_view(second: float, bid: float, ask: float, *, stale: bool = False) -> BookDepth:
    ts = NOW + int(second * SECOND)
    bids, asks = ((bid, 1.0), (bid - 1, 2.0)), ((ask, 4.0),)
    return BookDepth(ts, ts, "sim", "BTC-USDT", bids, asks, 1, 1, stale)


def closed(*events: Event, at: float = 100.0, interval_s: int = 1) -> list[BarClosed]:
    core = HistoryCore(HistoryConfig(base_interval_s=interval_s))
    out = [out for event in events for out in core.handle(event)]
    ts = NOW + int(at * SECOND)
    out.extend(core.handle(TimerFired(ts, ts, TIMER)))
    return [bar for bar in out if isinstance(bar, BarClosed)]


def test_trades_of_an_interval_make_its_candle() -> None:
    first, second = closed(
        a_trade(0.1, 10.0),
        a_trade(0.5, 12.0, 2.0, Side.SELL),
        a_trade(0.9, 9.0),
        a_trade(1.0, 11.0),
    )
    assert (first.ts_open, second.ts_open) == (NOW, NOW + SECOND)
    assert (first.open, first.high, first.low, first.close) == (10.0, 12.0, 9.0, 9.0)
    assert (first.volume, first.notional, first.buys, first.trades) == (4.0, 43.0, 2.0, 3)
    assert (first.mid, first.samples) == (None, 0)


def test_books_make_spread_depth_and_volatility() -> None:
    first, second = closed(a_view(0.1, 99.0, 101.0), a_view(0.2, 100.0, 102.0), a_view(1, 101, 103))
    assert (first.mid, first.samples, first.open) == (101.0, 2, None)
    assert first.spread_bps_max == 200.0
    assert (first.bid_size_sum, first.ask_size_sum) == (6.0, 8.0)
    assert first.variance == 0.0, "nothing before it"
    assert second.variance == math.log(102.0 / 101.0) ** 2


def test_book_in_doubt_or_with_an_empty_side_does_not_count() -> None:
    assert closed(a_view(0, 99.0, 101.0, stale=True)) == []
    ts = NOW
    assert closed(BookDepth(ts, ts, "sim", "BTC-USDT", (), ((1.0, 1.0),), 1, 1)) == []


def test_bar_waits_for_late_events_and_no_longer() -> None:
    assert closed(a_trade(0, 10.0), at=2.9) == []
    assert len(closed(a_trade(0, 10.0), at=3.0)) == 1
    core = HistoryCore(HistoryConfig())
    core.handle(a_trade(0, 10.0))
    ts = NOW + 10 * SECOND
    (bar, _) = core.handle(TimerFired(ts, ts, TIMER))
    assert isinstance(bar, BarClosed)
    core.handle(a_trade(0.5, 11.0))
    (late, _) = core.handle(TimerFired(ts + SECOND, ts + SECOND, TIMER))
    assert isinstance(late, BarClosed)
    assert (late.ts_open, late.trades) == (bar.ts_open, 1), "a second part of the same bar"


def test_clock_that_runs_wild_does_not_pile_up_bars() -> None:
    core = HistoryCore(HistoryConfig())
    bars = [b for n in range(1000) for b in core.handle(a_trade(n * 1000.0, 10.0))]
    assert len(bars) == 1000 - BARS_OPEN_MAX
    assert len(core.close_all(NOW)) == BARS_OPEN_MAX


TRADES = st.lists(
    st.tuples(st.floats(0, 30), st.integers(1, 100), st.integers(1, 9)), min_size=1, max_size=60
)


@given(TRADES, st.integers(1, 10))
def test_every_trade_counts_once(rows: list[tuple[float, int, int]], interval_s: int) -> None:
    trades = [a_trade(at, float(price), float(size)) for at, price, size in rows]
    bars = closed(*trades, at=1000.0, interval_s=interval_s)
    assert sum(bar.trades for bar in bars) == len(trades)
    assert sum(bar.volume for bar in bars) == sum(trade.size for trade in trades)
    assert sum(bar.notional for bar in bars) == sum(t.price * t.size for t in trades)
    assert all(bar.ts_open % (interval_s * SECOND) == 0 for bar in bars)
    assert max(bar.high or 0 for bar in bars) == max(trade.price for trade in trades)
