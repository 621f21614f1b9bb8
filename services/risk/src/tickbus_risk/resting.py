"""The prices at which our own orders rest, best first, so that an order never meets one of them."""

from bisect import bisect_left, insort
from decimal import Decimal

from tickbus.events import OrderType, Side
from tickbus.order import Order
from tickbus_risk.snapshot import Place, RestingMemory


class Resting:
    """Sorted limit prices per side of an instrument, over all strategies."""

    def __init__(self) -> None:
        self._prices: dict[Place, list[Decimal]] = {}
        self._orders: dict[str, tuple[Place, Decimal]] = {}

    def snapshot(self) -> RestingMemory:
        """All of it."""
        orders = [(order_id, *known) for order_id, known in self._orders.items()]
        return RestingMemory(orders, list(self._prices.items()))

    def restore(self, memory: RestingMemory) -> None:
        """Know what `memory` says."""
        self._orders = {order_id: (place, price) for order_id, place, price in memory.orders}
        self._prices = dict(memory.prices)

    def follow(self, order: Order, working: bool) -> None:
        """Take in what became of an order."""
        order_id = order.client_order_id
        if not working:
            self._remove(order_id)
        elif order.price is not None and order.order_type is OrderType.LIMIT:
            known = self._orders.get(order_id)
            if known is not None and known[1] == order.price:
                return
            self._remove(order_id)
            place = (order.venue, order.instrument_id, order.side)
            self._orders[order_id] = (place, order.price)
            insort(self._prices.setdefault(place, []), order.price)

    def best(self, venue: str, instrument_id: str, side: Side) -> Decimal | None:
        """The highest of our bids or the lowest of our asks; None without one."""
        prices = self._prices.get((venue, instrument_id, side))
        if not prices:
            return None
        return prices[-1] if side is Side.BUY else prices[0]

    def _remove(self, order_id: str) -> None:
        known = self._orders.pop(order_id, None)
        if known is not None:
            place, price = known
            prices = self._prices[place]
            del prices[bisect_left(prices, price)]
