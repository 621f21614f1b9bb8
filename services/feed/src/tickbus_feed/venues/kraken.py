"""Kraken spot: books with a CRC32 of their best ten levels; API v2, and v1 for recordings."""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import msgspec

from tickbus.events import Instrument, Side
from tickbus_feed.adapter import (
    NO_NUMBER,
    Adapter,
    Diff,
    Ignored,
    MarketQuote,
    MarketTrade,
    Message,
    Number,
    Price,
    Refused,
    Request,
    Size,
    Texts,
    Whole,
    decimal,
    decoder,
    levels_of,
    ns_of,
    ns_of_seconds,
)

DEPTHS = (10, 25, 100, 500, 1000)
SYMBOLS_MAX = 5_000
ASSETS = {"XBT": "BTC", "XDG": "DOGE"}
"""What Kraken's older interfaces call otherwise than the rest of the world."""


class _Level(msgspec.Struct, gc=False):
    # As spelled: the checksum is one of digits.
    price: msgspec.Raw
    qty: msgspec.Raw


class _Book(msgspec.Struct, gc=False):
    symbol: str
    bids: list[_Level] = []
    asks: list[_Level] = []
    checksum: int | None = None
    timestamp: str = ""


class _Trade(msgspec.Struct, gc=False):
    symbol: str
    side: str
    price: Price
    qty: Size
    trade_id: int
    timestamp: str


class _Ticker(msgspec.Struct, gc=False):
    symbol: str
    bid: Number
    bid_qty: Size
    ask: Number
    ask_qty: Size
    timestamp: str = ""


class _Subscribed(msgspec.Struct, gc=False):
    channel: str = ""
    symbol: str = ""
    depth: int = 0


class _Frame(msgspec.Struct, gc=False):
    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    method: str = ""
    event: str = ""
    success: bool = True
    error: str = ""
    result: msgspec.Raw = msgspec.Raw(b"")


_read_frame = decoder(_Frame)
_read_books = decoder(list[_Book])
_read_trades = decoder(list[_Trade])
_read_tickers = decoder(list[_Ticker])
_read_subscribed = decoder(_Subscribed)
_read_array = decoder(list[Any])


class Kraken(Adapter):
    """Kraken: a checksum with each change, no numbers; levels beyond the depth just fall off."""

    name = "kraken"
    rest_url = "https://api.kraken.com"
    ws_url = "wss://ws.kraken.com/v2"
    instruments_default = ("BTC-USD", "ETH-USD")
    books_numbered = False
    checksum_levels = 10
    clock_step_ms = 1000.0
    audit_every_s = 600.0  # a change that was lost below these levels shows only when they come up
    levels_allowed = DEPTHS
    hosts = ("//ws.kraken.com", "//beta-ws.kraken.com", "//api.kraken.com")

    def __init__(self, levels: int = 1000) -> None:
        super().__init__(levels)
        self._depths: dict[str, int] = {}

    def parse(self, payload: bytes, route: str) -> Sequence[Message]:
        """A frame of API v2 (an object with `channel`) or v1 (an array). Raises ValueError."""
        if payload[:1] == b"[":
            return self._parse_v1(_read_array(payload))
        frame = _read_frame(payload)
        if frame.channel == "book":
            return [self._book(book, frame.type) for book in _read_books(frame.data)]
        if frame.channel == "trade":
            return [_trade(trade) for trade in _read_trades(frame.data)]
        if frame.channel == "ticker":
            return [_quote(quote) for quote in _read_tickers(frame.data)]
        if not frame.success or frame.error:
            return (Refused(f"the venue refused: {frame.error or payload[:200]!r}"),)
        if frame.method == "subscribe" and frame.result:
            done = _read_subscribed(frame.result)
            if done.channel == "book" and done.depth and len(self._depths) < SYMBOLS_MAX:
                self._depths[done.symbol] = done.depth
        if not (frame.channel or frame.method or frame.event):
            raise ValueError("neither a channel, a method nor an event")
        return (Ignored(frame.channel or frame.method or frame.event),)

    def _book(self, book: _Book, kind: str) -> Message:
        bids, asks = _texts(book.bids), _texts(book.asks)
        ts_event = ns_of(book.timestamp) if book.timestamp else 0
        depth = self._depths.get(book.symbol, self.levels)
        levels = (levels_of(bids), levels_of(asks), book.checksum, depth, (bids, asks))
        if kind == "snapshot":
            return Whole(book.symbol, ts_event, NO_NUMBER, *levels)
        return Diff(book.symbol, ts_event, NO_NUMBER, NO_NUMBER, NO_NUMBER, *levels)

    def checksum(self, bids: Texts, asks: Texts) -> int:
        """CRC32 of the digits of ten asks and ten bids, price and size, without leading zeros."""
        digits = "".join(
            text.replace(".", "").lstrip("0") for level in (*asks, *bids) for text in level
        )
        return crc32(digits.encode())

    # -- API v1 ------------------------------------------------------------------------------------

    def _parse_v1(self, frame: list[Any]) -> Sequence[Message]:
        # [channel, body, (body,) name, pair]: bids and asks may come in a body each.
        name, pair, bodies = str(frame[-2]), str(frame[-1]), frame[1:-2]
        if name.startswith("book"):
            return (_book_v1(bodies, pair, int(name.partition("-")[2] or 0)),)
        if name == "trade":
            levels = levels_of(tuple((entry[0], entry[1]) for entry in bodies[0]))
            return [
                MarketTrade(
                    pair, ns_of_seconds(entry[2]), f"{entry[2]}-{place}", *level,
                    Side.BUY if entry[3] == "b" else Side.SELL,
                )
                for place, (entry, level) in enumerate(zip(bodies[0], levels, strict=True))
            ]  # fmt: skip
        if name == "ticker":
            ask, bid = bodies[0]["a"], bodies[0]["b"]
            best = levels_of(((bid[0], bid[2]), (ask[0], ask[2])))
            return (MarketQuote(pair, 0, *best[0], *best[1], 0),)
        return (Ignored(name),)

    # -- asking ------------------------------------------------------------------------------------

    def recognizes(self, payload: bytes) -> bool:
        """By a book of either interface."""
        books = payload.startswith(b'{"channel":"book"') or b'"book-' in payload[-60:]
        return books

    def guess(self, key: str) -> tuple[str, str, str]:
        """Both assets are named, some as nobody else does."""
        base, _, quote = key.partition("/")
        base, quote = ASSETS.get(base, base), ASSETS.get(quote, quote)
        return f"{base}-{quote}", base, quote

    def routes(self, key: str) -> dict[str, list[str]]:
        """Book, trades and best bid and ask, on the one connection there is."""
        return {"": [f"{kind}:{key}" for kind in ("book", "trade", "ticker")]}

    def subscription(self, names: Sequence[str], number: int, *, begin: bool) -> list[bytes]:
        """One frame per channel."""
        channels: dict[str, list[str]] = {}
        for name in names:
            kind, _, symbol = name.partition(":")
            channels.setdefault(kind, []).append(symbol)
        frames = []
        for kind, symbols in channels.items():
            params: dict[str, Any] = {"channel": kind, "symbol": symbols}
            if kind == "book":
                params["depth"] = self.levels
            if begin and kind == "trade":
                params["snapshot"] = False
            if begin and kind == "ticker":
                params["event_trigger"] = "bbo"  # else it speaks only when somebody trades
            method = "subscribe" if begin else "unsubscribe"
            frames.append(
                msgspec.json.encode({"method": method, "params": params, "req_id": number})
            )
        return frames

    def instruments_requests(self) -> list[Request]:
        """All pairs."""
        return [Request("/0/public/AssetPairs", {}, 1)]

    def time_request(self) -> Request:
        """The venue's clock, in whole seconds."""
        return Request("/0/public/Time", {}, 1)

    def parse_time(self, answer: Any) -> int:
        """The middle of the second that it names."""
        return int(answer["result"]["unixtime"]) * 1_000_000_000 + 500_000_000

    def list_instruments(self, payload: bytes, venue: str) -> list[Instrument]:
        """Every pair that has a name on the stream."""
        pairs = msgspec.json.decode(payload)["result"]
        return [_instrument(pair, venue) for pair in pairs.values() if pair.get("wsname")]


