"""The price levels of an order book in plain Python, for where the compiled ones were not built."""

from bisect import bisect_left, insort
from collections.abc import Iterable

from tickbus.events import Levels

Level = tuple[float, float]


class PlainLadders:
    """The same as `tickbus_orderbook.Ladders`, ten times slower.

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

    def size_of(self, is_bid: bool, price: float) -> float:
        """The size at `price`, 0 without such a level."""
        return (self._bids if is_bid else self._asks).get(price, 0.0)

    def depth(self, levels: int) -> tuple[Levels, Levels]:
        """The best `levels` of each side as (bids, asks), best first."""
        if levels <= 0:
            return (), ()
        bids, asks = self._bids, self._asks
        return (
            tuple((p, bids[p]) for p in reversed(self._bid_keys[-levels:])),
            tuple((-p, asks[-p]) for p in reversed(self._ask_keys[-levels:])),
        )

    def truncate(self, levels: int) -> tuple[Levels, Levels]:
        """Keep the best `levels` of each side; those removed as (bids, asks), best first."""
        before = self.depth(max(1, len(self)))
        removed = before[0][levels:], before[1][levels:]
        for side in removed:
            zeros = tuple((price, 0.0) for price, _ in side)
            self.apply(*((zeros, ()) if side is removed[0] else ((), zeros)))
        return removed
