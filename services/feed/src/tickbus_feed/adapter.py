"""What an adapter is: a venue's frames become messages, its subscriptions become frames.

An adapter does no input or output; it may remember what the venue told it. `Adapter` holds what
most venues share, a venue overrides what is its own. `docs/adding-a-venue.md` walks through one.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec

from tickbus.events import Instrument, Levels, Side

# Bounds keep NaN, infinity and numbers that the wire format cannot hold out of the platform.
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]  # as ns it fits 64 bits
Price = Annotated[float, msgspec.Meta(gt=0, lt=1e18)]
Size = Annotated[float, msgspec.Meta(ge=0, lt=1e18)]
Number = Annotated[float, msgspec.Meta(gt=-1e18, lt=1e18)]

Texts = tuple[tuple[str, str], ...]
"""Levels as the venue spelled them, where its checksum is one of spellings."""

NO_NUMBER = -1
PERPETUAL = "PERP"
QUOTES = (
    "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "EUR", "TRY", "BRL", "JPY", "GBP", "BTC", "ETH", "BNB",
    "USD",
)  # fmt: skip
"""What symbols without a separator may end in."""


class Diff(NamedTuple):
    """A change of a book in the venue's numbering: ids `first`..`last`, after `previous`.

    `previous` is -1 where the venue does not say it; all three are where it does not number.
    `checksum` is of the book after this change. `depth`: levels a side that the venue keeps up to
    date, 0 for all. `texts`: bids and asks as spelled.
    """

    symbol: str
    ts_event: int
    first: int
    last: int
    previous: int
    bids: Levels
    asks: Levels
    checksum: int | None = None
    depth: int = 0
    texts: tuple[Texts, Texts] | None = None


class Whole(NamedTuple):
    """A whole book that came in the stream; `update_id` is the last change it includes, or -1."""

    symbol: str
    ts_event: int
    update_id: int
    bids: Levels
    asks: Levels
    checksum: int | None = None
    depth: int = 0
    texts: tuple[Texts, Texts] | None = None


class MarketTrade(NamedTuple):
    """A trade on the market; `trade_id` is the venue's, or made of its time.

    `is_history`: it was before we asked, sent so that a consumer has something to begin with.
    """

    symbol: str
    ts_event: int
    trade_id: str
    price: float
    size: float
    aggressor_side: Side
    is_history: bool = False


class MarketQuote(NamedTuple):
    """Best bid and ask as the venue pushed them; `ts_event` 0 where it has no time."""

    symbol: str
    ts_event: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    update_id: int


class MarketLiquidation(NamedTuple):
    """A forced order; `price` the average where the venue gives one, `size` what was filled."""

    symbol: str
    ts_event: int
    side: Side
    price: float
    size: float


class MarketFunding(NamedTuple):
    """Mark price and funding of a perpetual; `ts_next` in ns UTC."""

    symbol: str
    ts_event: int
    mark_price: float
    index_price: float
    rate: float
    ts_next: int


class Numbered(NamedTuple):
    """The frame's own number where the venue numbers all frames of a connection."""

    number: int


class Farewell(NamedTuple):
    """The venue announced that it will end this connection."""

    reason: str


class Refused(NamedTuple):
    """The venue refused what we asked for; nothing of the market was lost by it."""

    reason: str


class Ignored(NamedTuple):
    """A message that is understood and not needed."""

    kind: str


Message = (
    Diff | Whole | MarketTrade | MarketQuote | MarketLiquidation | MarketFunding | Numbered
    | Farewell | Refused | Ignored
)  # fmt: skip


class Book(NamedTuple):
    """A whole book asked for over REST; `update_id` is the last change it includes."""

    update_id: int
    bids: Levels
    asks: Levels


class Request(NamedTuple):
    """A GET request: where, with what, and what it costs of the venue's budget."""

    path: str
    params: dict[str, str | int]
    weight: int


class Unreadable(ValueError):
    """A message that is not what the venue documents; the text says where it broke."""


