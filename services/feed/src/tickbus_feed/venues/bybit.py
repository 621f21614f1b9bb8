"""Bybit v5: books numbered without a hole, spot and derivatives on a connection each."""

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
    MarketLiquidation,
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

CATEGORIES = ("spot", "linear", "inverse")
DEPTHS = (1, 50, 200, 1000)
SYMBOLS_MAX = 5_000
"""Bybit lists fewer; names that only noise makes must not fill the memory."""
_Levels = tuple[tuple[Price, Size], ...]


class _Book(msgspec.Struct, gc=False):
    s: str
    b: _Levels
    a: _Levels
    u: Id
    seq: int = 0


class _Trade(msgspec.Struct, gc=False):
    T: Millis
    s: str
    S: str
    v: Size
    p: Price
    i: str


class _Ticker(msgspec.Struct, gc=False):
    symbol: str
    bid1Price: str | None = None  # noqa: N815 - Bybit's spelling; only what changed is sent
    bid1Size: str | None = None  # noqa: N815
    ask1Price: str | None = None  # noqa: N815
    ask1Size: str | None = None  # noqa: N815
    markPrice: str | None = None  # noqa: N815
    indexPrice: str | None = None  # noqa: N815
    fundingRate: str | None = None  # noqa: N815
    nextFundingTime: str | None = None  # noqa: N815


class _Liquidation(msgspec.Struct, gc=False):
    T: Millis
    s: str
    S: str
    v: Size
    p: Price


class _Frame(msgspec.Struct, gc=False):
    topic: str = ""
    type: str = ""
    ts: Millis = 0
    cts: Millis = 0
    data: msgspec.Raw = msgspec.Raw(b"")
    op: str = ""
    success: bool = True
    ret_msg: str = ""


_read_frame = decoder(_Frame)
_read_book = decoder(_Book)
_read_trades = decoder(list[_Trade])
_read_ticker = decoder(_Ticker)
_read_liquidations = decoder(list[_Liquidation])
_read_number = decoder(Number)


class Bybit(Adapter):
    """Bybit: `u` rises by one with each change; the same symbol exists on several routes."""

    name = "bybit"
    rest_url = "https://api.bybit.com"
    ws_url = "wss://stream.bybit.com"
    instruments_default = ("BTC-USDT", "BTC-USDT-PERP")
    batch_max = 10
    ping = b'{"op":"ping"}'
    quotes_from_book = True  # its spot tickers have no best prices
    streams_max = 800  # 21,000 characters of names a connection
    levels_allowed = DEPTHS
    hosts = ("bybit.com",)

    def __init__(self, levels: int = 200) -> None:
        super().__init__(levels)
        self._tickers: dict[str, dict[str, float]] = {}

    def parse(self, payload: bytes, route: str) -> Sequence[Message]:
        """A frame of the connection `spot`, `linear` or `inverse`. Raises ValueError."""
        frame = _read_frame(payload)
        kind = frame.topic.partition(".")[0]
        if kind == "orderbook":
            return (_book(frame, _read_book(frame.data), route),)
        if kind == "publicTrade":
            return [_trade(trade, route) for trade in _read_trades(frame.data)]
        if kind == "tickers":
            return self._ticker(frame, _read_ticker(frame.data), route)
        if kind == "allLiquidation":
            return [_liquidation(x, route) for x in _read_liquidations(frame.data)]
        if not frame.success:
            return (Refused(f"the venue refused: {frame.ret_msg}"),)
        if not (frame.topic or frame.op):
            raise ValueError("neither a topic nor an answer")
        return (Ignored(kind or frame.op),)

    def _ticker(self, frame: _Frame, ticker: _Ticker, route: str) -> Sequence[Message]:
        key = _key(route, ticker.symbol)
        known = self._tickers.get(key)
        if known is None:
            if len(self._tickers) >= SYMBOLS_MAX:
                self._tickers.clear()
            known = self._tickers[key] = {}
        changed = {
            name: _read_number(value.encode())
            for name in ticker.__struct_fields__[1:]
            if (value := getattr(ticker, name))
        }
        known.update(changed)
        ts_event, out = frame.ts * 1_000_000, list[Message]()
        if any(name[:4] in ("bid1", "ask1") for name in changed):
            bid, bid_size, ask, ask_size = (
                known.get(f"{side}1{what}", 0.0)
                for side in ("bid", "ask")
                for what in ("Price", "Size")
            )
            out.append(MarketQuote(key, ts_event, bid, bid_size, ask, ask_size, 0))
        if "markPrice" in known and not changed.keys().isdisjoint(_FUNDING):
            out.append(
                MarketFunding(
                    key, ts_event, known["markPrice"], known.get("indexPrice", 0.0),
                    known.get("fundingRate", 0.0),
                    int(known.get("nextFundingTime", 0)) * 1_000_000,
                )
            )  # fmt: skip
        return out or (Ignored("tickers"),)

    def bridges(self, diff: Diff, update_id: int) -> bool:
        """As any other change: the stream's whole book has a number of the same row."""
        return self.follows(diff, update_id)

    # -- asking ------------------------------------------------------------------------------------

    def recognizes(self, payload: bytes) -> bool:
        """By a topic."""
        return payload.startswith(b'{"topic":"')

    def guess(self, key: str) -> tuple[str, str, str]:
        """Derivatives without a date are perpetual."""
        route, _, symbol = key.partition(":")
        instrument_id, base, quote = super().guess(symbol.replace("-", "_"))
        if route != "spot" and instrument_id.count("-") == 1:
            instrument_id += f"-{PERPETUAL}"
        return instrument_id, base, quote

    def key(self, instrument: Instrument) -> str:
        """`linear:BTCUSDT`: spot and derivatives share their symbols."""
        return _key(_category(instrument), instrument.symbol)

    def symbol_of(self, key: str) -> str:
        """Without the category."""
        return key.partition(":")[2]

    def routes(self, key: str) -> dict[str, list[str]]:
        """Book, trades, best bid and ask with funding; liquidations of derivatives."""
        route, _, symbol = key.partition(":")
        names = [f"orderbook.{self.levels}.{symbol}", f"publicTrade.{symbol}", f"tickers.{symbol}"]
        if route != "spot":
            names.append(f"allLiquidation.{symbol}")
        return {route: names}

    def url(self, base: str, route: str) -> str:
        """A connection per category."""
        return f"{base.rstrip('/')}/v5/public/{route or 'spot'}"

    def route_of(self, url: str) -> str:
        """The last part of the address."""
        last = url.rstrip("/").rpartition("/")[2]
        return last if last in CATEGORIES else "linear"

    def subscription(self, names: Sequence[str], number: int, *, begin: bool) -> list[bytes]:
        """One frame."""
        op = "subscribe" if begin else "unsubscribe"
        return [msgspec.json.encode({"op": op, "args": list(names), "req_id": str(number)})]

    def instruments_requests(self) -> list[Request]:
        """A list per category."""
        path = "/v5/market/instruments-info"
        return [Request(path, {"category": c, "limit": 1000}, 1) for c in CATEGORIES]

    def time_request(self) -> Request:
        """The venue's clock."""
        return Request("/v5/market/time", {}, 1)

    def parse_time(self, answer: Any) -> int:
        """In ns."""
        return int(answer["result"]["timeNano"])

    def list_instruments(self, payload: bytes, venue: str) -> list[Instrument]:
        """Every instrument of an answer for one category."""
        result = msgspec.json.decode(payload)["result"]
        return [_instrument(entry, result["category"], venue) for entry in result["list"]]


