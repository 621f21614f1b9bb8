"""Kraken Futures: whole books in the stream, each change of one level and numbered."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tickbus.events import Instrument, Side
from tickbus_feed.adapter import (
    PERPETUAL,
    Adapter,
    Diff,
    Id,
    Ignored,
    MarketFunding,
    MarketQuote,
    MarketTrade,
    Message,
    Millis,
    Number,
    Price,
    Refused,
    Request,
    Size,
    Whole,
    decimal,
    decoder,
)
from tickbus_feed.venues.kraken import ASSETS

KINDS = {"PI": "", "FI": "", "PF": "-LINEAR", "FF": "-LINEAR"}
"""Inverse and linear contracts of the same pair are different instruments."""


class _Level(msgspec.Struct, gc=False):
    price: Price
    qty: Size


class _Whole(msgspec.Struct, gc=False):
    product_id: str
    timestamp: Millis
    seq: Id
    bids: list[_Level]
    asks: list[_Level]


class _Change(msgspec.Struct, gc=False):
    product_id: str
    timestamp: Millis
    seq: Id
    side: str
    price: Price
    qty: Size


class _Trade(msgspec.Struct, gc=False):
    product_id: str
    uid: str
    side: str
    time: Millis
    qty: Size
    price: Price


class _Trades(msgspec.Struct, gc=False):
    trades: list[_Trade]


class _Ticker(msgspec.Struct, gc=False):
    product_id: str
    bid: Size
    ask: Size
    time: Millis = 0
    bid_size: Size = 0.0
    ask_size: Size = 0.0
    markPrice: Number = 0.0  # noqa: N815 - Kraken's spelling
    index: Number = 0.0
    relative_funding_rate: Number = 0.0
    next_funding_rate_time: Millis = 0


class _Frame(msgspec.Struct, gc=False):
    feed: str = ""
    event: str = ""
    message: str = ""


_read_frame = decoder(_Frame)
_read_whole = decoder(_Whole)
_read_change = decoder(_Change)
_read_trade = decoder(_Trade)
_read_trades = decoder(_Trades)
_read_ticker = decoder(_Ticker)


class KrakenFutures(Adapter):
    """Kraken Futures: `seq` rises by one with each change of a product's book."""

    name = "kraken-futures"
    rest_url = "https://futures.kraken.com"
    ws_url = "wss://futures.kraken.com/ws/v1"
    instruments_default = ("BTC-USD-PERP-LINEAR", "ETH-USD-PERP-LINEAR")
    hosts = ("futures.kraken.com",)

    def parse(self, payload: bytes, route: str) -> Sequence[Message]:
        """A frame of a feed, or an event. Raises ValueError."""
        frame = _read_frame(payload)
        if frame.event in ("error", "alert"):
            return (Refused(f"the venue refused: {frame.message}"),)
        if frame.event:
            return (Ignored(frame.event),)
        if frame.feed == "book":
            return (_change(_read_change(payload)),)
        if frame.feed == "book_snapshot":
            return (_whole(_read_whole(payload)),)
        if frame.feed == "trade":
            return (_trade(_read_trade(payload)),)
        if frame.feed == "trade_snapshot":
            trades = reversed(_read_trades(payload).trades)
            return [_trade(trade)._replace(is_history=True) for trade in trades]
        if frame.feed in ("ticker", "ticker_lite"):
            return _ticker(_read_ticker(payload))
        if not frame.feed:
            raise ValueError("neither a feed nor an event")
        return (Ignored(frame.feed),)

    def recognizes(self, payload: bytes) -> bool:
        """By a book."""
        return payload.startswith((b'{"feed":"book_snapshot"', b'{"feed":"book",'))

    def guess(self, key: str) -> tuple[str, str, str]:
        """PI_XBTUSD is the perpetual, FI_XBTUSD_210730 a dated contract."""
        kind, _, rest = key.partition("_")
        pair, _, date = rest.partition("_")
        if kind not in KINDS or len(pair) < 6:
            raise ValueError(f"{key}: no product of Kraken Futures")
        base, quote = ASSETS.get(pair[:-3], pair[:-3]), pair[-3:]
        return f"{base}-{quote}-{date or PERPETUAL}{KINDS[kind]}", base, quote

    # -- asking ------------------------------------------------------------------------------------

    def routes(self, key: str) -> dict[str, list[str]]:
        """Book, trades and ticker, on the one connection there is."""
        return {"": [f"{feed}:{key}" for feed in ("book", "trade", "ticker")]}

    def subscription(self, names: Sequence[str], number: int, *, begin: bool) -> list[bytes]:
        """One frame per feed."""
        feeds: dict[str, list[str]] = {}
        for name in names:
            feed, _, product = name.partition(":")
            feeds.setdefault(feed, []).append(product)
        event = "subscribe" if begin else "unsubscribe"
        return [
            msgspec.json.encode({"event": event, "feed": feed, "product_ids": products})
            for feed, products in feeds.items()
        ]

    def instruments_requests(self) -> list[Request]:
        """All products."""
        return [Request("/derivatives/api/v3/instruments", {}, 1)]

    def list_instruments(self, payload: bytes, venue: str) -> list[Instrument]:
        """Every future; indices are left out."""
        listed = msgspec.json.decode(payload)["instruments"]
        return [
            self._instrument(entry, venue)
            for entry in listed
            if entry["symbol"].upper().partition("_")[0] in KINDS
        ]

    def _instrument(self, entry: dict[str, Any], venue: str) -> Instrument:
        symbol = entry["symbol"].upper()
        instrument_id, base, quote = self.guess(symbol)
        places = entry.get("contractValueTradePrecision", 0)
        return Instrument(
            venue=venue,
            instrument_id=instrument_id,
            symbol=symbol,
            base=base,
            quote=quote,
            tick_size=decimal(entry["tickSize"]),
            lot_size=decimal(f"1e{-int(places)}"),
            trading=bool(entry.get("tradeable", True)),
            contract_size=decimal(entry.get("contractSize") or 1),
            inverse=entry.get("type") == "futures_inverse",
        )


def _whole(book: _Whole) -> Whole:
    bids = tuple((level.price, level.qty) for level in book.bids)
    asks = tuple((level.price, level.qty) for level in book.asks)
    return Whole(book.product_id, book.timestamp * 1_000_000, book.seq, bids, asks)


def _change(change: _Change) -> Diff:
    if change.side not in ("buy", "sell"):
        raise ValueError(f"side {change.side!r}")
    level = ((change.price, change.qty),)
    sides = (level, ()) if change.side == "buy" else ((), level)
    seq = change.seq
    return Diff(change.product_id, change.timestamp * 1_000_000, seq, seq, -1, *sides)


def _trade(t: _Trade) -> MarketTrade:
    side = Side.BUY if t.side == "buy" else Side.SELL
    return MarketTrade(t.product_id, t.time * 1_000_000, t.uid, t.price, t.qty, side)


def _ticker(t: _Ticker) -> Sequence[Message]:
    ts_event = t.time * 1_000_000
    out: list[Message] = [
        MarketQuote(t.product_id, ts_event, t.bid, t.bid_size, t.ask, t.ask_size, 0)
    ]
    if t.markPrice and t.next_funding_rate_time:
        ts_next = t.next_funding_rate_time * 1_000_000
        rate = t.relative_funding_rate
        out.append(MarketFunding(t.product_id, ts_event, t.markPrice, t.index, rate, ts_next))
    return out