class Adapter:
    """A venue's wire format and its rule of sequence. Subclasses override what is their own."""

    name = ""
    rest_url = ""
    ws_url = ""
    instruments_default: tuple[str, ...] = ("BTC-USDT", "ETH-USDT")
    books_in_stream = True
    """Whether a subscription begins with a whole book; else books are asked for over REST."""
    books_numbered = True
    """Whether changes of books are numbered; else whatever cannot be read may have been one."""
    frames_numbered = False
    """Whether each connection numbers its frames, so that silence proves that nothing was lost."""
    checksum_levels = 0
    """Levels per side that the venue's checksum covers; 0 where it has none."""
    quotes_from_book = False
    """Whether best prices are read off the book: where the venue has none that move with it."""
    audit_every_s = 0.0
    """How often to ask for a whole book though ours seems right; 0 where numbers tell enough."""
    batch_max = 100
    """Stream names in one subscription."""
    streams_max = 1000
    """Streams of one connection."""
    pause_s = 0.3
    """Between two messages from us, to stay within what the venue takes."""
    ping: bytes = b""
    """What to send every `ping_every_s`, where the venue wants to hear from us."""
    ping_every_s = 20.0
    keepalive_s = 0.0
    """How often the venue says of a quiet book that nothing changed; 0 where it does not."""
    clock_step_ms = 0.0
    """How coarse the venue's clock is, where that is much."""
    lifetime_s = 0.0
    """After so long the venue ends a connection; 0 where it does not."""
    levels_allowed: tuple[int, ...] = ()
    """Levels per side that a book may be asked for with; any number where empty."""

    def __init__(self, levels: int = 1000) -> None:
        self.levels = levels
        self.connection = 0
        """Whose frame is being read, where frames are numbered."""

    # -- reading -----------------------------------------------------------------------------------

    def read(self, payload: bytes, route: str = "") -> Sequence[Message]:
        """One frame of the connection `route`. Raises Unreadable."""
        try:
            return self.parse(payload, route)
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from error

    def parse(self, payload: bytes, route: str) -> Sequence[Message]:
        """As `read`, but may raise whatever parsing raises."""
        raise NotImplementedError

    def closed(self, connection: int) -> None:
        """A connection is gone; forget what was of it alone."""

    def read_book(self, payload: bytes) -> Book:
        """The answer to `book_request`. Raises Unreadable."""
        try:
            return self.parse_book(payload)
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from error

    def parse_book(self, payload: bytes) -> Book:
        """As `read_book`, but may raise whatever parsing raises."""
        raise ValueError(f"{self.name} sends books in the stream")

    def instruments(self, payload: bytes, venue: str) -> list[Instrument]:
        """Instruments from an answer to `instruments_requests`. Raises Unreadable."""
        try:
            return self.list_instruments(payload, venue)
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            raise Unreadable(f"not a list of instruments: {error!r}") from error

    def list_instruments(self, payload: bytes, venue: str) -> list[Instrument]:
        """As `instruments`, but may raise whatever parsing raises."""
        raise NotImplementedError

    # -- sequence ----------------------------------------------------------------------------------

    def is_covered(self, diff: Diff, update_id: int) -> bool:
        """Whether a book of `update_id` already includes all of `diff`."""
        return update_id >= 0 and 0 <= diff.last <= update_id

    def bridges(self, diff: Diff, update_id: int) -> bool:
        """Whether `diff` may be the first one applied to a book of `update_id`."""
        return self.follows(diff, update_id)

    def follows(self, diff: Diff, last: int) -> bool:
        """Whether `diff` comes right after a change that ended at `last`; True without numbers."""
        return last < 0 or diff.first < 0 or diff.first == last + 1

    def is_known(self, diff: Diff, last: int) -> bool:
        """Whether `diff` is one that was applied before the change that ended at `last`."""
        return 0 <= diff.last <= last

    def is_ahead(self, book: Book, last: int, ours: tuple[Levels, Levels]) -> bool:
        """Whether the venue's `book` has changes after `last`; `ours` are our best levels."""
        return book.update_id > last

    def checksum(self, bids: Texts, asks: Texts) -> int:
        """The venue's checksum of its best levels, best first."""
        raise NotImplementedError

    # -- asking ------------------------------------------------------------------------------------

    def key(self, instrument: Instrument) -> str:
        """How messages name the instrument."""
        return instrument.symbol

    def symbol_of(self, key: str) -> str:
        """The venue's own spelling of what messages name `key`."""
        return key

    def routes(self, key: str) -> dict[str, list[str]]:
        """Which streams `key` needs, by connection; the book's is the first of the first.

        Where books come in the stream, that one alone is asked for again to get a whole book.
        """
        raise NotImplementedError

    def always_talks(self, route: str) -> bool:
        """Whether the venue says something on `route` every few seconds, so that silence is death.

        Elsewhere the connection is asked by pings, and each book by what `Silence` does.
        """
        return False

    def url(self, base: str, route: str) -> str:
        """Where the connection `route` is opened."""
        return base

    def route_of(self, url: str) -> str:
        """The route of a connection that was made to `url`, for recordings."""
        return ""

    def subscription(self, names: Sequence[str], number: int, *, begin: bool) -> list[bytes]:
        """The frames that begin, or end, the streams `names`."""
        raise NotImplementedError

    def instruments_requests(self) -> list[Request]:
        """What to ask for the venue's list of instruments."""
        raise NotImplementedError

    def book_request(self, key: str, levels: int) -> Request | None:
        """What to ask for a whole book; None where it only comes in the stream."""
        return None

    # -- recordings --------------------------------------------------------------------------------

    hosts: tuple[str, ...] = ()
    """What an address of this venue holds."""

    def recognizes(self, payload: bytes) -> bool:
        """Whether a recorded frame of unknown origin surely is this venue's."""
        return False

    def guess(self, key: str) -> tuple[str, str, str]:
        """(instrument id, base, quote) of a symbol that no list describes. Raises ValueError."""
        name, _, contract = key.partition("_")
        for separator in "-/":
            if separator in name:
                base, quote, *rest = name.split(separator)
                return "-".join((base, quote, *rest)), base, quote
        for quote in QUOTES:
            if name.endswith(quote) and name != quote:
                base = name[: -len(quote)]
                return "-".join(p for p in (base, quote, contract) if p), base, quote
        raise ValueError(f"{key}: its quote asset cannot be told")

    # ----------------------------------------------------------------------------------------------

    def time_request(self) -> Request | None:
        """What to ask for the venue's clock; None where it cannot be asked."""
        return None

    def read_time(self, payload: bytes) -> int:
        """Ns UTC of the answer to `time_request`. Raises Unreadable."""
        try:
            return self.parse_time(msgspec.json.decode(payload))
        except (ValueError, LookupError, TypeError) as error:
            raise Unreadable(f"not the time: {error!r}") from error

    def parse_time(self, answer: Any) -> int:
        """As `read_time`, of the decoded answer; may raise whatever parsing raises."""
        raise NotImplementedError

    def weight_limit(self, payload: bytes) -> int:
        """The request weight per minute that the list of instruments states; 0 if none."""
        return 0


def decoder(kind: Any) -> Any:
    """A JSON decoder that takes numbers in strings, as venues send them, without a detour."""
    return msgspec.json.Decoder(kind, strict=False).decode


def decimal(value: Any) -> Decimal:
    """A step or limit of a listing: no trailing zeros, 0 for what is missing."""
    return Decimal(str(value or "0")).normalize() + Decimal(0)


def levels_of(texts: Texts) -> Levels:
    """Levels as numbers. Raises ValueError for what is none, or impossible."""
    levels: Levels = msgspec.convert(texts, tuple[tuple[Price, Size], ...], strict=False)
    return levels


@lru_cache(maxsize=64)
def _second(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp())


def ns_of(text: str) -> int:
    """Ns UTC of `2026-08-09T21:05:48.483587501Z`. Raises ValueError for anything else."""
    if not text.endswith("Z"):
        raise ValueError(f"{text!r} is no time in UTC")
    fraction = text[20:-1]
    if text < "1970":
        raise ValueError(f"{text!r} is no time of this world")
    return _second(text[:19]) * 1_000_000_000 + int(fraction[:9].ljust(9, "0") if fraction else 0)


def ns_of_seconds(text: str) -> int:
    """Ns UTC of `1618678133.365913`."""
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
