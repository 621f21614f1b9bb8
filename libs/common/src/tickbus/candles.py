"""Candles: trades summed up by interval of the venue's time."""

from typing import NamedTuple

from tickbus.events import Trade

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


class CandleBuilder:
    """Candles of one instrument; an interval without trades has none."""

    def __init__(self, interval_s: float) -> None:
        self._interval_ns = int(interval_s * SECOND_NS)
        self._current: Candle | None = None

    @property
    def current(self) -> Candle | None:
        """The candle that is still growing."""
        return self._current

    def add(self, trade: Trade) -> Candle | None:
        """Take a trade in; the candle that it closed, if it began a new one.

        A trade that comes late, after its interval was closed, counts in the one that is open.
        """
        ts_open = trade.ts_event // self._interval_ns * self._interval_ns
        price, size = trade.price, trade.size
        buys = size if trade.aggressor_side == "BUY" else 0.0
        c = self._current
        if c is not None and ts_open <= c.ts_open:
            self._current = Candle(
                c.ts_open, c.open, max(c.high, price), min(c.low, price), price,
                c.volume + size, c.notional + price * size, c.buys + buys, c.trades + 1,
            )  # fmt: skip
            return None
        self._current = Candle(
            ts_open, price, price, price, price, size, price * size, buys, 1
        )  # fmt: skip
        return c
