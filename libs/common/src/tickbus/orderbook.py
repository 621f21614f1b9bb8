"""Order books of floats: a fast one, an obvious one, and a replica that knows its gaps."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tickbus.events import BookDelta, BookSnapshot, FeedStatus, KeyframeWanted, Levels, Side
from tickbus.ladders import PlainLadders

Level = tuple[float, float]
WISH_NS = 1_000_000_000
"""Between two wishes for the same book."""

if TYPE_CHECKING:
    _Ladders = PlainLadders
else:
    try:
        from tickbus_orderbook import Ladders as _Ladders
    except ImportError:  # no compiler where this was installed
        _Ladders = PlainLadders

IS_COMPILED = _Ladders is not PlainLadders


def imbalance(bids: Levels, asks: Levels) -> float:
    """(bid size - ask size) / (both), -1 to 1, above 0 with more bids; 0 unless there are both."""
    bid, ask = sum(size for _, size in bids), sum(size for _, size in asks)
    return (bid - ask) / (bid + ask) if bid and ask else 0.0


class OrderBook(_Ladders):
    """Price levels of one instrument, aggregated by price (L2).

    A price is the float that the venue's decimal string parses to, so equal strings are equal keys.
    The sorted sides come from `tickbus_orderbook` (C) where that is installed, else from
    `PlainLadders`: load, apply, depth, truncate, best_bid, best_ask, mid, is_crossed.
    """

    __slots__ = ()

    @property
    def spread(self) -> float | None:
        """Best ask minus best bid, in quote currency; None unless there are both."""
        bid, ask = self.best_bid, self.best_ask
        return ask[0] - bid[0] if bid and ask else None

    @property
    def micro_price(self) -> float | None:
        """The mid weighted by the sizes of the other side: where the next price leans to."""
        bid, ask = self.best_bid, self.best_ask
        if bid is None or ask is None:
            return None
        return (bid[0] * ask[1] + ask[0] * bid[1]) / (bid[1] + ask[1])

    def imbalance(self, levels: int = 1) -> float | None:
        """(bid size - ask size) / (both) over the best `levels`: -1 to 1, above 0 more bids."""
        bids, asks = self.depth(levels)
        return imbalance(bids, asks) if bids or asks else None

    def size_at(self, side: Side, price: float) -> float:
        """The size at `price` among the bids (BUY) or asks (SELL), 0 without such a level."""
        return self.size_of(side is Side.BUY, price)

    def levels(self) -> tuple[Levels, Levels]:
        """Every level of both sides as (bids, asks), best first. Slow."""
        return self.depth(len(self))

    def sweep(self, side: Side, size: float, limit: float | None = None) -> list[Level]:
        """What an order of `size` to BUY (or SELL) would take, best first: (price, size) pairs.

        Stops at `limit`; shorter than `size` in sum when the book does not hold that much. The
        book is not changed.
        """
        buy = side is Side.BUY
        taken: list[Level] = []
        looked, wanted = 0, 8
        while True:
            levels = self.depth(wanted)[1 if buy else 0]
            for price, there in levels[looked:]:
                if size <= 0 or (limit is not None and (price > limit if buy else price < limit)):
                    return taken
                part = min(size, there)
                taken.append((price, part))
                size -= part
            if size <= 0 or len(levels) < wanted:
                return taken
            looked, wanted = wanted, wanted * 4


class NaiveOrderBook:
    """The same book written for reading, not for speed: what the fast one is tested against."""

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}

    def load(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Replace the whole book."""
        self.bids, self.asks = {}, {}
        self.apply(bids, asks)

    def apply(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Set absolute sizes; size 0 removes the level."""
        for sizes, changes in ((self.bids, bids), (self.asks, asks)):
            for price, size in changes:
                sizes[price] = size
                if size == 0:
                    del sizes[price]

    def depth(self, levels: int) -> tuple[Levels, Levels]:
        """The best `levels` of each side, best first."""
        bids = sorted(self.bids.items(), reverse=True)
        asks = sorted(self.asks.items())
        return tuple(bids[:levels]), tuple(asks[:levels])


class BookReplica:
    """A consumer's copy of one book, kept from snapshots and deltas; knows when it lost a message.

    While `in_step` is false the book holds the last good levels and must not be traded on; the next
    snapshot, which the feed repeats as a keyframe, puts it in step again. `wish` asks for one.
    """

    __slots__ = ("_any_epoch", "_ts_wish", "book", "epoch", "in_step", "sequence")

    def __init__(self) -> None:
        self.book = OrderBook()
        self.epoch = 0
        self.sequence = 0
        self.in_step = False
        self._any_epoch = True
        self._ts_wish = 0

    def forget(self) -> None:
        """The feed begins anew: the next snapshot counts, whatever its epoch.

        Epochs are times, and a feed on a machine whose clock was set back begins with a lower one.
        """
        self.in_step = False
        self._any_epoch = True

    def wish(self, event: BookDelta) -> tuple[KeyframeWanted, ...]:
        """What to say after a change that was not taken in: at most once a second, ask for all."""
        old = event.epoch < self.epoch and not self._any_epoch
        return () if old else self.ask(event)

    def ask(self, event: BookDelta | FeedStatus) -> tuple[KeyframeWanted, ...]:
        """The same, whatever it was that showed that the feed has a book."""
        if self.in_step or 0 <= event.ts_recv - self._ts_wish < WISH_NS:
            return ()
        self._ts_wish = event.ts_recv
        at = (event.ts_event, event.ts_recv, event.venue, event.instrument_id)
        return (KeyframeWanted(*at),)

    def on_snapshot(self, event: BookSnapshot) -> bool:
        """Take in a snapshot; False when it was a keyframe of what is known already, or older."""
        if self._any_epoch:
            self.epoch = self.sequence = -1
        if event.epoch < self.epoch:
            return False
        if self.in_step and event.epoch == self.epoch and event.sequence <= self.sequence:
            return False
        if not self.in_step and event.epoch == self.epoch and event.sequence < self.sequence:
            return False  # older than the last good state: wait for a keyframe that is not
        self.book.load(event.bids, event.asks)
        self.epoch, self.sequence, self.in_step = event.epoch, event.sequence, True
        self._any_epoch = False
        return True

    def on_delta(self, event: BookDelta) -> bool:
        """Take in a change; False when it changed nothing: old, or not the next one (a gap)."""
        if event.epoch < self.epoch or not self.in_step:
            return False
        if event.epoch == self.epoch and event.sequence <= self.sequence:
            return False
        if event.epoch != self.epoch or event.sequence != self.sequence + 1:
            self.in_step = False
            return False
        self.book.apply(event.bids, event.asks)
        self.sequence = event.sequence
        return True
