"""What is read of execution when scraped: its orders by state, and what is not explained."""

from collections import Counter
from collections.abc import Iterator

from tickbus.order import TERMINAL, OrderState
from tickbus.runtime import Reading
from tickbus_execution.core import ExecutionCore

LIVING = tuple(state for state in OrderState if state not in TERMINAL)


def measure(core: ExecutionCore, now_ns: int) -> Iterator[Reading]:
    """Living orders by state, the oldest of an unknown one, and the last look at the account."""
    living = list(core.orders.living())
    states = Counter(order.state for order in living)
    for state in LIVING:
        yield Reading("orders", states[state], {"state": state.value})
    unknown = [order.ts_updated for order in living if order.state is OrderState.UNKNOWN]
    yield Reading("unknown_seconds_max", max(0, now_ns - min(unknown, default=now_ns)) / 1e9)
    yield Reading("differences_standing", len(core.findings.standing))
    if core.findings.last is not None:
        yield Reading("comparison_age_seconds", (now_ns - core.findings.last.ts_recv) / 1e9)
