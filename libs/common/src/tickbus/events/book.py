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
    """The best levels of our replica, best first, at most once per configured interval."""

    venue: str
    instrument_id: str
    bids: Levels
    asks: Levels
    epoch: int
    sequence: int
    stale: bool = False


BookEvent = BookTop | BookDepth
