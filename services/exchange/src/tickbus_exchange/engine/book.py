"""One symbol's order book: two ladders of price levels, first come first served in each level.

Invariants: no empty level stands; a level's quantity is the sum of its orders' leaves; every
change of a level raises `update_id` by exactly one and is remembered until `take_changes`.
"""

from bisect import bisect_left, insort

from tickbus_exchange.engine.orders import Order, Side


class Level:
    """All orders at one price, oldest first."""

    __slots__ = ("orders", "price", "quantity")

    def __init__(self, price: int) -> None:
        self.price = price
        self.quantity = 0
        self.orders: dict[int, Order] = {}

    def first(self) -> Order:
        """Return the oldest order."""
        return next(iter(self.orders.values()))


class Ladder:
    """One side of a book. Keys are price times `sign`, so the best price is always last."""

    __slots__ = ("keys", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.levels: dict[int, Level] = {}

    def best(self) -> Level | None:
        """Return the level that trades next, or None on an empty side."""
        return self.levels[self.keys[-1] * self.sign] if self.keys else None

    def best_price(self) -> int:
        """Return the best price, 0 on an empty side."""
        return self.keys[-1] * self.sign if self.keys else 0

    def add(self, order: Order) -> None:
        """Put `order` last in the queue at its price."""
        level = self.levels.get(order.price)
        if level is None:
            level = self.levels[order.price] = Level(order.price)
            insort(self.keys, order.price * self.sign)
        level.orders[order.order_id] = order
        level.quantity += order.leaves

    def remove(self, order: Order) -> None:
        """Take a standing order out."""
        level = self.levels[order.price]
        del level.orders[order.order_id]
        level.quantity -= order.leaves
        self._drop_if_empty(level)

    def reduce(self, order: Order, quantity: int) -> None:
        """Account for a standing order that became smaller by `quantity`; its place is kept."""
        self.levels[order.price].quantity -= quantity

    def fill(self, level: Level, order: Order, quantity: int) -> None:
        """Account for `quantity` of the standing `order`, whose `filled` is already raised."""
        level.quantity -= quantity
        if order.leaves == 0:
            del level.orders[order.order_id]
            self._drop_if_empty(level)

    def _drop_if_empty(self, level: Level) -> None:
        if not level.orders:
            del self.levels[level.price]
            del self.keys[bisect_left(self.keys, level.price * self.sign)]

    def top(self, count: int) -> list[tuple[int, int]]:
        """Return up to `count` (price, quantity) pairs, best first."""
        sign, levels = self.sign, self.levels
        return [(k * sign, levels[k * sign].quantity) for k in self.keys[: -count - 1 : -1]]


class Book:
    """Bids and asks of one symbol, and what changed since the last look."""

    __slots__ = ("asks", "bids", "changed_asks", "changed_bids", "update_id")

    def __init__(self, update_id: int = 0) -> None:
        self.bids = Ladder(1)
        self.asks = Ladder(-1)
        self.update_id = update_id
        self.changed_bids: dict[int, None] = {}
        self.changed_asks: dict[int, None] = {}

    def side(self, side: Side) -> Ladder:
        """Return the ladder an order of `side` stands in."""
        return self.bids if side is Side.BUY else self.asks

    def opposite(self, side: Side) -> Ladder:
        """Return the ladder an order of `side` trades against."""
        return self.asks if side is Side.BUY else self.bids

    def touch(self, side: Side, price: int) -> None:
        """Note that the level of `side` at `price` is no longer what it was."""
        self.update_id += 1
        if side is Side.BUY:
            self.changed_bids[price] = None
        else:
            self.changed_asks[price] = None

    def take_changes(self) -> tuple[dict[int, None], dict[int, None]]:
        """Return the bid and ask prices touched since the last call, and start anew."""
        bids, asks = self.changed_bids, self.changed_asks
        self.changed_bids, self.changed_asks = {}, {}
        return bids, asks

    def crosses(self, side: Side, price: int) -> bool:
        """Whether an order of `side` at `price` would trade at once."""
        if side is Side.BUY:
            best = self.asks.best_price()
            return best != 0 and price >= best
        best = self.bids.best_price()
        return best != 0 and price <= best

    def is_crossed(self) -> bool:
        """Whether the best bid meets the best ask, which must never be."""
        bid, ask = self.bids.best_price(), self.asks.best_price()
        return bid != 0 and ask != 0 and bid >= ask
