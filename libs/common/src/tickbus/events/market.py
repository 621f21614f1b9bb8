"""Market data as the feed publishes it: trades, quotes, book changes, and the feed's own state."""

from enum import StrEnum

from tickbus.events.base import Event, Side

Levels = tuple[tuple[float, float], ...]
"""Price levels as (price, size) pairs; size 0 removes the level."""


class Trade(Event, frozen=True):
    """A trade on the market (never one of ours: that is a `Fill`)."""

    venue: str
    instrument_id: str
    trade_id: str
    price: float
    size: float
    aggressor_side: Side


class Quote(Event, frozen=True):
    """Best bid and ask with their sizes, as the venue pushed them.

    `venue_sequence` is the venue's own update id. A side without orders has price and size 0.
    """

    venue: str
    instrument_id: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    venue_sequence: int


class BookDelta(Event, frozen=True):
    """A change of an order book: absolute new sizes per price, size 0 removes the level.

    `sequence` rises by exactly one per instrument and epoch. A consumer that sees another step has
    lost a message and waits for the next `BookSnapshot`. `venue_sequence` is the venue's last
    update id in this change.
    """

    venue: str
    instrument_id: str
    epoch: int
    sequence: int
    bids: Levels
    asks: Levels
    venue_sequence: int


class BookSnapshot(Event, frozen=True):
    """A whole order book, best levels first on each side.

    `sequence` is that of the last delta it includes. A new epoch means that the feed resynchronised
    with the venue; the same epoch means a keyframe, which a consumer in step may ignore.
    """

    venue: str
    instrument_id: str
    epoch: int
    sequence: int
    bids: Levels
    asks: Levels
    venue_sequence: int


class Liquidation(Event, frozen=True):
    """A position that the venue closed by force; `side` is that of the forced order.

    `size` is what was filled, in base units or contracts as the venue counts, at `price`, the
    average where the venue gives it. Venues push only some of them (Binance the largest per symbol
    and second): a sum of these is a lower bound.
    """

    venue: str
    instrument_id: str
    side: Side
    price: float
    size: float


class Funding(Event, frozen=True):
    """What a perpetual is valued at, and what holding it will cost.

    `rate` is a fraction of notional that longs pay to shorts at `ts_next` (ns UTC; 0 unknown).
    `index_price` 0 where the venue does not give it.
    """

    venue: str
    instrument_id: str
    mark_price: float
    index_price: float
    rate: float
    ts_next: int


class FeedState(StrEnum):
    """Whether what the feed says of an instrument can be trusted."""

    SYNCING = "SYNCING"
    LIVE = "LIVE"
    STALE = "STALE"
    DISCONNECTED = "DISCONNECTED"


class FeedStatus(Event, frozen=True):
    """The feed's own word on one instrument; `reason` says why it changed, for people."""

    venue: str
    instrument_id: str
    state: FeedState
    reason: str = ""


class InstrumentChanged(Event, frozen=True):
    """The venue changed what it says of an instrument: a filter, a limit, whether it trades.

    `changes` are (field of `Instrument`, before, after). The whole of it is in the bucket
    `instruments`.
    """

    venue: str
    instrument_id: str
    changes: tuple[tuple[str, str, str], ...]


class KeyframeWanted(Event, frozen=True):
    """A consumer has no sound copy of a book: the feed shall repeat it now."""

    venue: str
    instrument_id: str


MarketEvent = (
    Trade
    | Quote
    | BookDelta
    | BookSnapshot
    | FeedStatus
    | Liquidation
    | Funding
    | InstrumentChanged
    | KeyframeWanted
)
