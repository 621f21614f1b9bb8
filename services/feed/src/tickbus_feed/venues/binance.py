"""Binance: spot, USD-M and COIN-M futures; books from REST, carried on by numbered changes."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tickbus.events import Instrument, Levels, Side
from tickbus_feed.adapter import (
    PERPETUAL,
    Adapter,
    Book,
    Diff,
    Farewell,
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
    Request,
    Size,
    Unreadable,
    decimal,
    decoder,
)

_Levels = tuple[tuple[Price, Size], ...]
PUBLIC, MARKET = "public", "market"


class _Depth(msgspec.Struct, gc=False):
    s: str
    E: Millis
    U: Id
    u: Id
    b: _Levels
    a: _Levels
    pu: int = -1


class _Trade(msgspec.Struct, gc=False):
    s: str
    T: Millis
    p: Price
    q: Size
    m: bool
    t: int = -1
    a: int = -1


class _Ticker(msgspec.Struct, gc=False):
    s: str
    u: Id
    b: Size  # 0: a side without orders
    B: Size
    a: Size
    A: Size
    E: Millis = 0


class _Mark(msgspec.Struct, gc=False):
    s: str
    E: Millis
    p: Number
    i: Number = 0.0
    r: str = ""  # empty for dated contracts
    T: Millis = 0


class _Forced(msgspec.Struct, gc=False):
    s: str
    S: str
    p: Number
    ap: Number
    q: Size
    z: Size
    T: Millis


class _ForcedEvent(msgspec.Struct, gc=False):
    o: _Forced


class _DepthFrame(msgspec.Struct, gc=False):
    data: _Depth


class _TradeFrame(msgspec.Struct, gc=False):
    data: _Trade


class _TickerFrame(msgspec.Struct, gc=False):
    data: _Ticker


class _Any(msgspec.Struct, gc=False):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    e: str = ""
    u: int = -1
    result: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")
    code: int = 0


class _Snapshot(msgspec.Struct, gc=False):
    lastUpdateId: Id  # noqa: N815 - Binance's spelling
    bids: _Levels
    asks: _Levels


_read_any = decoder(_Any)
_read_depth = decoder(_Depth)
_read_trade = decoder(_Trade)
_read_ticker = decoder(_Ticker)
_read_depth_frame = decoder(_DepthFrame)
_read_trade_frame = decoder(_TradeFrame)
_read_ticker_frame = decoder(_TickerFrame)
_read_snapshot = decoder(_Snapshot)
_read_mark = decoder(_Mark)
_read_forced = decoder(_ForcedEvent)
_read_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _diff(d: _Depth) -> Diff:
    return Diff(d.s, d.E * 1_000_000, d.U, d.u, d.pu, d.b, d.a)


def _trade(t: _Trade) -> MarketTrade:
    # `m`: the buyer was the maker, so the seller took.
    side = Side.SELL if t.m else Side.BUY
    trade_id = t.t if t.t >= 0 else t.a
    return MarketTrade(t.s, t.T * 1_000_000, str(trade_id), t.p, t.q, side)


def _quote(q: _Ticker) -> MarketQuote:
    return MarketQuote(q.s, q.E * 1_000_000, q.b, q.B, q.a, q.A, q.u)


def _funding(m: _Mark) -> MarketFunding:
    return MarketFunding(
        m.s, m.E * 1_000_000, m.p, m.i, float(m.r) if m.r else 0.0, m.T * 1_000_000
    )


def _liquidation(x: _Forced) -> MarketLiquidation:
    # `z` is what was filled, often more than the last fill `l`; `ap` the average price of it.
    side = Side.SELL if x.S == "SELL" else Side.BUY
    return MarketLiquidation(x.s, x.T * 1_000_000, side, x.ap or x.p, x.z or x.q)


_FRAMES: dict[bytes, Callable[[bytes], Any]] = {
    b"depth": lambda payload: _diff(_read_depth_frame(payload).data),
    b"trade": lambda payload: _trade(_read_trade_frame(payload).data),
    b"aggTrade": lambda payload: _trade(_read_trade_frame(payload).data),
    b"bookTicker": lambda payload: _quote(_read_ticker_frame(payload).data),
}
_BODIES: dict[str, Callable[[bytes], Any]] = {
    "depthUpdate": lambda payload: _diff(_read_depth(payload)),
    "trade": lambda payload: _trade(_read_trade(payload)),
    "aggTrade": lambda payload: _trade(_read_trade(payload)),
    "bookTicker": lambda payload: _quote(_read_ticker(payload)),
    "markPriceUpdate": lambda payload: _funding(_read_mark(payload)),
    "forceOrder": lambda payload: _liquidation(_read_forced(payload).o),
    "serverShutdown": lambda _: Farewell("the venue shuts this server down"),
}
_PREFIX = b'{"stream":"'


class Binance(Adapter):
    """Spot: consecutive changes are numbered without a hole (`U` = previous `u` + 1)."""

    name = "binance"
    rest_url = "https://api.binance.com"
    ws_url = "wss://stream.binance.com:9443"
    books_in_stream = False
    lifetime_s = 24 * 3600.0
    hosts: tuple[str, ...] = ("//stream.binance", "//api.binance", "//data-stream.binance")
    trade_stream = "trade"
    depth_path = "/api/v3/depth"
    instruments_path = "/api/v3/exchangeInfo"
    depth_weights: tuple[tuple[int, int], ...] = ((100, 5), (500, 25), (1000, 50), (5000, 250))

    def read(self, payload: bytes, route: str = "") -> Sequence[Message]:
        """One frame, combined (`{"stream", "data"}`) or raw. Raises Unreadable."""
        try:
            # The stream's name stands first in every frame Binance sends: one pass is enough.
            if payload.startswith(_PREFIX):
                end = payload.find(b'"', 11)
                kind = payload[11:end].partition(b"@")[2].partition(b"@")[0]
                read = _FRAMES.get(kind)
                if read is not None:
                    return (read(payload),)
            return self.parse(payload, route)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise Unreadable(str(error)) from error

    def parse(self, payload: bytes, route: str) -> Sequence[Message]:
        """The long way: by what the frame says of itself, one event or several."""
        if payload[:1] == b"[" and payload != b"[]":
            return [m for one in _read_list(payload) for m in self.parse(bytes(one), route)]
        frame = _read_any(payload)
        body = bytes(frame.data)
        if body[:1] == b"[":
            return self.parse(body, route)
        if body:
            frame, payload = _read_any(body), body
        if frame.error or frame.code:
            raise ValueError(f"the venue answered with an error: {payload[:200]!r}")
        if frame.result:
            return (Ignored("answer"),)
        if not frame.e and frame.u >= 0:
            return (_quote(_read_ticker(payload)),)  # spot's bookTicker names no event
        read = _BODIES.get(frame.e)
        if read is None:
            if not frame.e:
                raise ValueError("neither an event nor an answer")
            return (Ignored(frame.e),)
        return (read(payload),)

    def parse_book(self, payload: bytes) -> Book:
        """The answer of `depth`."""
        snapshot = _read_snapshot(payload)
        return Book(snapshot.lastUpdateId, snapshot.bids, snapshot.asks)

    def is_covered(self, diff: Diff, update_id: int) -> bool:
        """Everything up to the snapshot's own id is in it."""
        return diff.last <= update_id

    def bridges(self, diff: Diff, update_id: int) -> bool:
        """The first applied change includes the id after the snapshot's."""
        return diff.first <= update_id + 1 <= diff.last

    def follows(self, diff: Diff, last: int) -> bool:
        """No hole between changes."""
        return diff.first <= last + 1

    def recognizes(self, payload: bytes) -> bool:
        """By a change of a spot book."""
        return _kind(payload) == "spot"

    # -- asking ------------------------------------------------------------------------------------

    def routes(self, key: str) -> dict[str, list[str]]:
        """Changes every 100 ms, best bid and ask, and trades of a symbol."""
        kinds = ("depth@100ms", "bookTicker", self.trade_stream)
        return {"": [f"{key.lower()}@{kind}" for kind in kinds]}

    def url(self, base: str, route: str) -> str:
        """Combined streams; futures have a route per kind of data."""
        return "/".join(part for part in (base.rstrip("/"), route, "stream") if part)

    def subscription(self, names: Sequence[str], number: int, *, begin: bool) -> list[bytes]:
        """One frame."""
        method = "SUBSCRIBE" if begin else "UNSUBSCRIBE"
        return [msgspec.json.encode({"method": method, "params": list(names), "id": number})]

    def instruments_requests(self) -> list[Request]:
        """The one list there is."""
        return [Request(self.instruments_path, {}, 20)]

    def time_request(self) -> Request:
        """Beside the list of instruments."""
        return Request(self.instruments_path.replace("exchangeInfo", "time"), {}, 1)

    def parse_time(self, answer: Any) -> int:
        """In ms."""
        return int(answer["serverTime"]) * 1_000_000

    def list_instruments(self, payload: bytes, venue: str) -> list[Instrument]:
        """Every symbol of an exchangeInfo answer."""
        info = msgspec.json.decode(payload)
        return [_instrument(entry, venue) for entry in info["symbols"]]

    def book_request(self, key: str, levels: int) -> Request:
        """`depth`, which costs by its size."""
        weight = next(weight for limit, weight in self.depth_weights if levels <= limit)
        return Request(self.depth_path, {"symbol": key, "limit": levels}, weight)

    def weight_limit(self, payload: bytes) -> int:
        """REQUEST_WEIGHT per minute as exchangeInfo states it; 0 where it does not."""
        for limit in msgspec.json.decode(payload).get("rateLimits", ()):
            if limit.get("rateLimitType") == "REQUEST_WEIGHT" and limit.get("interval") == "MINUTE":
                return int(limit["limit"]) // int(limit.get("intervalNum", 1))
        return 0


