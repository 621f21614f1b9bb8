"""A second core that lives through orders which are not meant, so that the code of one is warm."""

from collections.abc import Sequence

import msgspec

from tickbus.events import Event, OrderApproved, Recovered, SubmitOrder
from tickbus_execution.core import ExecutionCore
from tickbus_execution.venue import SymbolLearned

ORDERS_MAX = 500
"""Then it forgets them all, by being made anew."""


class Understudy:
    """Takes the approvals of a rehearsal at `venue`; nothing that it says may leave the process."""

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._orders = 0
        self._core = ExecutionCore(venue)

    def approve(self, order: SubmitOrder) -> Sequence[Event]:
        """What a core that is live, and knows the instrument, makes of `order`."""
        if self._orders % ORDERS_MAX == 0:
            self._core = ExecutionCore(self._venue)
            self._core.handle(Recovered(0, 0))
            name = order.instrument_id
            self._core.handle(SymbolLearned(1, 1, name, name))
        self._orders += 1
        name = f"{order.client_order_id}-{self._orders}"
        order = msgspec.structs.replace(order, client_order_id=name)
        return self._core.handle(OrderApproved(1, 1, order))
