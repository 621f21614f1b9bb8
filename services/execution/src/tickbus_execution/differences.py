"""What comparing an account found: each correction with the difference that it corrects."""

from collections.abc import Iterable, Iterator

from tickbus.events import (
    DifferenceFound,
    DifferenceKind,
    Event,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    ReconciliationCause,
)
from tickbus_execution.external import EXTERNAL

_STATES = (OrderAccepted, OrderRejected, OrderCanceled, OrderExpired)


def explained(events: Iterable[Event], cause: ReconciliationCause) -> Iterator[Event]:
    """`events`, each that corrects our books followed by the difference that it corrects."""
    for event in events:
        yield event
        found = _difference(event)
        if found is not None:
            kind, detail = found
            yield DifferenceFound(
                event.ts_event, event.ts_recv, event.client_order_id, event.strategy_id,  # type: ignore[attr-defined]
                event.venue, event.instrument_id, kind, cause, detail,  # type: ignore[attr-defined]
            )  # fmt: skip


def _difference(event: Event) -> tuple[DifferenceKind, str] | None:
    if isinstance(event, OrderFilled):
        external = event.strategy_id == EXTERNAL
        kind = DifferenceKind.EXTERNAL_FILL if external else DifferenceKind.MISSED_FILL
        fill = event.fill
        return kind, (
            f"event=OrderFilled fill_id={fill.fill_id} side={fill.side} price={fill.price}"
            f" quantity={fill.quantity}"
        )
    if isinstance(event, OrderSubmitted) and event.strategy_id == EXTERNAL:
        return DifferenceKind.EXTERNAL_ORDER, "event=OrderSubmitted"
    if isinstance(event, _STATES) and event.strategy_id != EXTERNAL:
        reason = getattr(event, "reason", "")
        why = f" reason={reason}" if reason else ""
        return DifferenceKind.ORDER_STATE, f"event={type(event).__name__}{why}"
    return None
