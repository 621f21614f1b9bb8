"""Views of the order book as the book service publishes them."""

from tickbus.events.base import Event
from tickbus.events.market import Levels


class BookTop(Event, frozen=True):
    """Best bid and ask of our replica of the book, published when either changes.

    A side without levels has price and size 0. `stale` is true while the book cannot be trusted
    (gap, disconnect); prices are then the last good ones.
    """

    venue: str
    instrument_id: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    epoch: int
    sequence: int
    stale: bool = False


class BookDepth(Event, frozen=True):
    """The best levels of our replica, best first, at most once per configured interval.

    `spread` and `micro_price` (the mid weighted by the sizes of the other side) are of the best
    level, `imbalance` is (bids - asks) / (both) of the sizes of all these levels, -1 to 1; all are
    0 unless there are both sides.
    """

    venue: str
    instrument_id: str
    bids: Levels
    asks: Levels
    epoch: int
    sequence: int
    stale: bool = False
    spread: float = 0.0
    micro_price: float = 0.0
    imbalance: float = 0.0


class ConsolidatedTop(Event, frozen=True):
    """The best bid and ask of one instrument at every venue whose book can be trusted.

    `bids` and `asks` are (venue, price, size), sizes in base units also where the venue counts
    contracts; the best price first and at equal prices the larger size, so that the best of all is
    the first of each.
    """

    instrument_id: str
    bids: tuple[tuple[str, float, float], ...]
    asks: tuple[tuple[str, float, float], ...]


BookEvent = BookTop | BookDepth | ConsolidatedTop
