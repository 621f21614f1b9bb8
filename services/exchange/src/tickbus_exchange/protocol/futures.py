"""The same markets as USD-M perpetuals: futures market streams, on their routes, and their REST.

A stream that is asked for on the wrong route is acknowledged and never delivered, as at the venue.
Update ids have holes, and each diff names the last id of the one before it.
"""

from collections.abc import Callable, Sequence

import msgspec

from tickbus_exchange.engine.futures_desk import mark_price
from tickbus_exchange.engine.numbers import text
from tickbus_exchange.engine.orders import Report, Trade
from tickbus_exchange.protocol import futures_render, params, render
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.faults import Faults
from tickbus_exchange.protocol.limits import Limiter
from tickbus_exchange.protocol.listeners import Listeners, Subscriber
from tickbus_exchange.protocol.market_data import one_symbol
from tickbus_exchange.tape import AggTrade
from tickbus_exchange.venue import Venue

PUBLIC, MARKET = "public", "market"
ROUTES = (PUBLIC, MARKET)
IDS_APART = 7
"""Of the futures' update ids only every seventh is one of ours."""
DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1_000)
_encode = msgspec.json.Encoder().encode


def route_of(stream: str) -> str:
    """The route that delivers `stream`."""
    name, _, kind = stream.partition("@")
    kind = kind or name.removeprefix("!")
    return PUBLIC if kind.startswith(("depth", "bookTicker")) else MARKET


class RoutedStreams:
    """What a connection on one route may subscribe to; the rest it is never sent."""

    def __init__(self, hub: "FuturesHub", route: str) -> None:
        self._hub = hub
        self._route = route
        self.faults = hub.faults

    def subscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Listen, if this is the route of `stream`."""
        if route_of(stream) == self._route:
            self._hub.subscribe(subscriber, stream)

    def unsubscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Stop listening."""
        self._hub.unsubscribe(subscriber, stream)


