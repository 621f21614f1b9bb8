"""What comparing an account found: each correction with the difference that it corrects."""

from collections import deque
from collections.abc import Iterable, Iterator

from tickbus.events import (
    AccountReconciled,
    BalanceAdjusted,
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

FOUND_MAX = 1_000
_STATES = (OrderAccepted, OrderRejected, OrderCanceled, OrderExpired)


class Findings:
    """The last look at the account, and the differences found lately, for whoever asks."""

    def __init__(self) -> None:
        self.last: AccountReconciled | None = None
        self._found: deque[DifferenceFound] = deque(maxlen=FOUND_MAX)
        self.standing: dict[str, DifferenceFound] = {}
        """By asset or instrument: what nothing explains, until the venue reports what we have."""

    def note(self, events: Iterable[Event]) -> None:
        """Keep the differences among `events`, the newest ones."""
        self._found.extend(event for event in events if isinstance(event, DifferenceFound))

    def since(self, ts_recv: int) -> tuple[DifferenceFound, ...]:
        """The differences found from then on (ns, ours)."""
        return tuple(found for found in self._found if found.ts_recv >= ts_recv)

    def end(self, compared: AccountReconciled) -> None:
        """The look as it is on record."""
        self.last = compared


def explained(events: Iterable[Event], cause: ReconciliationCause) -> Iterator[Event]:
    """`events`, each that corrects our books followed by the difference that it corrects."""
    for event in events:
        yield event
        found = _difference(event)
        if found is not None:
            names = (
                getattr(event, "client_order_id", ""), getattr(event, "strategy_id", EXTERNAL),
                event.venue, event.instrument_id,  # type: ignore[attr-defined]
            )  # fmt: skip
            yield DifferenceFound(event.ts_event, event.ts_recv, *names, found[0], cause, found[1])


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
        what = event.found
        terms = "" if what is None else f" side={what.side} quantity={what.quantity}"
        return DifferenceKind.EXTERNAL_ORDER, f"event=OrderSubmitted{terms}"
    if isinstance(event, _STATES) and event.strategy_id != EXTERNAL:
        reason = getattr(event, "reason", "")
        why = f" reason={reason}" if reason else ""
        return DifferenceKind.ORDER_STATE, f"event={type(event).__name__}{why}"
    if isinstance(event, BalanceAdjusted):
        return DifferenceKind.MISSED_PAYMENT, (
            f"event=BalanceAdjusted cause={event.cause} asset={event.asset}"
            f" amount={event.amount} reference={event.reference}"
        )
    return None
