"""Coinbase Advanced Trade: whole books in the stream, every frame of a connection numbered."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tickbus.events import Instrument, Side
from tickbus_feed.adapter import (
    Adapter,
    Diff,
    Ignored,
    MarketQuote,
    MarketTrade,
    Message,
    Numbered,
    Price,
    Refused,
    Request,
    Size,
    Whole,
    decimal,
    decoder,
    ns_of,
)

CHANNELS = ("level2", "market_trades")
HEARTBEATS = "heartbeats"


class _Update(msgspec.Struct, gc=False):
    side: str
    price_level: Price
    new_quantity: Size


class _BookEvent(msgspec.Struct, gc=False):
    type: str
    product_id: str
    updates: list[_Update]


class _Trade(msgspec.Struct, gc=False):
    product_id: str
    trade_id: str
    price: Price
    size: Size
    time: str
    side: str


class _TradeEvent(msgspec.Struct, gc=False):
    trades: list[_Trade]
    type: str = ""


class _Ticker(msgspec.Struct, gc=False):
    product_id: str
    best_bid: Size = 0.0
    best_bid_quantity: Size = 0.0
    best_ask: Size = 0.0
    best_ask_quantity: Size = 0.0


class _TickerEvent(msgspec.Struct, gc=False):
    tickers: list[_Ticker]


class _Frame(msgspec.Struct, gc=False):
    channel: str = ""
    timestamp: str = ""
    sequence_num: int = -1
    events: msgspec.Raw = msgspec.Raw(b"")
    type: str = ""
    message: str = ""


_read_frame = decoder(_Frame)
_read_books = decoder(list[_BookEvent])
_read_trades = decoder(list[_TradeEvent])
_read_tickers = decoder(list[_TickerEvent])


class Coinbase(Adapter):
    """Coinbase: a hole in a connection's numbers may be in any of its books."""

    name = "coinbase"
    rest_url = "https://api.coinbase.com"
    ws_url = "wss://advanced-trade-ws.coinbase.com"
    instruments_default = ("BTC-USD", "ETH-USD")
    frames_numbered = True
    quotes_from_book = True  # its ticker speaks only when somebody trades
    audit_every_s = 600.0  # a book may fall silent while the connection speaks
    hosts = ("coinbase.com",)

    def parse(self, payload: bytes, route: str) -> Sequence[Message]:
        """A frame with its number first. Raises ValueError."""
        frame = _read_frame(payload)
        if frame.type == "error":
            return (Refused(f"the venue refused: {frame.message or payload[:200]!r}"),)
        if not frame.channel:
            raise ValueError("no channel")
        out: list[Message] = [Numbered(frame.sequence_num)] if frame.sequence_num >= 0 else []
        if frame.channel == "l2_data":
            ts_event = ns_of(frame.timestamp)
            out.extend(_book(event, ts_event) for event in _read_books(frame.events))
        elif frame.channel == "market_trades":
            # The newest comes first.
            for event in _read_trades(frame.events):
                history = event.type == "snapshot"
                out.extend(_trade(trade, history) for trade in reversed(event.trades))
        elif frame.channel == "ticker":
            ts_event = ns_of(frame.timestamp)
            for tickers in _read_tickers(frame.events):
                out.extend(_quote(ticker, ts_event) for ticker in tickers.tickers)
        else:
            out.append(Ignored(frame.channel))
        return out

    # -- asking ------------------------------------------------------------------------------------

    def always_talks(self, route: str) -> bool:
        """Heartbeats come every second."""
        return True

    def recognizes(self, payload: bytes) -> bool:
        """By a book."""
        return payload.startswith(b'{"channel":"l2_data"')

    def routes(self, key: str) -> dict[str, list[str]]:
        """Book and trades; heartbeats, which are of the connection."""
        return {"": [*(f"{channel}:{key}" for channel in CHANNELS), HEARTBEATS]}

    def subscription(self, names: Sequence[str], number: int, *, begin: bool) -> list[bytes]:
        """One frame per channel; heartbeats are never given up."""
        channels: dict[str, list[str]] = {}
        for name in names:
            channel, _, product = name.partition(":")
            channels.setdefault(channel, []).extend([product] if product else [])
        op = "subscribe" if begin else "unsubscribe"
        return [
            msgspec.json.encode({"type": op, "product_ids": products, "channel": channel})
            for channel, products in channels.items()
            if begin or channel != HEARTBEATS
        ]

    def instruments_requests(self) -> list[Request]:
        """All products."""
        return [Request("/api/v3/brokerage/market/products", {}, 1)]

    def time_request(self) -> Request:
        """The venue's clock."""
        return Request("/api/v3/brokerage/time", {}, 1)

    def parse_time(self, answer: Any) -> int:
        """In ms."""
        return int(answer["epochMillis"]) * 1_000_000

    def list_instruments(self, payload: bytes, venue: str) -> list[Instrument]:
        """Every spot product."""
        products = msgspec.json.decode(payload)["products"]
        return [
            _instrument(product, venue)
            for product in products
            if product.get("product_type", "SPOT") == "SPOT"
        ]


def _book(event: _BookEvent, ts_event: int) -> Message:
    bids = tuple((u.price_level, u.new_quantity) for u in event.updates if u.side == "bid")
    asks = tuple((u.price_level, u.new_quantity) for u in event.updates if u.side == "offer")
    if len(bids) + len(asks) != len(event.updates):
        raise ValueError("an update's side is neither bid nor offer")
    if event.type == "snapshot":
        return Whole(event.product_id, ts_event, -1, bids, asks)
    return Diff(event.product_id, ts_event, -1, -1, -1, bids, asks)


def _trade(t: _Trade, history: bool) -> MarketTrade:
    # `side` is the maker's: who took is on the other one.
    side = Side.SELL if t.side == "BUY" else Side.BUY
    ts_event = ns_of(t.time)
    return MarketTrade(t.product_id, ts_event, t.trade_id, t.price, t.size, side, history)


def _quote(t: _Ticker, ts_event: int) -> MarketQuote:
    quote = (t.best_bid, t.best_bid_quantity, t.best_ask, t.best_ask_quantity)
    return MarketQuote(t.product_id, ts_event, *quote, 0)


def _instrument(product: dict[str, Any], venue: str) -> Instrument:
    name = product["product_id"]
    base, _, quote = name.partition("-")
    return Instrument(
        venue=venue,
        instrument_id=name,
        symbol=name,
        base=base,
        quote=quote,
        tick_size=decimal(product.get("price_increment") or product["quote_increment"]),
        lot_size=decimal(product["base_increment"]),
        quantity_min=decimal(product.get("base_min_size")),
        quantity_max=decimal(product.get("base_max_size")),
        notional_min=decimal(product.get("quote_min_size")),
        trading=product.get("status") == "online" and not product.get("trading_disabled", False),
    )
