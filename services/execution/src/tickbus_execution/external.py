"""Orders at our account that nobody here asked for: placed by hand, or by the venue itself."""

from tickbus.events import FoundOrder, OrderFilled, OrderType
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
        order_type=report.order_type or OrderType.MARKET,
        quantity=report.quantity,
        price=report.price or None,
        state=OrderState.PENDING_NEW,
        ts_created=report.ts_event,
        ts_updated=report.ts_recv,
    )


def described(order: Order) -> FoundOrder:
    """What to say of it, so that whoever keeps orders can keep this one."""
    return FoundOrder(order.side, order.order_type, order.quantity, order.price)


def external_from_fill(event: OrderFilled) -> Order:
    """The order behind a fill in our own history, of before such orders were described."""
    return Order(
        client_order_id=event.client_order_id,
        strategy_id=EXTERNAL,
        venue=event.venue,
        instrument_id=event.instrument_id,
        side=event.fill.side,
        order_type=OrderType.LIMIT,
        quantity=event.filled_quantity + event.leaves_quantity,
        price=None,
        state=OrderState.PENDING_NEW,
        ts_created=event.ts_event,
        ts_updated=event.ts_recv,
    )
