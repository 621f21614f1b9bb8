"""What a capture trades: by the venue's own list if it holds one, else by the digits it shows."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple, Self

import msgspec

from tickbus.captures import CaptureError, Captures
from tickbus.events import Instrument
from tickbus_feed.venue import Dialect, Unreadable

SAMPLE_FRAMES = 5_000
QUOTES = (
    "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "EUR", "TRY", "BRL", "JPY", "GBP", "BTC", "ETH", "BNB",
    "USD",
)  # fmt: skip
_SYMBOL = re.compile(rb'"s":"([^"]+)"')
_LEVEL = re.compile(rb'\["([0-9.]+)","([0-9.]+)"\]')
_TRADE = re.compile(rb'"p":"([0-9.]+)","q":"([0-9.]+)"')


class Sample(NamedTuple):
    """What the first frames of a capture show.

    `digits`: per symbol, how many decimals prices and sizes have at most, ending zeros left out.
    """

    adapter: str
    digits: dict[str, tuple[int, int]]
    listings: list[bytes]

    @classmethod
    def take(cls, captures: Sequence[str]) -> Self:
        """Read the beginning of `captures`. Raises CaptureError when no Binance stream is there."""
        digits: dict[str, tuple[int, int]] = {}
        listings: list[bytes] = []
        adapter, frames = "", 0
        for message in Captures(captures):
            if message.kind == "rest" and "exchangeInfo" in message.url:
                listings.append(message.payload)
            if message.kind != "frame":
                continue
            frames += 1
            payload = message.payload
            if not adapter and b'"depthUpdate"' in payload:
                adapter = "binance-usdm" if b'"pu":' in payload else "binance"
            _measure(payload, digits)
            if frames >= SAMPLE_FRAMES:
                break
        if not digits:
            raise CaptureError(
                f"{captures[0]}: no Binance market data in its first {frames} frames; replay reads"
                " captures of Binance spot and futures streams"
            )
        return cls(adapter or "binance", digits, listings)


def _measure(payload: bytes, digits: dict[str, tuple[int, int]]) -> None:
    symbol = _SYMBOL.search(payload)
    if symbol is None:
        return
    prices, sizes = digits.get(symbol.group(1).decode(), (0, 0))
    for price, size in (*_LEVEL.findall(payload), *_TRADE.findall(payload)):
        prices, sizes = max(prices, _decimals(price)), max(sizes, _decimals(size))
    digits[symbol.group(1).decode()] = (prices, sizes)


def _decimals(number: bytes) -> int:
    return len(number.partition(b".")[2].rstrip(b"0"))


def describe(sample: Sample, dialect: Dialect, venue: str) -> tuple[list[Instrument], str]:
    """The instruments of a capture, sorted by id, and where their description comes from."""
    listed: dict[str, Instrument] = {}
    for listing in sample.listings:
        try:
            listed |= {i.symbol: i for i in dialect.instruments(listing, venue)}
        except Unreadable as error:
            raise CaptureError(f"the capture's exchangeInfo cannot be read: {error}") from error
    found: list[Instrument] = []
    sources = set()
    for symbol, (prices, sizes) in sorted(sample.digits.items()):
        instrument = listed.get(symbol)
        sources.add("exchangeInfo in the capture" if instrument else "digits seen in the capture")
        if instrument is None:
            instrument = _guess(symbol, venue, prices, sizes)
        # A list read today says what may be traded today; the recording is of when it was.
        found.append(msgspec.structs.replace(instrument, trading=True))
    return sorted(found, key=lambda i: i.instrument_id), " and ".join(sorted(sources))


def _guess(symbol: str, venue: str, prices: int, sizes: int) -> Instrument:
    name = symbol.partition("_")[0]
    quote = next((q for q in QUOTES if name.endswith(q) and name != q), "")
    if not quote:
        raise CaptureError(
            f"{symbol}: its quote asset cannot be told; add the venue's exchangeInfo answer to the"
            " captures"
        )
    base = name[: -len(quote)]
    contract = symbol[len(name) :].replace("_", "-")
    return Instrument(
        venue=venue,
        instrument_id=f"{base}-{quote}" if not contract else f"{base}{contract}-{quote}",
        symbol=symbol,
        base=f"{base}{contract}" if contract else base,
        quote=quote,
        tick_size=Decimal(1).scaleb(-prices),
        lot_size=Decimal(1).scaleb(-sizes),
    )
