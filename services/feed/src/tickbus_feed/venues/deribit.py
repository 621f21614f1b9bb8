"""Deribit: whole books in the stream, each change names the one before it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from tickbus.events import Instrument, Side
from tickbus_feed.adapter import (
    NO_NUMBER,
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

_Levels = list[tuple[str, Price, Size]]


class _Book(msgspec.Struct, gc=False):
    type: str
    timestamp: Millis
    instrument_name: str
    change_id: Id
    bids: _Levels
    asks: _Levels
    prev_change_id: int = NO_NUMBER


class _Trade(msgspec.Struct, gc=False):
    trade_id: str
    timestamp: Millis
    instrument_name: str
    price: Price
    amount: Size
    direction: str


class _Ticker(msgspec.Struct, gc=False):
    timestamp: Millis
    instrument_name: str
    best_bid_price: Size | None = None
    best_bid_amount: Size | None = None
    best_ask_price: Size | None = None
    best_ask_amount: Size | None = None
    mark_price: Number | None = None
    index_price: Number | None = None
    funding_8h: Number | None = None


class _Params(msgspec.Struct, frozen=True, gc=False):
    channel: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class _Frame(msgspec.Struct, gc=False):
    method: str = ""
    params: _Params = _Params()
    result: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")


_read_frame = decoder(_Frame)
_read_book = decoder(_Book)
_read_trades = decoder(list[_Trade])
_read_ticker = decoder(_Ticker)


class Deribit(Adapter):
    """Deribit: futures, perpetuals and options; `prev_change_id` is the change before."""

    name = "deribit"
    rest_url = "https://www.deribit.com"
    ws_url = "wss://www.deribit.com/ws/api/v2"
    instruments_default = ("BTC-USD-PERP", "ETH-USD-PERP")
    hosts = ("deribit.com",)

    def parse(self, payload: bytes, route: str) -> Sequence[Message]:
        """A notification or an answer. Raises ValueError."""
        frame = _read_frame(payload)
        if frame.error:
            return (Refused(f"the venue refused: {bytes(frame.error)[:200]!r}"),)
        if frame.result:
            return (Ignored("answer"),)
        channel = frame.params.channel.partition(".")[0]
        if channel == "book":
            return (_book(_read_book(frame.params.data)),)
        if channel == "trades":
            return [_trade(trade) for trade in _read_trades(frame.params.data)]
        if channel == "ticker":
            return _ticker(_read_ticker(frame.params.data))
        if not (frame.method or channel):
            raise ValueError("neither a notification nor an answer")
        return (Ignored(channel or frame.method),)

    def follows(self, diff: Diff, last: int) -> bool:
        """Each change names its predecessor."""
        return diff.previous == last

    def recognizes(self, payload: bytes) -> bool:
        """By a notification of a book."""
        return b'"method":"subscription","params":{"channel":"book.' in payload[:120]

    def guess(self, key: str) -> tuple[str, str, str]:
        """BTC-PERPETUAL, BTC-24SEP21, BTC-24SEP21-40000-P, BTC_USDC-PERPETUAL."""
        pair, *rest = key.split("-")
        base, _, quote = pair.partition("_")
        quote = quote or "USD"
        parts = [PERPETUAL if part == "PERPETUAL" else _date(part) for part in rest[:1]]
        return "-".join((base, quote, *parts, *rest[1:])), base, quote

    # -- asking ------------------------------------------------------------------------------------

    def routes(self, key: str) -> dict[str, list[str]]:
        """Book, trades and ticker; the raw interval would want a login."""
        return {"": [f"{kind}.{key}.100ms" for kind in ("book", "trades", "ticker")]}

    def subscription(self, names: Sequence[str], number: int, *, begin: bool) -> list[bytes]:
        """One request."""
        method = "public/subscribe" if begin else "public/unsubscribe"
        request = {"jsonrpc": "2.0", "id": number, "method": method}
        return [msgspec.json.encode({**request, "params": {"channels": list(names)}})]

    def instruments_requests(self) -> list[Request]:
        """All that have not expired."""
        params: dict[str, str | int] = {"currency": "any", "expired": "false"}
        return [Request("/api/v2/public/get_instruments", params, 1)]

    def list_instruments(self, payload: bytes, venue: str) -> list[Instrument]:
        """Every instrument."""
        return [self._instrument(e, venue) for e in msgspec.json.decode(payload)["result"]]

    def _instrument(self, entry: dict[str, Any], venue: str) -> Instrument:
        instrument_id, base, _ = self.guess(entry["instrument_name"])
        return Instrument(
            venue=venue,
            instrument_id=instrument_id,
            symbol=entry["instrument_name"],
            base=base,
            quote=entry["quote_currency"],
            tick_size=decimal(entry["tick_size"]),
            lot_size=decimal(entry["min_trade_amount"]),
            quantity_min=decimal(entry["min_trade_amount"]),
            trading=bool(entry.get("is_active", True)),
            # Amounts of futures on dollars are dollars, of all others the base.
            inverse=entry.get("kind") == "future" and entry["quote_currency"] == "USD",
        )

    def time_request(self) -> Request:
        """The venue's clock."""
        return Request("/api/v2/public/get_time", {}, 1)

    def parse_time(self, answer: Any) -> int:
        """In ms."""
        return int(answer["result"]) * 1_000_000


def _date(text: str) -> str:
    """24SEP21 as 210924; anything else as it is."""
    try:
        return datetime.strptime(text, "%d%b%y").replace(tzinfo=UTC).strftime("%y%m%d")
    except ValueError:
        return text


def _book(book: _Book) -> Message:
    bids = tuple((price, size) for _, price, size in book.bids)
    asks = tuple((price, size) for _, price, size in book.asks)
    name, ts_event, change = book.instrument_name, book.timestamp * 1_000_000, book.change_id
    if book.type == "snapshot":
        return Whole(name, ts_event, change, bids, asks)
    return Diff(name, ts_event, change, change, book.prev_change_id, bids, asks)


def _trade(t: _Trade) -> MarketTrade:
    side = Side.BUY if t.direction == "buy" else Side.SELL
    return MarketTrade(t.instrument_name, t.timestamp * 1_000_000, t.trade_id, t.price, t.amount,
                       side)  # fmt: skip


def _ticker(t: _Ticker) -> Sequence[Message]:
    ts_event = t.timestamp * 1_000_000
    quote = (t.best_bid_price, t.best_bid_amount, t.best_ask_price, t.best_ask_amount)
    bid, bid_size, ask, ask_size = (value or 0.0 for value in quote)
    out: list[Message] = [MarketQuote(t.instrument_name, ts_event, bid, bid_size, ask, ask_size, 0)]
    if t.funding_8h is not None and t.mark_price:
        mark, index = t.mark_price, t.index_price or 0.0
        out.append(MarketFunding(t.instrument_name, ts_event, mark, index, t.funding_8h, 0))
    return out