class BinanceUsdm(Binance):
    """USD-M futures: ids have holes, and each change names the one before it (`pu`)."""

    name = "binance-usdm"
    rest_url = "https://fapi.binance.com"
    ws_url = "wss://fstream.binance.com"
    instruments_default = ("BTC-USDT-PERP", "ETH-USDT-PERP")
    hosts = ("//fstream", "//fapi.binance")
    streams_max = 200
    pause_s = 0.15
    trade_stream = "aggTrade"
    depth_path = "/fapi/v1/depth"
    instruments_path = "/fapi/v1/exchangeInfo"
    depth_weights = ((50, 2), (100, 5), (500, 10), (1000, 20))
    levels_allowed = (5, 10, 20, 50, 100, 500, 1000)

    def is_covered(self, diff: Diff, update_id: int) -> bool:
        """Only what ends before the snapshot's id is surely in it."""
        return diff.last < update_id

    def bridges(self, diff: Diff, update_id: int) -> bool:
        """The first applied change includes the snapshot's id, or names it as the one before."""
        return diff.first <= update_id <= diff.last or diff.previous == update_id

    def follows(self, diff: Diff, last: int) -> bool:
        """Each change names its predecessor."""
        return diff.previous == last

    def is_ahead(self, book: Book, last: int, ours: tuple[Levels, Levels]) -> bool:
        """The id rises also without a change of the book: only its levels tell."""
        best = tuple(side[: len(mine)] for side, mine in zip(book[1:], ours, strict=True))
        return book.update_id > last and best != ours

    def recognizes(self, payload: bytes) -> bool:
        """By a change that names the one before it."""
        return _kind(payload) == "usdm"

    def guess(self, key: str) -> tuple[str, str, str]:
        """Symbols without a date are perpetual."""
        instrument_id, base, quote = super().guess(key)
        perpetual = "_" not in key
        return f"{instrument_id}-{PERPETUAL}" if perpetual else instrument_id, base, quote

    def routes(self, key: str) -> dict[str, list[str]]:
        """Books on the public route; trades, mark price and liquidations on the market route.

        A stream asked for on the other route is acknowledged and never delivers.
        """
        name = key.lower()
        kinds = (self.trade_stream, "markPrice@1s", "forceOrder")
        return {
            PUBLIC: [f"{name}@depth@100ms", f"{name}@bookTicker"],
            MARKET: [f"{name}@{kind}" for kind in kinds],
        }

    def always_talks(self, route: str) -> bool:
        """The mark price comes every second."""
        return route == MARKET