_FUNDING = frozenset(("markPrice", "indexPrice", "fundingRate", "nextFundingTime"))


def _key(route: str, symbol: str) -> str:
    return f"{route or 'linear'}:{symbol}"


def _category(instrument: Instrument) -> str:
    parts = instrument.instrument_id.split("-")
    if len(parts) == 2:
        return "spot"
    return "inverse" if parts[1] == "USD" else "linear"


def _side(text: str) -> Side:
    return Side.BUY if text == "Buy" else Side.SELL


def _book(frame: _Frame, book: _Book, route: str) -> Message:
    key, ts_event = _key(route, book.s), (frame.cts or frame.ts) * 1_000_000
    if frame.type == "snapshot":
        return Whole(key, ts_event, book.u, book.b, book.a)
    return Diff(key, ts_event, book.u, book.u, -1, book.b, book.a)


def _trade(t: _Trade, route: str) -> MarketTrade:
    return MarketTrade(_key(route, t.s), t.T * 1_000_000, t.i, t.p, t.v, _side(t.S))


def _liquidation(x: _Liquidation, route: str) -> MarketLiquidation:
    # `S` is the side of the position that was closed: a long one is sold.
    side = Side.SELL if x.S == "Buy" else Side.BUY
    return MarketLiquidation(_key(route, x.s), x.T * 1_000_000, side, x.p, x.v)


def _instrument(entry: dict[str, Any], category: str, venue: str) -> Instrument:
    base, quote, symbol = entry["baseCoin"], entry["quoteCoin"], entry["symbol"]
    suffix = ""
    if category != "spot":
        # BTCUSDT-26DEC25, BTC-26DEC25; BTCUSDH26; a perpetual has nothing behind its pair.
        dated = symbol.partition("-")[2]
        if not dated and symbol.startswith(f"{base}{quote}"):
            dated = symbol.removeprefix(f"{base}{quote}")
        suffix = f"-{dated}" if dated else f"-{PERPETUAL}"
    lots, prices = entry.get("lotSizeFilter", {}), entry.get("priceFilter", {})
    return Instrument(
        venue=venue,
        instrument_id=f"{base}-{quote}{suffix}",
        symbol=symbol,
        base=base,
        quote=quote,
        tick_size=decimal(prices["tickSize"]),
        lot_size=decimal(lots.get("qtyStep") or lots.get("basePrecision")),
        quantity_min=decimal(lots.get("minOrderQty")),
        quantity_max=decimal(lots.get("maxOrderQty") or lots.get("maxLimitOrderQty")),
        market_quantity_max=decimal(lots.get("maxMktOrderQty") or lots.get("maxMarketOrderQty")),
        notional_min=decimal(lots.get("minNotionalValue") or lots.get("minOrderAmt")),
        trading=entry.get("status") == "Trading",
        inverse=category == "inverse",  # sizes are in dollars
    )
