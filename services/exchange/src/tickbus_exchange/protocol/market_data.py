"""Public questions: time, rules, book, trades, prices. Each returns what is to be sent as JSON."""

import msgspec

from tickbus_exchange.engine.numbers import SCALE, text
from tickbus_exchange.engine.orders import Trade
from tickbus_exchange.protocol import errors, params, render
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.limits import Limiter
from tickbus_exchange.tape import CANDLE_MS, Candle, Tape
from tickbus_exchange.venue import Venue

Params = dict[str, str]
DEPTH_MAX = 5_000
INTERVAL_MINUTES = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360,
    "8h": 480, "12h": 720, "1d": 1_440,
}  # fmt: skip


def one_symbol(venue: Venue, values: Params) -> str:
    """Return the mandatory symbol, known to exist."""
    symbol = params.symbol_text(params.required(values, "symbol"))
    if symbol not in venue.rules:
        raise errors.bad_symbol()
    return symbol


def some_symbols(venue: Venue, values: Params) -> tuple[list[str], bool]:
    """Return the symbols asked for, all of them by default, and whether exactly one was named."""
    single, many = values.get("symbol"), values.get("symbols")
    if single is not None and many is not None:
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    if single is not None:
        return [one_symbol(venue, values)], True
    if many is None:
        return list(venue.rules), False
    try:
        names = msgspec.json.decode(many, type=list[str])
    except (msgspec.DecodeError, RecursionError):
        legal = '^\\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\\]$'
        raise errors.illegal("symbols", legal) from None
    if len(set(names)) != len(names):
        raise ApiError(-1151, "Symbol is present multiple times in the list.")
    if not names or any(name not in venue.rules for name in names):
        raise errors.bad_symbol()
    return names, False


