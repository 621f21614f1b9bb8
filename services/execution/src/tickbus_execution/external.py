"""Orders at our account that nobody here asked for: placed by hand, or by the venue itself."""

from tickbus.events import OrderType
from tickbus.order import Order, OrderState
from tickbus_execution.venue import OrderReport

EXTERNAL = "external"
"""Their strategy id: their fills are in the books, no strategy is told."""


def external_order(report: OrderReport, venue: str) -> Order:
    """The order that `report` speaks of, as far as it can be known."""
    return Order(
        client_order_id=f"ext-{report.venue_order_id}",
        strategy_id=EXTERNAL,
        venue=venue,
        instrument_id=report.instrument_id,
        side=report.side,
        order_type=OrderType.LIMIT,
        quantity=report.quantity,
        price=None,
        state=OrderState.PENDING_NEW,
        ts_created=report.ts_event,
        ts_updated=report.ts_event,
    )
