"""What passes between a venue's adapter, which does no IO, and the connection that does."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from tickbus.events import Event, Levels, Side

ANY = -1


class VenueFrame(Event, frozen=True):
    """One WebSocket message as received; `ts_event` = `ts_recv` until somebody has read it."""

    payload: bytes


class SnapshotAnswer(Event, frozen=True):
    """The body of a REST answer with a whole book of `symbol`; empty when the request failed.

    `number` is that of the wish it answers; ANY where nobody asked, as in a recording.
    """

    symbol: str
    payload: bytes
    error: str = ""
    number: int = ANY


class ProbeAnswer(Event, frozen=True):
    """The venue's book of `symbol` as it is now, to compare with ours; empty when it failed."""

    symbol: str
    payload: bytes
    error: str = ""


class VenueConnected(Event, frozen=True):
    """The stream is open and subscribed; nothing of before it can be trusted to connect."""


class VenueDisconnected(Event, frozen=True):
    """The stream is gone."""

    reason: str


class FetchSnapshot(Event, frozen=True):
    """The connection shall fetch the book of `symbol`, not before `at_ns` (ns UTC).

    A later wish for the same symbol, with a higher `number`, takes this one's place.
    """

    symbol: str
    at_ns: int
    number: int = ANY


class ProbeBook(Event, frozen=True):
    """The connection shall ask how far the venue's book of `symbol` is."""

    symbol: str


class Resubscribe(Event, frozen=True):
    """The connection shall subscribe to the streams of `symbol`, anew if it had."""

    symbol: str


class Reconnect(Event, frozen=True):
    """The connection shall be given up for a new one."""

    reason: str


class FrameRejected(Event, frozen=True):
    """A frame that could not be understood; the connection keeps it for inspection."""

    payload: bytes
    reason: str


class Diff(NamedTuple):
    """A change of a book in the venue's numbering: ids `first`..`last`, after `previous`.

    `previous` is -1 where the venue does not say it.
    """

    symbol: str
    ts_event: int
    first: int
    last: int
    previous: int
    bids: Levels
    asks: Levels


class MarketTrade(NamedTuple):
    """A trade on the market in the venue's words."""

    symbol: str
    ts_event: int
    trade_id: str
    price: float
    size: float
    aggressor_side: Side


class MarketQuote(NamedTuple):
    """Best bid and ask as the venue pushed them; `ts_event` 0 where it has no time."""

    symbol: str
    ts_event: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    update_id: int


class Book(NamedTuple):
    """A whole book; `update_id` is the last change it includes."""

    update_id: int
    bids: Levels
    asks: Levels


class Ignored(NamedTuple):
    """A message that is understood and not needed."""

    kind: str


class Unreadable(ValueError):
    """A message that is not what the venue documents; the text says where it broke."""


class Dialect(Protocol):
    """A venue's wire format and its rule of sequence; everything else is alike for all venues."""

    name: str
    depth_path: str
    instruments_path: str
    depth_limits: tuple[int, ...]
    """Levels per side that a snapshot may be asked for; any number where empty."""

    def read(self, payload: bytes) -> Diff | MarketTrade | MarketQuote | Ignored:
        """One frame. Raises Unreadable."""
        ...

    def read_book(self, payload: bytes) -> Book:
        """The answer to a snapshot request. Raises Unreadable."""
        ...

    def bridges(self, diff: Diff, update_id: int) -> bool:
        """Whether `diff` may be the first one applied to a snapshot of `update_id`."""
        ...

    def is_covered(self, diff: Diff, update_id: int) -> bool:
        """Whether a snapshot of `update_id` already includes all of `diff`."""
        ...

    def follows(self, diff: Diff, last: int) -> bool:
        """Whether `diff` comes right after a change that ended at `last`."""
        ...

    def streams(self, symbols: Sequence[str]) -> list[str]:
        """The stream names to subscribe for `symbols`."""
        ...

    def instruments(self, payload: bytes, venue: str) -> list[Any]:
        """Instruments from the venue's own list. Raises Unreadable."""
        ...

    def depth_weight(self, levels: int) -> int:
        """What a snapshot of `levels` per side costs of the request budget."""
        ...

    def weight_limit(self, payload: bytes) -> int:
        """The request weight per minute that the venue's list of instruments states; 0 if none."""
        ...
