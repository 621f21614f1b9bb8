"""OKX: books numbered by `seqId` and `prevSeqId`, with a checksum in older recordings."""

from collections.abc import Sequence
from typing import Annotated, Any
from zlib import crc32

import msgspec

from tickbus.events import Instrument, Levels, Side
from tickbus_feed.adapter import (
    NO_NUMBER,
    PERPETUAL,
    Adapter,
    Diff,
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
    Texts,
    Whole,
    decimal,
    decoder,
    levels_of,
)

KINDS = ("SPOT", "SWAP", "FUTURES")


class _Argument(msgspec.Struct, frozen=True, gc=False):
    channel: str = ""
    instId: str = ""  # noqa: N815 - OKX's spelling


OrNoNumber = Annotated[int, msgspec.Meta(ge=NO_NUMBER, le=2**63 - 1)]


class _Book(msgspec.Struct, gc=False):
    bids: list[tuple[str, str, str, str]]
    asks: list[tuple[str, str, str, str]]
    ts: Millis
    checksum: int = 0
    seqId: OrNoNumber = NO_NUMBER  # noqa: N815
    prevSeqId: OrNoNumber = NO_NUMBER  # noqa: N815


class _Trade(msgspec.Struct, gc=False):
    instId: str  # noqa: N815
    tradeId: str  # noqa: N815
    px: Price
    sz: Size
    side: str
    ts: Millis


class _Ticker(msgspec.Struct, gc=False):
    instId: str  # noqa: N815
    ts: Millis
    bidPx: str = ""  # noqa: N815 - "" where a side is empty
    bidSz: str = ""  # noqa: N815
    askPx: str = ""  # noqa: N815
    askSz: str = ""  # noqa: N815


class _Funding(msgspec.Struct, gc=False):
    instId: str  # noqa: N815
    fundingRate: Number  # noqa: N815
    fundingTime: Millis  # noqa: N815
    ts: Millis = 0


class _Detail(msgspec.Struct, gc=False):
    side: str
    bkPx: Price  # noqa: N815
    sz: Size
    ts: Millis


class _Liquidation(msgspec.Struct, gc=False):
    instId: str  # noqa: N815
    details: list[_Detail]


class _Frame(msgspec.Struct, gc=False):
    arg: _Argument = _Argument()
    action: str = ""
    event: str = ""
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


_read_frame = decoder(_Frame)
_read_books = decoder(list[_Book])
_read_trades = decoder(list[_Trade])
_read_tickers = decoder(list[_Ticker])
_read_funding = decoder(list[_Funding])
_read_liquidations = decoder(list[_Liquidation])


class Okx(Adapter):
    """OKX: each change of a book names the one before it."""

    name = "okx"
    rest_url = "https://www.okx.com"
    ws_url = "wss://ws.okx.com:8443"
    checksum_levels = 25
    keepalive_s = 60.0
    ping = b"ping"
    hosts = ("okx.com", "okex.com")

    def parse(self, payload: bytes, route: str) -> Sequence[Message]:
        """A frame: pushed data, an answer, or `pong`. Raises ValueError."""
        if payload == b"pong":
            return (Ignored("pong"),)
        frame = _read_frame(payload)
        if frame.event == "error":
            return (Refused(f"the venue refused: {frame.msg}"),)
        if frame.event:
            return (Ignored(frame.event),)
        channel, symbol = frame.arg.channel, frame.arg.instId
        if channel in ("books", "books-l2-tbt", "books50-l2-tbt"):
            return [_book(book, symbol, frame.action) for book in _read_books(frame.data)]
        if channel in ("trades", "trades-all"):
            return [_trade(trade) for trade in _read_trades(frame.data)]
        if channel == "tickers":
            return [_quote(quote) for quote in _read_tickers(frame.data)]
        if channel == "funding-rate":
            return [
                MarketFunding(
                    f.instId, f.ts * 1_000_000, 0.0, 0.0, f.fundingRate, f.fundingTime * 1_000_000
                )
                for f in _read_funding(frame.data)
            ]
        if channel == "liquidation-orders":
            return [
                MarketLiquidation(x.instId, d.ts * 1_000_000, _side(d.side), d.bkPx, d.sz)
                for x in _read_liquidations(frame.data)
                for d in x.details
            ]
        if not channel:
            raise ValueError("neither an event nor a channel")
        return (Ignored(channel),)

    def follows(self, diff: Diff, last: int) -> bool:
        """Each change names its predecessor; recordings from before that do not."""
        return diff.previous < 0 or last < 0 or diff.previous == last

    def is_known(self, diff: Diff, last: int) -> bool:
        """Numbers may begin anew, but then a change still names the one before it."""
        return diff.previous != last and 0 <= diff.last <= last

    def checksum(self, bids: Texts, asks: Texts) -> int:
        """CRC32, signed, of price:size of the best bid, ask, second bid, and so on."""
        texts: list[str] = []
        for place in range(max(len(bids), len(asks))):
            for side in (bids, asks):
                if place < len(side):
                    texts.extend(side[place])
        unsigned = crc32(":".join(texts).encode())
        return unsigned - 2**32 if unsigned >= 2**31 else unsigned

    # -- asking ------------------------------------------------------------------------------------

    def recognizes(self, payload: bytes) -> bool:
        """By pushed data of a channel."""
        return payload.startswith(b'{"arg":{"channel"')

    def guess(self, key: str) -> tuple[str, str, str]:
        """OKX's own ids tell all."""
        return canonical(key)

    def routes(self, key: str) -> dict[str, list[str]]:
        """Book, trades, best bid and ask; funding of swaps."""
        kinds = ["books", "trades", "tickers"]
        if key.endswith("-SWAP"):
            kinds.append("funding-rate")
        return {"": [f"{kind}:{key}" for kind in kinds]}

    def url(self, base: str, route: str) -> str:
        """The public connection."""
        return f"{base.rstrip('/')}/ws/v5/public"

    def subscription(self, names: Sequence[str], number: int, *, begin: bool) -> list[bytes]:
        """One frame."""
        pairs = [name.partition(":") for name in names]
        arguments = [{"channel": channel, "instId": symbol} for channel, _, symbol in pairs]
        return [
            msgspec.json.encode({"op": "subscribe" if begin else "unsubscribe", "args": arguments})
        ]

    def instruments_requests(self) -> list[Request]:
        """Spot, perpetual and dated."""
        return [Request("/api/v5/public/instruments", {"instType": kind}, 1) for kind in KINDS]

    def time_request(self) -> Request:
        """The venue's clock."""
        return Request("/api/v5/public/time", {}, 1)

    def parse_time(self, answer: Any) -> int:
        """In ms."""
        return int(answer["data"][0]["ts"]) * 1_000_000

    def list_instruments(self, payload: bytes, venue: str) -> list[Instrument]:
        """Every instrument of an answer; options are left out."""
        answer = msgspec.json.decode(payload)
        if str(answer.get("code", "0")) != "0":  # an error comes with an empty list
            raise ValueError(f"the venue answered {answer.get('code')} {answer.get('msg')!r}")
        listed = answer["data"]
        return [_instrument(entry, venue) for entry in listed if entry["instType"] in KINDS]