def _texts(levels: list[_Level]) -> Texts:
    return tuple((bytes(x.price).decode(), bytes(x.qty).decode()) for x in levels)


def _book_v1(bodies: list[dict[str, Any]], pair: str, depth: int) -> Message:
    sides: dict[str, Texts] = {}
    ts_event, checksum, whole = 0, None, False
    for body in bodies:
        for name, entries in body.items():
            if name == "c":
                checksum = int(entries)
                continue
            whole = whole or name in ("as", "bs")
            sides[name[0]] = tuple((entry[0], entry[1]) for entry in entries)
            ts_event = max(ts_event, *(ns_of_seconds(e[2]) for e in entries)) if entries else 0
    bids, asks = sides.get("b", ()), sides.get("a", ())
    levels = (levels_of(bids), levels_of(asks), checksum, depth, (bids, asks))
    if whole:
        return Whole(pair, ts_event, NO_NUMBER, *levels)
    return Diff(pair, ts_event, NO_NUMBER, NO_NUMBER, NO_NUMBER, *levels)


def _trade(trade: _Trade) -> MarketTrade:
    side = Side.BUY if trade.side == "buy" else Side.SELL
    return MarketTrade(
        trade.symbol, ns_of(trade.timestamp), str(trade.trade_id), trade.price, trade.qty, side
    )


def _quote(quote: _Ticker) -> MarketQuote:
    ts_event = ns_of(quote.timestamp) if quote.timestamp else 0
    return MarketQuote(
        quote.symbol, ts_event, quote.bid, quote.bid_qty, quote.ask, quote.ask_qty, 0
    )


def _instrument(pair: dict[str, Any], venue: str) -> Instrument:
    base, _, quote = pair["wsname"].partition("/")
    base, quote = ASSETS.get(base, base), ASSETS.get(quote, quote)
    return Instrument(
        venue=venue,
        instrument_id=f"{base}-{quote}",
        symbol=f"{base}/{quote}",
        base=base,
        quote=quote,
        tick_size=decimal(pair.get("tick_size") or f"1e-{pair['pair_decimals']}"),
        lot_size=decimal(f"1e-{pair['lot_decimals']}"),
        quantity_min=decimal(pair.get("ordermin")),
        notional_min=decimal(pair.get("costmin")),
        trading=pair.get("status", "online") == "online",
    )
