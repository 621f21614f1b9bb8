"""What one symbol's trades add up to: recent trades, aggregate trades, average price, candles."""

from collections import deque
from itertools import pairwise

import msgspec

from tickbus_exchange.engine.numbers import SCALE
from tickbus_exchange.engine.orders import Trade

TRADES_MAX = 1_000
AVERAGE_WINDOW_MS = 300_000
CANDLE_MS = 60_000
CANDLES_MAX = 1_500


class AggTrade(msgspec.Struct, gc=False):
    """Consecutive trades of one taker order at one price."""

    agg_id: int
    price: int
    quantity: int
    first_id: int
    last_id: int
    taker_order_id: int
    buyer_is_maker: bool
    time_ms: int


class Candle(msgspec.Struct, gc=False):
    """One minute of trades."""

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    first_id: int
    last_id: int
    volume: int = 0
    quote: int = 0
    trades: int = 0
    taker_buy: int = 0
    taker_buy_quote: int = 0


class Tape:
    """The last trades of one symbol; bounded, the oldest are forgotten."""

    def __init__(self, price: int, agg_id: int = 0) -> None:
        self.trades: deque[Trade] = deque(maxlen=TRADES_MAX)
        self.agg_trades: deque[AggTrade] = deque(maxlen=TRADES_MAX)
        self.candles: deque[Candle] = deque(maxlen=CANDLES_MAX)
        self.agg_id = agg_id
        self.average_price = price
        self._seconds: deque[list[int]] = deque()  # [second, quote, quantity]
        self._quote = self._quantity = 0

    def add(self, trades: list[Trade]) -> list[AggTrade]:
        """Take the trades of one request; return them as aggregate trades."""
        aggregates = [self._aggregate(t) for t in trades[:1]]
        for before, trade in pairwise(trades):
            last = aggregates[-1]
            same_taker = trade.taker_order_id == before.taker_order_id
            if same_taker and trade.price == before.price:
                last.quantity += trade.quantity
                last.last_id = trade.trade_id
            else:
                aggregates.append(self._aggregate(trade))
        self.agg_trades.extend(aggregates)
        for trade in trades:
            self.trades.append(trade)
            self._weigh(trade)
            self._candle(trade)
        return aggregates

    def _aggregate(self, trade: Trade) -> AggTrade:
        self.agg_id += 1
        return AggTrade(
            self.agg_id, trade.price, trade.quantity, trade.trade_id, trade.trade_id,
            trade.taker_order_id, trade.buyer_is_maker, trade.time_ms,
        )  # fmt: skip

    def _weigh(self, trade: Trade) -> None:
        """Keep the volume-weighted average price of the last five minutes, by the second."""
        second = trade.time_ms // 1_000
        seconds = self._seconds
        if not seconds or seconds[-1][0] != second:
            seconds.append([second, 0, 0])
        seconds[-1][1] += trade.quote
        seconds[-1][2] += trade.quantity
        self._quote += trade.quote
        self._quantity += trade.quantity
        while seconds[0][0] <= second - AVERAGE_WINDOW_MS // 1_000:
            _, quote, quantity = seconds.popleft()
            self._quote -= quote
            self._quantity -= quantity
        self.average_price = self._quote * SCALE // self._quantity

    def _candle(self, trade: Trade) -> None:
        open_ms = trade.time_ms - trade.time_ms % CANDLE_MS
        price = trade.price
        if not self.candles or self.candles[-1].open_ms != open_ms:
            first = trade.trade_id
            self.candles.append(Candle(open_ms, price, price, price, price, first, first))
        candle = self.candles[-1]
        candle.high = max(candle.high, price)
        candle.low = min(candle.low, price)
        candle.close = price
        candle.last_id = trade.trade_id
        candle.volume += trade.quantity
        candle.quote += trade.quote
        candle.trades += 1
        if not trade.buyer_is_maker:
            candle.taker_buy += trade.quantity
            candle.taker_buy_quote += trade.quote
