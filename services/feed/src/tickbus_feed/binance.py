"""Binance's market data: spot and USD-M futures frames, and how their books are sequenced."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from tickbus.events import Instrument, Side
from tickbus_feed.venue import Book, Diff, Ignored, MarketQuote, MarketTrade, Unreadable

ZERO = Decimal(0)
# Bounds keep NaN, infinity and numbers that the wire format cannot hold out of the platform.
_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Millis = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]  # as ns it fits 64 bits
_Price = Annotated[float, msgspec.Meta(gt=0, lt=1e18)]
_Size = Annotated[float, msgspec.Meta(ge=0, lt=1e18)]
_Levels = tuple[tuple[_Price, _Size], ...]


class _Depth(msgspec.Struct, gc=False):
    s: str
    E: _Millis
    U: _Id
    u: _Id
    b: _Levels
    a: _Levels
    pu: int = -1


class _Trade(msgspec.Struct, gc=False):
    s: str
    T: _Millis
    p: _Price
    q: _Size
    m: bool
    t: int = -1
    a: int = -1


class _Ticker(msgspec.Struct, gc=False):
    s: str
    u: _Id
    b: _Size  # 0: a side without orders
    B: _Size
    a: _Size
    A: _Size
    E: _Millis = 0


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
    lastUpdateId: _Id  # noqa: N815 - Binance's spelling
    bids: _Levels
    asks: _Levels


def _decoder(kind: Any) -> Callable[[bytes], Any]:
    # Not strict: Binance sends numbers as strings, and they go to floats without a detour.
    return msgspec.json.Decoder(kind, strict=False).decode


_read_any = _decoder(_Any)
_read_depth = _decoder(_Depth)
_read_trade = _decoder(_Trade)
_read_ticker = _decoder(_Ticker)
_read_depth_frame = _decoder(_DepthFrame)
_read_trade_frame = _decoder(_TradeFrame)
_read_ticker_frame = _decoder(_TickerFrame)
_read_snapshot = _decoder(_Snapshot)


def _diff(d: _Depth) -> Diff:
    return Diff(d.s, d.E * 1_000_000, d.U, d.u, d.pu, d.b, d.a)


def _trade(t: _Trade) -> MarketTrade:
    # `m`: the buyer was the maker, so the seller took.
    side = Side.SELL if t.m else Side.BUY
    trade_id = t.t if t.t >= 0 else t.a
    return MarketTrade(t.s, t.T * 1_000_000, str(trade_id), t.p, t.q, side)


def _quote(q: _Ticker) -> MarketQuote:
    return MarketQuote(q.s, q.E * 1_000_000, q.b, q.B, q.a, q.A, q.u)


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
}
_PREFIX = b'{"stream":"'


class BinanceSpot:
    """Spot: consecutive changes are numbered without a hole (`U` = previous `u` + 1)."""

    name = "binance"
    trade_stream = "trade"
    depth_path = "/api/v3/depth"
    instruments_path = "/api/v3/exchangeInfo"

    def read(self, payload: bytes) -> Diff | MarketTrade | MarketQuote | Ignored:
        """One frame, combined (`{"stream", "data"}`) or raw. Raises Unreadable."""
        try:
            # The stream's name stands first in every frame Binance sends: one pass is enough.
            if payload.startswith(_PREFIX):
                end = payload.find(b'"', 11)
                kind = payload[11:end].partition(b"@")[2].partition(b"@")[0]
                read = _FRAMES.get(kind)
                if read is not None:
                    result: Diff | MarketTrade | MarketQuote = read(payload)
                    return result
            return self._read_slowly(payload)
        except (msgspec.DecodeError, ValueError) as error:
            raise Unreadable(str(error)) from error

    def _read_slowly(self, payload: bytes) -> Diff | MarketTrade | MarketQuote | Ignored:
        frame = _read_any(payload)
        body = bytes(frame.data)
        if body:
            frame, payload = _read_any(body), body
        if frame.error or frame.code:
            raise Unreadable(f"the venue answered with an error: {payload[:200]!r}")
        if frame.result:
            return Ignored("answer")
        if not frame.e and frame.u >= 0:
            return _quote(_read_ticker(payload))  # spot's bookTicker names no event
        read = _BODIES.get(frame.e)
        if read is None:
            if not frame.e:
                raise Unreadable("neither an event nor an answer")
            return Ignored(frame.e)
        result: Diff | MarketTrade | MarketQuote = read(payload)
        return result

    def read_book(self, payload: bytes) -> Book:
        """The answer of `depth`. Raises Unreadable."""
        try:
            snapshot = _read_snapshot(payload)
        except (msgspec.DecodeError, ValueError) as error:
            raise Unreadable(str(error)) from error
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

    def streams(self, symbols: Sequence[str]) -> list[str]:
        """Changes every 100 ms, best bid and ask, and trades of each symbol."""
        kinds = ("depth@100ms", "bookTicker", self.trade_stream)
        return [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in kinds]

    def instruments(self, payload: bytes, venue: str) -> list[Instrument]:
        """Every symbol of an exchangeInfo answer. Raises Unreadable."""
        try:
            info = msgspec.json.decode(payload)
            return [_instrument(entry, venue) for entry in info["symbols"]]
        except (msgspec.DecodeError, ValueError, KeyError, TypeError, ArithmeticError) as error:
            raise Unreadable(f"not an exchangeInfo answer: {error!r}") from error

    depth_weights: tuple[tuple[int, int], ...] = ((100, 5), (500, 25), (1000, 50), (5000, 250))
    depth_limits: tuple[int, ...] = ()

    def depth_weight(self, levels: int) -> int:
        """What a snapshot costs, by its size."""
        return next(weight for limit, weight in self.depth_weights if levels <= limit)

    def weight_limit(self, payload: bytes) -> int:
        """REQUEST_WEIGHT per minute as exchangeInfo states it; 0 where it does not."""
        for limit in msgspec.json.decode(payload).get("rateLimits", ()):
            if limit.get("rateLimitType") == "REQUEST_WEIGHT" and limit.get("interval") == "MINUTE":
                return int(limit["limit"]) // int(limit.get("intervalNum", 1))
        return 0


class BinanceUsdm(BinanceSpot):
    """USD-M futures: ids have holes, and each change names the one before it (`pu`)."""

    name = "binance-usdm"
    trade_stream = "aggTrade"
    depth_path = "/fapi/v1/depth"
    instruments_path = "/fapi/v1/exchangeInfo"
    depth_weights = ((50, 2), (100, 5), (500, 10), (1000, 20))
    depth_limits = (5, 10, 20, 50, 100, 500, 1000)

    def is_covered(self, diff: Diff, update_id: int) -> bool:
        """Only what ends before the snapshot's id is surely in it."""
        return diff.last < update_id

    def bridges(self, diff: Diff, update_id: int) -> bool:
        """The first applied change includes the snapshot's id itself."""
        return diff.first <= update_id <= diff.last

    def follows(self, diff: Diff, last: int) -> bool:
        """Each change names its predecessor."""
        return diff.previous == last


def _instrument(entry: dict[str, Any], venue: str) -> Instrument:
    filters = {f["filterType"]: f for f in entry.get("filters", ())}

    def limit(name: str, key: str) -> Decimal:
        return Decimal(str(filters.get(name, {}).get(key, "0"))).normalize() + ZERO

    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    base, quote = entry["baseAsset"], entry["quoteAsset"]
    # A dated future (BTCUSDT_260327) is another instrument than the perpetual: BTC-USDT-260327.
    _, _, delivery = entry["symbol"].partition("_")
    return Instrument(
        venue=venue,
        instrument_id=f"{base}-{quote}-{delivery}" if delivery else f"{base}-{quote}",
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
    )