class MarketData:
    """Answers everything that needs no key."""

    def __init__(self, venue: Venue, limiter: Limiter) -> None:
        self._venue = venue
        self._limiter = limiter
        self._symbols: dict[tuple[str, str], msgspec.Raw] = {}

    def ping(self, _: Params, now_ms: int) -> object:
        """Answer."""
        return {}

    def time(self, _: Params, now_ms: int) -> object:
        """Tell the server's clock."""
        return {"serverTime": now_ms}

    def exchange_info(self, values: Params, now_ms: int) -> object:
        """Tell limits, symbols and filters."""
        names, _ = some_symbols(self._venue, values)
        return {
            "timezone": "UTC",
            "serverTime": now_ms,
            "rateLimits": self._limiter.describe(),
            "exchangeFilters": [],
            "symbols": [self._symbol(name) for name in names],
        }

    def _symbol(self, name: str) -> msgspec.Raw:
        """Return a symbol's entry; made once for each status."""
        key = name, self._venue.statuses[name]
        shown = self._symbols.get(key)
        if shown is None:
            shown = msgspec.Raw(msgspec.json.encode(render.symbol(self._venue.rules[name], key[1])))
            self._symbols[key] = shown
        return shown

    def depth(self, values: Params, now_ms: int) -> object:
        """Return the book; `limit` levels a side, 100 by default."""
        symbol = one_symbol(self._venue, values)
        return self.partial_depth(symbol, params.limit(values, 100, DEPTH_MAX))

    def partial_depth(self, symbol: str, levels: int) -> dict[str, object]:
        """Return the best `levels` of both sides and the update id they stand for."""
        book = self._venue.engine.markets[symbol].book
        return {
            "lastUpdateId": book.update_id,
            "bids": [[text(p), text(q)] for p, q in book.bids.top(levels)],
            "asks": [[text(p), text(q)] for p, q in book.asks.top(levels)],
        }

    def trades(self, values: Params, now_ms: int) -> object:
        """Return the latest trades, oldest first."""
        symbol = one_symbol(self._venue, values)
        count = params.limit(values, 500, 1_000)
        return [render.trade(t) for t in list(self._venue.tapes[symbol].trades)[-count:]]

    def historical_trades(self, values: Params, now_ms: int) -> object:
        """Return trades from `fromId` on; only the last thousand are kept."""
        symbol = one_symbol(self._venue, values)
        count, first = params.limit(values, 500, 1_000), params.long(values, "fromId")
        kept: list[Trade] = list(self._venue.tapes[symbol].trades)
        if first is None:
            return [render.trade(t) for t in kept[-count:]]
        return [render.trade(t) for t in kept if t.trade_id >= first][:count]

    def agg_trades(self, values: Params, now_ms: int) -> object:
        """Return aggregate trades, oldest first."""
        symbol = one_symbol(self._venue, values)
        count, first = params.limit(values, 500, 1_000), params.long(values, "fromId")
        start, end = params.long(values, "startTime"), params.long(values, "endTime")
        found = [
            t
            for t in self._venue.tapes[symbol].agg_trades
            if (first is None or t.agg_id >= first)
            and (start is None or t.time_ms >= start)
            and (end is None or t.time_ms <= end)
        ]
        forward = first is not None or start is not None
        return [render.agg_trade(t) for t in (found[:count] if forward else found[-count:])]

    def klines(self, values: Params, now_ms: int) -> object:
        """Return candles, built from one-minute ones; up to 25 hours are kept."""
        symbol = one_symbol(self._venue, values)
        minutes = INTERVAL_MINUTES.get(params.required(values, "interval"))
        if minutes is None:
            raise ApiError(-1120, "Invalid interval.")
        count = params.limit(values, 500, 1_000)
        start, end = params.long(values, "startTime"), params.long(values, "endTime")
        candles = [
            c
            for c in merge_candles(list(self._venue.tapes[symbol].candles), minutes)
            if (start is None or c.open_ms >= start) and (end is None or c.open_ms <= end)
        ]
        chosen = candles[:count] if start is not None else candles[-count:]
        return [render.kline(c, minutes * CANDLE_MS) for c in chosen]

    def average_price(self, values: Params, now_ms: int) -> object:
        """Return the volume-weighted price of the last five minutes."""
        tape = self._venue.tapes[one_symbol(self._venue, values)]
        last_ms = tape.trades[-1].time_ms if tape.trades else now_ms
        return {"mins": 5, "price": text(tape.average_price), "closeTime": last_ms}

    def ticker_price(self, values: Params, now_ms: int) -> object:
        """Return the last price of one or all symbols."""
        names, single = some_symbols(self._venue, values)
        markets = self._venue.engine.markets
        found = [{"symbol": n, "price": text(markets[n].last_price)} for n in names]
        return found[0] if single else found

    def book_ticker(self, values: Params, now_ms: int) -> object:
        """Return the best bid and ask of one or all symbols."""
        names, single = some_symbols(self._venue, values)
        found = [self._book_ticker(n) for n in names]
        return found[0] if single else found

    def _book_ticker(self, symbol: str) -> dict[str, str]:
        book = self._venue.engine.markets[symbol].book
        bid, ask = (book.bids.top(1) or [(0, 0)])[0], (book.asks.top(1) or [(0, 0)])[0]
        return {
            "symbol": symbol,
            "bidPrice": text(bid[0]),
            "bidQty": text(bid[1]),
            "askPrice": text(ask[0]),
            "askQty": text(ask[1]),
        }

    def ticker_24h(self, values: Params, now_ms: int) -> object:
        """Return the statistics of the last 24 hours of one or all symbols."""
        names, single = some_symbols(self._venue, values)
        found = [self._day(n, self._venue.tapes[n], now_ms) for n in names]
        return found[0] if single else found

    def _day(self, symbol: str, tape: Tape, now_ms: int) -> dict[str, object]:
        last = self._venue.engine.markets[symbol].last_price
        since = now_ms - 86_400_000
        candles = [c for c in tape.candles if c.open_ms >= since - CANDLE_MS]
        opening = candles[0].open if candles else last
        volume, quote = sum(c.volume for c in candles), sum(c.quote for c in candles)
        change = last - opening
        best = self._book_ticker(symbol)
        return {
            "symbol": symbol,
            "priceChange": ("-" if change < 0 else "") + text(abs(change)),
            "priceChangePercent": f"{change * 100 / opening:.3f}",
            "weightedAvgPrice": text(quote * SCALE // volume if volume else last),
            "prevClosePrice": text(opening),
            "lastPrice": text(last),
            "lastQty": text(tape.trades[-1].quantity if tape.trades else 0),
            "bidPrice": best["bidPrice"],
            "bidQty": best["bidQty"],
            "askPrice": best["askPrice"],
            "askQty": best["askQty"],
            "openPrice": text(opening),
            "highPrice": text(max((c.high for c in candles), default=last)),
            "lowPrice": text(min((c.low for c in candles), default=last)),
            "volume": text(volume),
            "quoteVolume": text(quote),
            "openTime": since,
            "closeTime": now_ms,
            "firstId": candles[0].first_id if candles else -1,
            "lastId": candles[-1].last_id if candles else -1,
            "count": sum(c.trades for c in candles),
        }


def merge_candles(candles: list[Candle], minutes: int) -> list[Candle]:
    """Return candles of `minutes` made of one-minute `candles`, which are left alone."""
    width = minutes * CANDLE_MS
    merged: list[Candle] = []
    for c in candles:
        open_ms = c.open_ms - c.open_ms % width
        if not merged or merged[-1].open_ms != open_ms:
            merged.append(Candle(open_ms, c.open, c.high, c.low, c.close, c.first_id, c.last_id))
        m = merged[-1]
        m.high, m.low = max(m.high, c.high), min(m.low, c.low)
        m.close, m.last_id = c.close, c.last_id
        m.volume += c.volume
        m.quote += c.quote
        m.trades += c.trades
        m.taker_buy += c.taker_buy
        m.taker_buy_quote += c.taker_buy_quote
    return merged
