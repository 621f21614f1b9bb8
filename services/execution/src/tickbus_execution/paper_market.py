"""One instrument of the paper venue: the live book, what was taken from it, and who waits in it."""

from decimal import Decimal

from tickbus.events import (
    BookDelta,
    BookSnapshot,
    Funding,
    Instrument,
    Side,
    SubmitOrder,
    TimeInForce,
    Trade,
)
from tickbus.orderbook import BookReplica

ZERO = Decimal(0)
Match = tuple["Resting", Decimal, Decimal]


class Resting:
    """A working paper order; `ahead` is the size that stands before it at its price."""

    __slots__ = ("ahead", "leaves", "order", "venue_order_id")

    def __init__(self, order: SubmitOrder, venue_order_id: str) -> None:
        self.order = order
        self.venue_order_id = venue_order_id
        self.leaves = order.quantity
        self.ahead = 0.0

    @property
    def price(self) -> Decimal:
        """The limit price; only LIMIT orders rest."""
        assert self.order.price is not None
        return self.order.price


class PaperMarket:
    """Matches paper orders against one live book."""

    def __init__(self) -> None:
        self.instrument: Instrument | None = None
        self.replica = BookReplica()
        self.last_price: float | None = None
        self.funding: Funding | None = None
        """The venue's last word on what a perpetual is valued at and costs."""
        self._resting: dict[str, Resting] = {}
        self._armed: dict[str, Resting] = {}
        self._taken: dict[tuple[Side, float], float] = {}

    def mark(self) -> Decimal | None:
        """What one is valued at: by the venue's mark price, else the mid, else the last trade."""
        if self.funding is not None and self.funding.mark_price:
            return Decimal(repr(self.funding.mark_price))
        bid, ask = self.replica.book.best_bid, self.replica.book.best_ask
        if self.replica.in_step and bid is not None and ask is not None:
            return (Decimal(repr(bid[0])) + Decimal(repr(ask[0]))) / 2
        return None if self.last_price is None else Decimal(repr(self.last_price))

    # -- taking ------------------------------------------------------------------------------------

    def take(self, order: SubmitOrder, *, dry: bool = False) -> list[tuple[Decimal, Decimal]]:
        """(price, quantity) that `order` takes on arrival, best first; noted unless `dry`.

        What was taken from a level stays taken until the market changes that level.
        """
        assert self.instrument is not None
        other = order.side.opposite
        limit = None if order.price is None else float(order.price)
        leaves, found = order.quantity, list[tuple[float, Decimal, Decimal]]()
        for price, size in self.replica.book.sweep(order.side, float("inf"), limit):
            left = self.instrument.quantity(max(0.0, size - self._taken.get((other, price), 0.0)))
            quantity = min(leaves, left)
            if quantity > 0:
                found.append((price, Decimal(repr(price)), quantity))
                leaves -= quantity
            if not leaves:
                break
        if leaves and order.time_in_force is TimeInForce.FOK:
            return []
        if not dry:
            for price, _, quantity in found:
                key = (other, price)
                self._taken[key] = self._taken.get(key, 0.0) + float(quantity)
        return [(price, quantity) for _, price, quantity in found]

    def best(self, order: SubmitOrder) -> float | None:
        """The best price that `order` could take; None on an empty side."""
        book = self.replica.book
        level = book.best_ask if order.side is Side.BUY else book.best_bid
        return None if level is None else level[0]

    def would_cross(self, order: SubmitOrder) -> bool:
        """Whether a LIMIT order would trade on arrival."""
        best = self.best(order)
        if best is None or order.price is None or order.order_type.has_trigger:
            return False
        price = float(order.price)
        return price >= best if order.side is Side.BUY else price <= best

    # -- waiting -----------------------------------------------------------------------------------

    def rest(self, resting: Resting) -> None:
        """Stand at the end of the queue at its price."""
        order = resting.order
        resting.ahead = self.replica.book.size_at(order.side, float(resting.price))
        self._resting[order.client_order_id] = resting

    def remove(self, client_order_id: str) -> Resting | None:
        """Take an order out of the queue or disarm it; None when it does not stand there."""
        resting = self._resting.pop(client_order_id, None)
        return resting or self._armed.pop(client_order_id, None)

    def working(self) -> list[Resting]:
        """Those that wait: in the queue, or for their trigger."""
        return [*self._resting.values(), *self._armed.values()]

    def arm(self, resting: Resting) -> None:
        """Wait until the market trades at the order's trigger price."""
        self._armed[resting.order.client_order_id] = resting

    def would_trigger(self, order: SubmitOrder) -> bool:
        """Whether the last trade has reached the trigger price already."""
        return self.last_price is not None and _is_reached(order, self.last_price)

    def triggered(self, trade: Trade) -> list[Resting]:
        """Those that `trade` sets off, oldest first; they are armed no more."""
        self.last_price = trade.price
        if not self._armed:
            return []
        found = [r for r in self._armed.values() if _is_reached(r.order, trade.price)]
        for resting in found:
            del self._armed[resting.order.client_order_id]
        return found

    def on_trade(self, trade: Trade) -> list[Match]:
        """What a trade on the market fills of those that wait on its passive side."""
        side = trade.aggressor_side.opposite
        size, matched = trade.size, list[Match]()
        for resting in self._queue(side):
            price = float(resting.price)
            behind = price < trade.price if side is Side.BUY else price > trade.price
            if behind or size <= 0:
                break
            if price == trade.price:
                before = min(resting.ahead, size)
                resting.ahead -= before
                size -= before
            quantity = self._match(resting, size, matched)
            size -= float(quantity)
        return matched

    def on_book(self, event: BookDelta | BookSnapshot) -> list[Match]:
        """Follow the book; fill those through whose price the other side has come."""
        replica = self.replica
        if isinstance(event, BookSnapshot):
            if not replica.on_snapshot(event):
                return []
            self._taken.clear()
        elif not replica.on_delta(event):
            return []
        else:
            for side, levels in ((Side.BUY, event.bids), (Side.SELL, event.asks)):
                for price, _ in levels:
                    self._taken.pop((side, price), None)
        if not self._resting:
            return []
        for resting in self._resting.values():
            # The queue before us never grows; it shrinks with every size seen below it.
            size = replica.book.size_at(resting.order.side, float(resting.price))
            resting.ahead = min(resting.ahead, size)
        matched: list[Match] = []
        for side in (Side.BUY, Side.SELL):
            self._cross(side, matched)
        return matched

    def _cross(self, side: Side, matched: list[Match]) -> None:
        book = self.replica.book
        best = book.best_ask if side is Side.BUY else book.best_bid
        if best is None:
            return
        for resting in self._queue(side):
            price = float(resting.price)
            if (price < best[0]) if side is Side.BUY else (price > best[0]):
                break
            # Somebody offers at our price or better: as the maker we trade at our own.
            self._match(resting, float(resting.leaves), matched)

    def _match(self, resting: Resting, size: float, matched: list[Match]) -> Decimal:
        assert self.instrument is not None
        quantity = min(resting.leaves, self.instrument.quantity(max(0.0, size)))
        if quantity > 0:
            matched.append((resting, resting.price, quantity))
            if quantity == resting.leaves:
                del self._resting[resting.order.client_order_id]
        return quantity

    def _queue(self, side: Side) -> list[Resting]:
        """Those who wait on `side`, best price first, then oldest."""
        waiting = [r for r in self._resting.values() if r.order.side is side]
        return sorted(waiting, key=lambda r: -r.price if side is Side.BUY else r.price)


def _is_reached(order: SubmitOrder, price: float) -> bool:
    assert order.trigger_price is not None  # only orders with a trigger come here
    trigger = float(order.trigger_price)
    return price >= trigger if order.order_type.triggers_above(order.side) else price <= trigger
