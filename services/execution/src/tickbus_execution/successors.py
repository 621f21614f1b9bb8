"""Orders that wait for another to end, whose place they take."""

from collections.abc import Iterator
from decimal import Decimal

from tickbus.events import CancelApproved, CancelOrder, OrderApproved
from tickbus.order import Order

ZERO = Decimal(0)
COMMAND_MAX = 36
"""Venues take no longer client order ids, and a cancel's command becomes one."""


class Successors:
    """Approved orders that are not sent before the order they replace is over."""

    def __init__(self) -> None:
        self._by_old: dict[str, OrderApproved] = {}
        self._refused: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._by_old)

    def __contains__(self, client_order_id: str) -> bool:
        """Whether this order waits to take another's place."""
        return any(e.order.client_order_id == client_order_id for e in self._by_old.values())

    def wait(self, event: OrderApproved, old_id: str) -> None:
        """Keep the order of `event` until `old_id` is over, for which nothing may wait yet."""
        self._by_old[old_id] = event

    def drop(self, client_order_id: str) -> None:
        """It is not wanted any more."""
        for old_id, event in list(self._by_old.items()):
            if event.order.client_order_id == client_order_id:
                self.take(old_id)

    def take(self, old_id: str) -> OrderApproved | None:
        """The order that waits for `old_id`, which then waits no more."""
        self._refused.discard(old_id)
        return self._by_old.pop(old_id, None)

    def refuse(self, old_id: str) -> None:
        """The venue would not cancel `old_id`."""
        if old_id in self._by_old:
            self._refused.add(old_id)

    def is_stuck(self, old_id: str) -> bool:
        """Whether the venue refused to cancel `old_id`; if it works all the same, it stays."""
        return old_id in self._refused

    def waited_for(self) -> Iterator[str]:
        """The orders that are being replaced."""
        return iter(tuple(self._by_old))


def cancel_for(
    order: Order, command_id: str, event: OrderApproved | None, now: int
) -> CancelApproved:
    """Our own wish to cancel `order`, as if risk had passed it on."""
    ts_event, ts_recv = (event.ts_event, event.ts_recv) if event is not None else (now, now)
    cancel = CancelOrder(
        ts_event, ts_recv, command_id[:COMMAND_MAX], order.client_order_id, order.strategy_id,
        order.venue, order.instrument_id,
    )  # fmt: skip
    return CancelApproved(ts_event, ts_recv, cancel)


def left_of(wanted: Decimal, old: Order | None) -> Decimal:
    """What is still to be ordered, of `wanted` for both orders together."""
    filled = ZERO if old is None else max(old.filled_quantity, old.reported_quantity)
    return max(ZERO, wanted - filled)