class BinanceCoinm(BinanceUsdm):
    """COIN-M futures: as USD-M, on hosts of their own and without routes."""

    name = "binance-coinm"
    rest_url = "https://dapi.binance.com"
    ws_url = "wss://dstream.binance.com"
    instruments_default = ("BTC-USD-PERP", "ETH-USD-PERP")
    hosts = ("//dstream", "//dapi.binance")
    depth_path = "/dapi/v1/depth"
    instruments_path = "/dapi/v1/exchangeInfo"

    def recognizes(self, payload: bytes) -> bool:
        """By a futures change that names its pair beside its symbol."""
        return _kind(payload) == "coinm"

    def routes(self, key: str) -> dict[str, list[str]]:
        """All on one connection."""
        return {"": [name for names in super().routes(key).values() for name in names]}


def _kind(payload: bytes) -> str:
    """Which market a change of a book is of; "" for anything else."""
    if b'"depthUpdate"' not in payload:
        return ""
    if b'"pu":' not in payload:
        return "spot"
    # A coin-margined contract is quoted in dollars and its symbol has a part behind a line.
    return "coinm" if _COINM.search(payload) else "usdm"


_COINM = re.compile(rb'"s":"\w+USD_')


def _instrument(entry: dict[str, Any], venue: str) -> Instrument:
    filters = {f["filterType"]: f for f in entry.get("filters", ())}

    def limit(name: str, key: str) -> Decimal:
        return decimal(filters.get(name, {}).get(key))

    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    base, quote = entry["baseAsset"], entry["quoteAsset"]
    # A dated future (BTCUSDT_260327) is another instrument than the perpetual: BTC-USDT-260327.
    _, _, suffix = entry["symbol"].partition("_")
    if "PERPETUAL" in entry.get("contractType", ""):
        suffix = PERPETUAL
    return Instrument(
        venue=venue,
        instrument_id=f"{base}-{quote}-{suffix}" if suffix else f"{base}-{quote}",
        symbol=entry["symbol"],
        base=base,
        quote=quote,
        tick_size=limit("PRICE_FILTER", "tickSize"),
        lot_size=limit("LOT_SIZE", "stepSize"),
        quantity_min=limit("LOT_SIZE", "minQty"),
        quantity_max=limit("LOT_SIZE", "maxQty"),
        market_quantity_max=limit("MARKET_LOT_SIZE", "maxQty"),
        price_min=limit("PRICE_FILTER", "minPrice"),
        price_max=limit("PRICE_FILTER", "maxPrice"),
        notional_min=Decimal(str(notional.get("minNotional", notional.get("notional", "0")))),
        notional_max=Decimal(str(notional.get("maxNotional", "0"))),
        trading=entry.get("status", entry.get("contractStatus")) == "TRADING",
        # Only coin-margined contracts have a size, and it is in dollars.
        contract_size=decimal(entry.get("contractSize") or 1),
        inverse="contractSize" in entry,
    )