class FuturesHub(Listeners):
    """Turns what happens at the venue into futures stream messages. An Observer of the venue."""

    def __init__(self, venue: Venue, clock_ms: Callable[[], int], faults: Faults) -> None:
        super().__init__(faults)
        self._venue = venue
        self._clock_ms = clock_ms
        self._last_ids = {s: self._id(s) for s in venue.rules}
        self._tops: dict[str, tuple[int, int, int, int]] = {}
        self._forced: dict[str, Trade] = {}

    def route(self, name: str) -> RoutedStreams:
        """The streams as a connection on route `name` sees them."""
        return RoutedStreams(self, name)

    def _id(self, symbol: str) -> int:
        return self._venue.engine.markets[symbol].book.update_id * IDS_APART

    # -- observer ------------------------------------------------------------------------------

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Public streams say nothing about whose order it was."""

    def on_trades(self, symbol: str, trades: list[Trade], aggregates: list[AggTrade]) -> None:
        """Publish aggregate trades; remember the largest forced one of this second."""
        stream = f"{symbol.lower()}@aggTrade"
        for a in aggregates if stream in self._listeners else ():
            head = {"e": "aggTrade", "E": a.time_ms, "s": symbol}
            self.publish(stream, _encode(head | render.agg_trade(a) | {"nq": text(a.quantity)}))
        if self._venue.is_forced:
            for t in trades:
                known = self._forced.get(symbol)
                if known is None or t.quantity > known.quantity:
                    self._forced[symbol] = t

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
        if stream not in self._listeners:
            return
        now_ms = self._clock_ms()
        event = {
            "e": "bookTicker", "u": self._id(symbol), "s": symbol, "b": text(top[0]),
            "B": text(top[1]), "a": text(top[2]), "A": text(top[3]), "T": now_ms, "E": now_ms,
        }  # fmt: skip
        self.publish(stream, _encode(event))

    # -- paced streams -------------------------------------------------------------------------

    def diff(
        self, symbol: str, bids: list[tuple[str, str]], asks: list[tuple[str, str]], *, lost: bool
    ) -> None:
        """Publish what changed in the last 100 ms, unless it is to be `lost`."""
        now_ms, last, update = self._clock_ms(), self._last_ids[symbol], self._id(symbol)
        if update == last:
            return
        self._last_ids[symbol] = update
        if lost:
            return
        event = {
            "e": "depthUpdate", "E": now_ms, "T": now_ms, "s": symbol,
            "U": last + IDS_APART, "u": update, "pu": last, "b": bids, "a": asks,
        }  # fmt: skip
        self.publish(f"{symbol.lower()}@depth@100ms", _encode(event))

    def every_second(self) -> None:
        """Publish mark prices, and the largest liquidation of each symbol."""
        now_ms = self._clock_ms()
        rate, next_ms = _funding(self._venue, now_ms)
        for symbol, market in self._venue.engine.markets.items():
            mark = text(mark_price(market))
            event = {
                "e": "markPriceUpdate", "E": now_ms, "s": symbol, "p": mark,
                "i": text(market.last_price), "P": mark, "r": rate, "T": next_ms,
            }  # fmt: skip
            self.publish(f"{symbol.lower()}@markPrice@1s", _encode(event))
        for symbol, t in self._forced.items():
            side = "SELL" if t.buyer_is_maker else "BUY"
            price, quantity = text(t.price), text(t.quantity)
            order = {
                "s": symbol, "S": side, "o": "LIMIT", "f": "IOC", "q": quantity, "p": price,
                "ap": price, "X": "FILLED", "l": quantity, "z": quantity, "T": t.time_ms,
            }  # fmt: skip
            event = {"e": "forceOrder", "E": now_ms, "o": order}
            for stream in (f"{symbol.lower()}@forceOrder", "!forceOrder@arr"):
                self.publish(stream, _encode(event))
        self._forced.clear()


def _funding(venue: Venue, now_ms: int) -> tuple[str, int]:
    """Return the funding rate and when it is next settled."""
    config = venue.config.futures
    interval_ms = config.funding_interval_ms
    rate = futures_render.text(config.funding_rate)
    return rate, (now_ms // interval_ms + 1) * interval_ms


class FuturesData:
    """Answers `/fapi/v1/*` that needs no key."""

    def __init__(self, venue: Venue, limiter: Limiter) -> None:
        self._venue = venue
        self._limiter = limiter

    def exchange_info(self, values: dict[str, str], now_ms: int) -> object:
        """Tell limits, symbols and filters; each market is a perpetual."""
        symbols = [
            futures_render.symbol(rules, self._venue.statuses[name])
            for name, rules in self._venue.rules.items()
        ]
        return {
            "timezone": "UTC", "serverTime": now_ms, "futuresType": "U_MARGINED",
            "rateLimits": self._limiter.describe(), "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
            "symbols": symbols,
        }  # fmt: skip

    def depth(self, values: dict[str, str], now_ms: int) -> object:
        """Return the book; `limit` levels a side, 500 by default."""
        symbol = one_symbol(self._venue, values)
        book = self._venue.engine.markets[symbol].book
        levels = params.limit(values, 500, DEPTH_LIMITS[-1])
        if levels not in DEPTH_LIMITS:
            raise ApiError(-4021, f"'{levels}' is not valid depth limit.")
        return {
            "lastUpdateId": book.update_id * IDS_APART,
            "E": now_ms,
            "T": now_ms,
            "bids": [[text(p), text(q)] for p, q in book.bids.top(levels)],
            "asks": [[text(p), text(q)] for p, q in book.asks.top(levels)],
        }

    def premium_index(self, values: dict[str, str], now_ms: int) -> object:
        """Return mark price and funding of one or every symbol."""
        rate, next_ms = _funding(self._venue, now_ms)
        names = [one_symbol(self._venue, values)] if "symbol" in values else self._venue.rules
        markets = self._venue.engine.markets
        found = [
            {
                "symbol": name, "markPrice": text(mark_price(markets[name])),
                "indexPrice": text(markets[name].last_price),
                "estimatedSettlePrice": text(markets[name].last_price),
                "lastFundingRate": rate, "interestRate": rate, "nextFundingTime": next_ms,
                "time": now_ms,
            }
            for name in names
        ]  # fmt: skip
        return found[0] if "symbol" in values else found
