"""Sums the market up by interval: trades as candles, books as spread, depth and volatility.

Consumes: Trade, BookDepth, TimerFired.
Produces: BarClosed, SetTimer.
Invariants: each trade and each view of a book counts in exactly one bar; what comes after its bar
was closed makes another bar of the same time, and bars of the same time add up.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from tickbus.candles import TradeSum
from tickbus.events import BookDepth, Event, Recovered, SetTimer, TimerFired, Trade
from tickbus_history.config import HistoryConfig

TIMER = "history"
SECOND_NS = 1_000_000_000
BARS_OPEN_MAX = 10
"""Per instrument; a venue whose clock runs wild closes bars early rather than piling them up."""

Events = Sequence[Event]
Key = tuple[str, str]


class BarClosed(Event, frozen=True):
    """One instrument in one interval that begins at `ts_open` (ns UTC). Never on the bus.

    Prices are None without trades, mids without a view of the book. `variance` is the squared log
    return of the mid since the bar before. Sums are over `samples` views of the book: the spread in
    basis points of the mid, and the sizes of the levels that the book service publishes.
    """

    venue: str
    instrument_id: str
    ts_open: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float
    notional: float
    buys: float
    trades: int
    mid: float | None
    variance: float
    samples: int
    spread_bps_sum: float
    spread_bps_max: float
    bid_size_sum: float
    ask_size_sum: float


class _Bar(TradeSum):
    """A bar that still grows."""

    __slots__ = (
        "ask_size_sum", "bid_size_sum", "mid", "samples", "spread_bps_max", "spread_bps_sum",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.mid: float | None = None
        self.samples = 0
        self.spread_bps_sum = self.spread_bps_max = 0.0
        self.bid_size_sum = self.ask_size_sum = 0.0

    def book(self, event: BookDepth) -> None:
        """Take a view of the book in."""
        mid = (event.bids[0][0] + event.asks[0][0]) / 2
        spread_bps = (event.asks[0][0] - event.bids[0][0]) / mid * 10_000
        self.mid = mid
        self.samples += 1
        self.spread_bps_sum += spread_bps
        self.spread_bps_max = max(self.spread_bps_max, spread_bps)
        self.bid_size_sum += sum(size for _, size in event.bids)
        self.ask_size_sum += sum(size for _, size in event.asks)


class HistoryCore:
    """Bars of every instrument that it hears of."""

    def __init__(self, config: HistoryConfig) -> None:
        self._interval_ns = config.base_interval_s * SECOND_NS
        self._grace_ns = int(config.grace_s * SECOND_NS)
        self._bars: dict[Key, dict[int, _Bar]] = {}
        self._mids: dict[Key, float] = {}
        self._handlers: dict[type, Callable[[Any], Events]] = {
            Trade: self._trade,
            BookDepth: self._depth,
            TimerFired: self._timer,
            Recovered: self._recovered,
        }

    def handle(self, event: Any, /) -> Events:
        """The bars that `event` closes."""
        handler = self._handlers.get(type(event))
        return handler(event) if handler is not None else ()

    def close_all(self, ts: int) -> list[BarClosed]:
        """Every bar as far as it grew; for the end of the service."""
        return [bar for key in list(self._bars) for bar in self._close(key, ts, None)]

    def _bar(self, event: Trade | BookDepth) -> tuple[Key, _Bar]:
        key = (event.venue, event.instrument_id)
        bars = self._bars.setdefault(key, {})
        ts_open = event.ts_event // self._interval_ns * self._interval_ns
        bar = bars.get(ts_open)
        if bar is None:
            bar = bars[ts_open] = _Bar()
        return key, bar

    def _trade(self, event: Trade) -> Events:
        key, bar = self._bar(event)
        bar.add(event)
        return self._crowded(key, event)

    def _depth(self, event: BookDepth) -> Events:
        if event.stale or not event.bids or not event.asks:
            return ()
        key, bar = self._bar(event)
        bar.book(event)
        return self._crowded(key, event)

    def _crowded(self, key: Key, event: Event) -> Events:
        bars = self._bars[key]
        if len(bars) <= BARS_OPEN_MAX:
            return ()
        return self._close(key, event.ts_recv, min(bars) + 1)

    def _close(self, key: Key, ts: int, before: int | None) -> list[BarClosed]:
        """Close the bars of one instrument that begin before `before`, oldest first."""
        bars, closed = self._bars[key], []
        for ts_open in sorted(bars):
            if before is not None and ts_open >= before:
                break
            bar, variance = bars.pop(ts_open), 0.0
            if bar.mid is not None:
                last = self._mids.get(key)
                variance = math.log(bar.mid / last) ** 2 if last else 0.0
                self._mids[key] = bar.mid
            traded = bar.trades > 0
            closed.append(
                BarClosed(
                    ts, ts, *key, ts_open,
                    bar.open, bar.high if traded else None, bar.low if traded else None,
                    bar.close if traded else None, bar.volume, bar.notional, bar.buys, bar.trades,
                    bar.mid, variance, bar.samples, bar.spread_bps_sum, bar.spread_bps_max,
                    bar.bid_size_sum, bar.ask_size_sum,
                )
            )  # fmt: skip
        return closed

    def _recovered(self, event: Recovered) -> Events:
        return (self._again(event.ts_recv),)

    def _again(self, now: int) -> SetTimer:
        return SetTimer(now, now, TIMER, now + SECOND_NS)

    def _timer(self, event: TimerFired) -> Events:
        if event.key != TIMER:
            return ()
        now = event.ts_recv
        before = now - self._grace_ns - self._interval_ns + 1
        out: list[Event] = []
        for key in self._bars:
            out.extend(self._close(key, now, before))
        return (*out, self._again(now))
