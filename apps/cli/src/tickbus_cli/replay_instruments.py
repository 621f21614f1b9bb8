"""What a capture holds: whose it is, and what is traded in it, by its own list or its digits."""

import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple, Self
from urllib.parse import urlparse

import msgspec

from tickbus.captures import CapturedMessage, CaptureError, Captures
from tickbus.config import ConfigError
from tickbus.events import Instrument
from tickbus_feed.adapter import Adapter, Diff, MarketTrade, Unreadable, Whole
from tickbus_feed.service import adapter_named, adapters

log = logging.getLogger("tickbus.inspect")

SAMPLE_FRAMES = 5_000
_LEVELS_MEASURED = 50


def recognize(captures: Sequence[str]) -> Adapter:
    """The adapter whose frames a capture holds. Raises CaptureError when it is nobody's."""
    known = _known()
    frames, read = 0, Captures(captures)
    for message in read:
        frames += message.kind == "frame"
        if read.adapter in known:
            return known[read.adapter]
        for adapter in known.values():
            if any(host in message.url for host in adapter.hosts):
                return adapter
        for adapter in known.values():
            if message.kind == "frame" and adapter.recognizes(message.payload):
                return adapter
        if frames >= SAMPLE_FRAMES:
            break
    torn = f"; line {read.problems[0].line}: {read.problems[0].text}" if read.problems else ""
    raise CaptureError(
        f"{captures[0]}: no market data of a known venue in its first {frames} frames{torn}; known"
        f" are {', '.join(known)} (--venue names one)"
    )


def _known() -> dict[str, Adapter]:
    known: dict[str, Adapter] = {}
    for name in sorted(adapters()):
        try:
            known[name] = adapter_named(name)
        except ConfigError as error:  # another package's affair: the others are known all the same
            log.warning("%s", error)
    return known


class Sample(NamedTuple):
    """What the first frames of a capture show.

    `digits`: per symbol, how many decimals prices and sizes have at most, ending zeros left out.
    """

    adapter: Adapter
    digits: dict[str, tuple[int, int]]
    listings: list[bytes]

    @classmethod
    def take(cls, captures: Sequence[str], venue: str = "") -> Self:
        """Read the beginning of `captures`. Raises CaptureError when no market data is there."""
        adapter = adapter_named(venue) if venue else recognize(captures)
        digits: dict[str, tuple[int, int]] = {}
        listings: list[bytes] = []
        frames = 0
        for message in Captures(captures):
            if is_listing(message, adapter):
                listings.append(message.payload)
            if message.kind != "frame":
                continue
            frames += 1
            try:
                read = adapter.read(message.payload, adapter.route_of(message.url))
            except Unreadable:
                continue
            for one in read:
                _measure(one, digits)
            if frames >= SAMPLE_FRAMES:
                break
        if not digits:
            raise CaptureError(
                f"{captures[0]}: no market data of {adapter.name} in its first {frames} frames"
            )
        return cls(adapter, digits, listings)


def is_listing(message: CapturedMessage, adapter: Adapter) -> bool:
    """Whether a message is an answer with the venue's list of instruments."""
    path = urlparse(message.url).path
    return message.kind == "rest" and any(
        path.endswith(request.path.rpartition("/")[2]) for request in adapter.instruments_requests()
    )


def _measure(message: Any, digits: dict[str, tuple[int, int]]) -> None:
    if isinstance(message, MarketTrade):
        levels: Sequence[tuple[float, float]] = ((message.price, message.size),)
    elif isinstance(message, Diff | Whole):
        levels = (*message.bids[:_LEVELS_MEASURED], *message.asks[:_LEVELS_MEASURED])
    else:
        return
    prices, sizes = digits.get(message.symbol, (0, 0))
    for price, size in levels:
        prices, sizes = max(prices, _decimals(price)), max(sizes, _decimals(size))
    digits[message.symbol] = (prices, sizes)


def _decimals(number: float) -> int:
    exponent = Decimal(repr(number)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def describe(sample: Sample, venue: str) -> tuple[list[Instrument], str]:
    """The instruments of a capture, sorted by id, and where their description comes from."""
    adapter = sample.adapter
    listed: dict[str, Instrument] = {}
    for listing in sample.listings:
        try:
            listed |= {adapter.key(i): i for i in adapter.instruments(listing, venue)}
        except Unreadable as error:
            raise CaptureError(
                f"the capture's list of instruments cannot be read: {error}"
            ) from error
    found: list[Instrument] = []
    sources = set()
    for key, (prices, sizes) in sorted(sample.digits.items()):
        instrument = listed.get(key)
        sources.add("exchangeInfo in the capture" if instrument else "digits seen in the capture")
        if instrument is None:
            instrument = guessed(adapter, key, venue, prices, sizes)
        # A list read today says what may be traded today; the recording is of when it was.
        found.append(msgspec.structs.replace(instrument, trading=True))
    return sorted(found, key=lambda i: i.instrument_id), " and ".join(sorted(sources))


def guessed(adapter: Adapter, key: str, venue: str, prices: int = 8, sizes: int = 8) -> Instrument:
    """An instrument that no list describes. Raises CaptureError when its name tells nothing."""
    try:
        instrument_id, base, quote = adapter.guess(key)
    except ValueError as error:
        raise CaptureError(
            f"{error}; add the venue's list of instruments to the captures"
        ) from error
    return Instrument(
        venue=venue,
        instrument_id=instrument_id,
        symbol=adapter.symbol_of(key),
        base=base,
        quote=quote,
        tick_size=Decimal(1).scaleb(-prices),
        lot_size=Decimal(1).scaleb(-sizes),
    )
