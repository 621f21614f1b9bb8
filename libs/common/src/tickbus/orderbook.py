"""Order books of floats: a fast one, an obvious one, and a replica that knows its gaps."""

from bisect import bisect_left, insort
from collections.abc import Iterable

from tickbus.events import BookDelta, BookSnapshot, Levels, Side

Level = tuple[float, float]


class OrderBook:
    """Price levels of one instrument, aggregated by price (L2).

    A price is the float that the venue's decimal string parses to, so equal strings are equal keys.
    Each side is a dict of sizes and a sorted list of prices with the best one last: most changes
    happen near the best price, where an insertion moves the least memory.
    """

    __slots__ = ("_ask_keys", "_asks", "_bid_keys", "_bids")

    def __init__(self) -> None:
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._bid_keys: list[float] = []  # ascending
        self._ask_keys: list[float] = []  # negated, ascending

    def __len__(self) -> int:
        """How many levels both sides have together."""
        return len(self._bids) + len(self._asks)

    def load(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Replace the whole book; of a price given twice the last size counts, 0 means none."""
        self._bids = {price: size for price, size in dict(bids).items() if size}
        self._asks = {price: size for price, size in dict(asks).items() if size}
        self._bid_keys = sorted(self._bids)
        self._ask_keys = sorted(-price for price in self._asks)

    def apply(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Set absolute sizes; size 0 removes the level, and removing an unknown one is fine."""
        # Twice the same loop: a helper for both sides costs a fifth of the time.
        sizes, keys = self._bids, self._bid_keys
        for price, size in bids:
            if size:
                if price not in sizes:
                    insort(keys, price)
                sizes[price] = size
            elif sizes.pop(price, None) is not None:
                del keys[bisect_left(keys, price)]
        sizes, keys = self._asks, self._ask_keys
        for price, size in asks:
            if size:
                if price not in sizes:
                    insort(keys, -price)
                sizes[price] = size
            elif sizes.pop(price, None) is not None:
                del keys[bisect_left(keys, -price)]

    @property
    def best_bid(self) -> Level | None:
        """(price, size) of the highest bid, None without bids."""
        if not self._bid_keys:
            return None
        price = self._bid_keys[-1]
        return price, self._bids[price]

    @property
    def best_ask(self) -> Level | None:
        """(price, size) of the lowest ask, None without asks."""
        if not self._ask_keys:
            return None
        price = -self._ask_keys[-1]
        return price, self._asks[price]

    @property
    def mid(self) -> float | None:
        """Half way between best bid and ask; None unless there are both."""
        if not self._bid_keys or not self._ask_keys:
            return None
        return (self._bid_keys[-1] - self._ask_keys[-1]) / 2

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is at or above the best ask, which no real book is for long."""
        bids, asks = self._bid_keys, self._ask_keys
        return bool(bids and asks and bids[-1] >= -asks[-1])

    def size_at(self, side: Side, price: float) -> float:
        """The size at `price` among the bids (BUY) or asks (SELL), 0 without such a level."""
        return (self._bids if side is Side.BUY else self._asks).get(price, 0.0)

    def depth(self, levels: int) -> tuple[Levels, Levels]:
        """The best `levels` of each side as (bids, asks), best first."""
        if levels <= 0:
            return (), ()
        bids, asks = self._bids, self._asks
        return (
            tuple((p, bids[p]) for p in reversed(self._bid_keys[-levels:])),
            tuple((-p, asks[-p]) for p in reversed(self._ask_keys[-levels:])),
        )

    def levels(self) -> tuple[Levels, Levels]:
        """Every level of both sides as (bids, asks), best first. Slow."""
        return self.depth(max(1, len(self)))

    def sweep(self, side: Side, size: float, limit: float | None = None) -> list[Level]:
        """What an order of `size` to BUY (or SELL) would take, best first: (price, size) pairs.

        Stops at `limit`; shorter than `size` in sum when the book does not hold that much. The
        book is not changed.
        """
        buy = side is Side.BUY
        keys, sizes = (self._ask_keys, self._asks) if buy else (self._bid_keys, self._bids)
        taken: list[Level] = []
        for key in reversed(keys):
            price = -key if buy else key
            if size <= 0 or (limit is not None and (price > limit if buy else price < limit)):
                break
            part = min(size, sizes[price])
            taken.append((price, part))
            size -= part
        return taken


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
    snapshot, which the feed repeats as a keyframe, puts it in step again.
    """

    __slots__ = ("book", "epoch", "in_step", "sequence")

    def __init__(self) -> None:
        self.book = OrderBook()
        self.epoch = 0
        self.sequence = 0
        self.in_step = False

    def on_snapshot(self, event: BookSnapshot) -> bool:
        """Take in a snapshot; False when it was a keyframe of what is known already, or older."""
        if event.epoch < self.epoch:
            return False
        if self.in_step and event.epoch == self.epoch and event.sequence <= self.sequence:
            return False
        if not self.in_step and event.epoch == self.epoch and event.sequence < self.sequence:
            return False  # older than the last good state: wait for a keyframe that is not
        self.book.load(event.bids, event.asks)
        self.epoch, self.sequence, self.in_step = event.epoch, event.sequence, True
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
