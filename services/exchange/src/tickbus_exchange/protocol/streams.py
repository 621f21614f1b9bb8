"""Market streams: who listens to what, and each message encoded once per stream.

A subscriber only has to offer `send(frame)`; how it copes with a slow client is its own business.
"""

from collections.abc import Callable, Sequence

import msgspec

from tickbus_exchange.engine.book import Level
from tickbus_exchange.engine.numbers import text
from tickbus_exchange.engine.orders import Report, Trade
from tickbus_exchange.protocol import render
from tickbus_exchange.protocol.faults import Faults
from tickbus_exchange.protocol.futures import FuturesHub
from tickbus_exchange.protocol.listeners import Listeners
from tickbus_exchange.protocol.market_data import MarketData
from tickbus_exchange.tape import CANDLE_MS, AggTrade
from tickbus_exchange.venue import Venue

_encode = msgspec.json.Encoder().encode
FAST, SLOW = "@depth@100ms", "@depth"
PARTIAL_LEVELS = (5, 10, 20)


class _Differ:
    """The diff stream of one symbol at one pace: levels changed since the last message."""

    __slots__ = ("asks", "bids", "last_id", "lose_next")

    def __init__(self, update_id: int) -> None:
        self.last_id = update_id
        self.bids: dict[int, None] = {}
        self.asks: dict[int, None] = {}
        self.lose_next = False


class Hub(Listeners):
    """Turns what happens at the venue into stream messages. An Observer of the venue."""

    def __init__(
        self, venue: Venue, market: MarketData, clock_ms: Callable[[], int], faults: Faults
    ) -> None:
        super().__init__(faults)
        self._venue = venue
        self._market = market
        self._clock_ms = clock_ms
        self.futures = FuturesHub(venue, clock_ms, faults)
        self._tops: dict[str, tuple[int, int, int, int]] = {}
        books = {s: m.book for s, m in venue.engine.markets.items()}
        self._fast = {s: _Differ(book.update_id) for s, book in books.items()}
        self._slow = {s: _Differ(book.update_id) for s, book in books.items()}
        for symbol in books:
            self.on_book(symbol)

    # -- observer ------------------------------------------------------------------------------

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Public streams say nothing about whose order it was."""

    def on_trades(self, symbol: str, trades: list[Trade], aggregates: list[AggTrade]) -> None:
        """Publish trades as they happen."""
        name = symbol.lower()
        stream = f"{name}@trade"
        if stream in self._listeners:
            for t in trades:
                maker = "true" if t.buyer_is_maker else "false"
                payload = (
                    f'{{"e":"trade","E":{t.time_ms},"s":"{symbol}","t":{t.trade_id},'
                    f'"p":"{text(t.price)}","q":"{text(t.quantity)}","T":{t.time_ms},'
                    f'"m":{maker},"M":true}}'
                )
                self.publish(stream, payload.encode())
        stream = f"{name}@aggTrade"
        if stream in self._listeners:
            for a in aggregates:
                head = {"e": "aggTrade", "E": a.time_ms, "s": symbol}
                self.publish(stream, _encode(head | render.agg_trade(a)))

    def on_book(self, symbol: str) -> None:
        """Publish the best bid and ask when they are not what they were."""
        book = self._venue.engine.markets[symbol].book
        bid, ask = book.bids.best(), book.asks.best()
        if bid is None or ask is None:
            return
        top = (bid.price, bid.quantity, ask.price, ask.quantity)
        if top == self._tops.get(symbol):
            return
        self._tops[symbol] = top
        stream = f"{symbol.lower()}@bookTicker"
        if stream in self._listeners:
            payload = (
                f'{{"u":{book.update_id},"s":"{symbol}","b":"{text(top[0])}",'
                f'"B":"{text(top[1])}","a":"{text(top[2])}","A":"{text(top[3])}"}}'
            )
            self.publish(stream, payload.encode())

    # -- paced streams -------------------------------------------------------------------------

    def every_100ms(self) -> None:
        """Publish the fast diff and partial depth streams."""
        for symbol, differ in self._fast.items():
            bids, asks = self._venue.engine.markets[symbol].book.take_changes()
            slow = self._slow[symbol]
            slow.bids |= bids
            slow.asks |= asks
            differ.bids, differ.asks = bids, asks
            book = self._venue.engine.markets[symbol].book
            levels = _levels(book.bids.levels, bids), _levels(book.asks.levels, asks)
            self.futures.diff(symbol, *levels, lost=differ.lose_next)
            self._diff(symbol, differ, FAST)
            self._partial(symbol, "@100ms")

    def every_second(self) -> None:
        """Publish the slow diff and partial depth streams."""
        self.futures.every_second()
        for symbol, differ in self._slow.items():
            self._diff(symbol, differ, SLOW)
            self._partial(symbol, "")

    def _diff(self, symbol: str, differ: _Differ, kind: str) -> None:
        book = self._venue.engine.markets[symbol].book
        # The slow stream may run between two fast ones: what the book still holds is in its ids.
        pending = (book.changed_bids, book.changed_asks) if kind == SLOW else ({}, {})
        bids, asks = differ.bids | pending[0], differ.asks | pending[1]
        differ.bids, differ.asks = {}, {}
        if book.update_id == differ.last_id:
            return
        first, differ.last_id = differ.last_id + 1, book.update_id
        if differ.lose_next:
            differ.lose_next = False
            return
        stream = symbol.lower() + kind
        if stream in self._listeners:
            payload = {
                "e": "depthUpdate",
                "E": self._clock_ms(),
                "s": symbol,
                "U": first,
                "u": book.update_id,
                "b": _levels(book.bids.levels, bids),
                "a": _levels(book.asks.levels, asks),
            }
            self.publish(stream, _encode(payload))

    def _partial(self, symbol: str, pace: str) -> None:
        for levels in PARTIAL_LEVELS:
            stream = f"{symbol.lower()}@depth{levels}{pace}"
            if stream in self._listeners:
                self.publish(stream, _encode(self._market.partial_depth(symbol, levels)))

    def every_two_seconds(self) -> None:
        """Publish the running one-minute candle."""
        for symbol, tape in self._venue.tapes.items():
            stream = f"{symbol.lower()}@kline_1m"
            if stream in self._listeners and tape.candles:
                c, now_ms = tape.candles[-1], self._clock_ms()
                closes_ms = c.open_ms + CANDLE_MS - 1
                candle = {
                    "t": c.open_ms, "T": closes_ms, "s": symbol, "i": "1m", "f": c.first_id,
                    "L": c.last_id, "o": text(c.open), "c": text(c.close), "h": text(c.high),
                    "l": text(c.low), "v": text(c.volume), "n": c.trades, "x": now_ms > closes_ms,
                    "q": text(c.quote), "V": text(c.taker_buy), "Q": text(c.taker_buy_quote),
                    "B": "0",
                }  # fmt: skip
                event = {"e": "kline", "E": now_ms, "s": symbol, "k": candle}
                self.publish(stream, _encode(event))

    def lose_next_diff(self, symbol: str) -> None:
        """Make the next diff of `symbol` never arrive, at both paces."""
        self._fast[symbol].lose_next = self._slow[symbol].lose_next = True


def _levels(levels: dict[int, Level], prices: dict[int, None]) -> list[tuple[str, str]]:
    """Return the quantity that stands at each price now; "0.00000000" where none does."""
    found = []
    for price in prices:
        level = levels.get(price)
        found.append((text(price), text(level.quantity if level is not None else 0)))
    return found
