"""How many orders passed and how many fills came of late, by scope: the order-to-fill ratio.

Counted by the minute over the last ten, the current one included, so that a scope which has used
its ratio up gets room again, and nothing grows with time.
"""

from collections import deque
from typing import NamedTuple

from tickbus.events import GLOBAL, SMART_VENUE, SubmitOrder
from tickbus.subjects import EXTERNAL
from tickbus_risk.snapshot import MinuteMemory

MINUTE_NS = 60_000_000_000
MINUTES = 10


class Counts(NamedTuple):
    """Orders that passed and fills that came within the window."""

    orders: int
    fills: int


class Traffic:
    """Counts per scope; times are ns UTC and never run backwards."""

    def __init__(self) -> None:
        self._minutes: dict[str, deque[list[int]]] = {}

    def order(self, order: SubmitOrder, now_ns: int) -> None:
        """An order passed; one for all venues counts by its parts."""
        if order.venue != SMART_VENUE:
            self._count(order.strategy_id, order.venue, now_ns, 1)

    def fill(self, strategy_id: str, venue: str, now_ns: int) -> None:
        """A fill came; what nobody here ordered has no order to be measured with."""
        if strategy_id != EXTERNAL:
            self._count(strategy_id, venue, now_ns, 2)

    def counts(self, scope: str, now_ns: int) -> Counts:
        """What there was in the window that ends now."""
        first = now_ns // MINUTE_NS - MINUTES + 1
        orders = fills = 0
        for minute, ordered, filled in self._minutes.get(scope, ()):
            if minute >= first:
                orders, fills = orders + ordered, fills + filled
        return Counts(orders, fills)

    def _count(self, strategy_id: str, venue: str, now_ns: int, which: int) -> None:
        minute = now_ns // MINUTE_NS
        for scope in (GLOBAL, f"venue:{venue}", f"strategy:{strategy_id}"):
            known = self._minutes.get(scope)
            if known is None:
                known = self._minutes[scope] = deque(maxlen=MINUTES)
            if not known or known[-1][0] != minute:
                known.append([minute, 0, 0])
            known[-1][which] += 1

    def snapshot(self) -> list[MinuteMemory]:
        """All of it."""
        return [
            MinuteMemory(scope, *minute) for scope, known in self._minutes.items()
            for minute in known
        ]  # fmt: skip

    def restore(self, memory: list[MinuteMemory]) -> None:
        """Know what `memory` says."""
        self._minutes = {}
        for each in memory:
            known = self._minutes.setdefault(each.scope, deque(maxlen=MINUTES))
            known.append([each.minute, each.orders, each.fills])
