"""Candles: trades summed up by interval of the venue's time."""

from typing import NamedTuple

from tickbus.events import Side, Trade

SECOND_NS = 1_000_000_000


class Candle(NamedTuple):
    """The trades of one interval that begins at `ts_open` (ns UTC).

    `volume` is in base units, `notional` in quote currency; their quotient is the VWAP. `buys` is
    the volume that buyers took.
    """

    ts_open: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    notional: float
    buys: float
    trades: int

    @property
    def vwap(self) -> float:
        """Average price, weighted by size."""
        return self.notional / self.volume if self.volume else self.close


class TradeSum:
    """Trades as they are summed up; `open` is None, and other prices 0, before the first one."""

    __slots__ = ("buys", "close", "high", "low", "notional", "open", "trades", "volume")

    def __init__(self) -> None:
        self.open: float | None = None
        self.high = self.low = self.close = 0.0
        self.volume = self.notional = self.buys = 0.0
        self.trades = 0

    def add(self, trade: Trade) -> None:
        """Take a trade in."""
        price, size = trade.price, trade.size
        if self.open is None:
            self.open = self.high = self.low = price
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price
        self.volume += size
        self.notional += price * size
        self.buys += size if trade.aggressor_side is Side.BUY else 0.0
        self.trades += 1


class CandleBuilder:
    """Candles of one instrument; an interval without trades has none."""

    def __init__(self, interval_s: float) -> None:
        self._interval_ns = int(interval_s * SECOND_NS)
        self._ts_open = -1
        self._sum = TradeSum()

    @property
    def current(self) -> Candle | None:
        """The candle that is still growing."""
        s = self._sum
        if s.open is None:
            return None
        return Candle(
            self._ts_open, s.open, s.high, s.low, s.close, s.volume, s.notional, s.buys, s.trades
        )

    def add(self, trade: Trade) -> Candle | None:
        """Take a trade in; the candle that it closed, if it began a new one.

        A trade that comes late, after its interval was closed, counts in the one that is open.
        """
        ts_open = trade.ts_event // self._interval_ns * self._interval_ns
        closed = None
        if ts_open > self._ts_open:
            closed, self._ts_open, self._sum = self.current, ts_open, TradeSum()
        self._sum.add(trade)
        return closed