def _side(text: str) -> Side:
    return Side.BUY if text == "buy" else Side.SELL


def _spelled(entries: list[tuple[str, str, str, str]]) -> tuple[Levels, Texts]:
    texts = tuple((price, size) for price, size, _, _ in entries)
    return levels_of(texts), texts


def _book(book: _Book, symbol: str, action: str) -> Message:
    bids, bid_texts = _spelled(book.bids)
    asks, ask_texts = _spelled(book.asks)
    ts_event, texts = book.ts * 1_000_000, (bid_texts, ask_texts)
    # Since June 2026 the checksum is always 0, and the numbers alone say whether all came.
    checksum = book.checksum or None
    if action == "snapshot":
        return Whole(symbol, ts_event, book.seqId, bids, asks, checksum, 0, texts)
    return Diff(
        symbol, ts_event, book.seqId, book.seqId, book.prevSeqId, bids, asks, checksum, 0, texts
    )  # fmt: skip


def _trade(t: _Trade) -> MarketTrade:
    return MarketTrade(t.instId, t.ts * 1_000_000, t.tradeId, t.px, t.sz, _side(t.side))


def _quote(q: _Ticker) -> MarketQuote:
    texts = [text or "0" for text in (q.bidPx, q.bidSz, q.askPx, q.askSz)]
    bid, bid_size, ask, ask_size = msgspec.convert(texts, list[Size], strict=False)
    return MarketQuote(q.instId, q.ts * 1_000_000, bid, bid_size, ask, ask_size, 0)


def canonical(symbol: str) -> tuple[str, str, str]:
    """(instrument id, base, quote) of OKX's instrument id: BTC-USD-SWAP is BTC-USD-PERP."""
    base, quote, *rest = symbol.split("-")
    suffix = [PERPETUAL if part == "SWAP" else part for part in rest]
    return "-".join((base, quote, *suffix)), base, quote


def _instrument(entry: dict[str, Any], venue: str) -> Instrument:
    symbol = entry["instId"]
    instrument_id, base, quote = canonical(symbol)
    return Instrument(
        venue=venue,
        instrument_id=instrument_id,
        symbol=symbol,
        base=base,
        quote=quote,
        tick_size=decimal(entry["tickSz"]),
        lot_size=decimal(entry["lotSz"]),
        quantity_min=decimal(entry.get("minSz")),
        quantity_max=decimal(entry.get("maxLmtSz")),
        market_quantity_max=decimal(entry.get("maxMktSz")),
        trading=entry.get("state") == "live",
        contract_size=decimal(entry.get("ctVal") or 1) * decimal(entry.get("ctMult") or 1),
        inverse=entry.get("ctType") == "inverse",
    )
