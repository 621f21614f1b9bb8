"""Stop orders that wait outside the book for a trade to reach their stop price."""

from tickbus_exchange.engine.orders import Order, OrderRequest, OrderType, Side

_LOSSES = frozenset({OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT})


def is_reached(order: OrderRequest | Order, price: int) -> bool:
    """Whether a trade at `price` triggers `order`.

    A buy that limits a loss and a sell that takes a profit wait for a rise, the others for a fall.
    """
    waits_for_rise = (order.type in _LOSSES) is (order.side is Side.BUY)
    return price >= order.stop_price if waits_for_rise else price <= order.stop_price


class Stops:
    """One symbol's waiting orders, oldest first, and those whose turn has come."""

    __slots__ = ("reached", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, Order] = {}
        self.reached: list[Order] = []

    def add(self, order: Order) -> None:
        """Let `order` wait."""
        self.waiting[order.order_id] = order

    def remove(self, order: Order) -> None:
        """Forget a waiting order."""
        del self.waiting[order.order_id]

    def see(self, price: int) -> None:
        """Move every order that a trade at `price` triggers to `reached`."""
        for order in tuple(self.waiting.values()):
            if is_reached(order, price):
                del self.waiting[order.order_id]
                self.reached.append(order)
