"""What execution knows of its account: orders, their ids at the venue, and what was asked of it."""

from collections.abc import Sequence

from tickbus.events import (
    CancelApproved,
    CancelRejected,
    Event,
    Instrument,
    MessageDead,
    OrderApproved,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    SetTimer,
)
from tickbus.order import Order, Orders, OrderState
from tickbus_execution.account_books import AccountBooks
from tickbus_execution.external import described, external_order
from tickbus_execution.reasons import refused
from tickbus_execution.snapshot import ExecutionMemory, PaperMemory
from tickbus_execution.venue import OrderReport, SymbolLearned

IDS_MAX = 50_000
"""Ids of orders that are remembered; an order is over long before so many newer ones were sent."""
NEVER_SENT = "NEVER_SENT"
"""Why an order ended that the venue never saw."""

Events = Sequence[Event]


class Memory:
    """The part of the execution core that remembers; it decides nothing."""

    memory = ExecutionMemory

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.orders = Orders()
        self.fill_cursor: dict[str, str] = {}
        self.ts_opened = 0
        self.ts_payments = 0
        """Until when (venue, ns) the account's history of payments was looked at."""
        self.books = AccountBooks(venue)
        self._symbols: dict[str, str] = {}
        self._rules: dict[str, Instrument] = {}
        self._by_venue_id: dict[str, str] = {}
        self._submitted: dict[str, None] = {}
        # By order: cancels that have to be sent once the order is found, and those under way.
        self._cancels: dict[str, CancelApproved] = {}
        self._cancels_sent: dict[str, CancelApproved] = {}
        # Approved, and not known to have been sent: the venue is asked before they are.
        self._waiting: dict[str, OrderApproved] = {}
        self._expiring: set[str] = set()

    def snapshot(self) -> ExecutionMemory:
        """All that folding the order path gave."""
        return ExecutionMemory(
            self.orders.snapshot(),
            list(self._submitted),
            self._by_venue_id,
            list(self._cancels.values()),
            list(self._waiting.values()),
            list(self.fill_cursor.items()),
            self.ts_opened,
            self.books.snapshot(),
            self.ts_payments,
        )

    def restore(self, memory: ExecutionMemory | PaperMemory, /) -> None:
        """Know what `memory` says."""
        self.orders.restore(memory.orders)
        self._submitted = dict.fromkeys(memory.submitted)
        self._by_venue_id = memory.venue_ids
        self._cancels = {event.cancel.client_order_id: event for event in memory.cancels}
        self._waiting = {event.order.client_order_id: event for event in memory.waiting}
        self.fill_cursor = dict(memory.fill_cursor)
        self.ts_opened = memory.ts_opened
        self.books.restore(memory.held)
        self.ts_payments = memory.ts_payments

    def instrument_ids(self) -> set[str]:
        """The instruments that can be traded here, as far as they are known."""
        return set(self._symbols)

    def strange(self) -> set[str]:
        """Instruments in our books that nobody has described yet."""
        known = {order.instrument_id for order in self.orders.living()}
        return (known | self.fill_cursor.keys() | set(self.books.held())) - self._symbols.keys()

    def knows(self, venue_order_id: str) -> bool:
        """Whether it is known whose order the venue calls so."""
        return venue_order_id in self._by_venue_id

    def symbol(self, instrument_id: str) -> str:
        """The venue's spelling of a known instrument."""
        return self._symbols[instrument_id]

    def instrument_of(self, symbol: str) -> str | None:
        """The instrument that the venue spells `symbol`; None when it is not known."""
        return next((i for i, s in self._symbols.items() if s == symbol), None)

    # -- events, each told only if it is news ---------------------------------------------------

    def _head(self, event: Event, order: Order) -> tuple[int, int, str, str, str, str]:
        return (
            event.ts_event, event.ts_recv, order.client_order_id, order.strategy_id, self.venue,
            order.instrument_id,
        )  # fmt: skip

    def _ended(
        self, kind: type[OrderCanceled] | type[OrderExpired], report: OrderReport, order: Order
    ) -> Event:
        return kind(
            *self._head(report, order), report.venue_order_id, report.filled_quantity, report.reason
        )

    def _rejected(self, event: OrderApproved, reason: str, words: str = "") -> OrderRejected:
        return self._refused(event, Order.from_submit(event.order), reason, words)

    def _refused(self, event: Event, order: Order, reason: str, words: str = "") -> OrderRejected:
        detail = refused(order, reason, words, self._rules.get(order.instrument_id))
        return OrderRejected(*self._head(event, order), reason, detail)

    def _dead(self, event: MessageDead) -> Events:
        approved = event.event
        if not isinstance(approved, OrderApproved):
            return ()
        if approved.order.client_order_id in self._submitted:
            return ()  # an earlier process may have sent it: what became of it the venue says
        # Every attempt to handle it failed before anything was sent; and nothing will be, should
        # somebody replay it: everybody takes it for rejected.
        self._note_submitted(approved.order.client_order_id)
        return (self._rejected(approved, "INTERNAL_ERROR", event.error),)

    def _in_place(self, order_id: str) -> Order | None:
        """The order whose place is taken with that of `order_id`, which may only have waited."""
        order = self.orders.get(order_id)
        while order is not None and order.replaces and order.reason == NEVER_SENT:
            order = self.orders.get(order.replaces)
        return order

    def _unwanted(self, order: Order, cause: Event) -> Event | None:
        """How an order ends that is not to be sent any more; None where it still is."""
        head, filled = self._head(cause, order), order.filled_quantity
        if 0 < order.expires_ns <= cause.ts_recv:
            return OrderExpired(*head, "", filled, "GTD")
        if order.client_order_id in self._cancels or order.state is OrderState.PENDING_CANCEL:
            return OrderCanceled(*head, "", filled, NEVER_SENT)
        return None

    def _expiry(self, order: Order, cause: Event) -> SetTimer:
        key = f"expire/{order.client_order_id}"
        return SetTimer(cause.ts_event, cause.ts_recv, key, order.expires_ns)

    def _learned(self, event: SymbolLearned) -> Events:
        self._symbols[event.instrument_id] = event.symbol
        return ()

    def _find_or_adopt(self, report: OrderReport, out: list[Event]) -> Order:
        known = self._by_venue_id.get(report.venue_order_id)
        found = self.orders.get(known) if known else None
        if found is not None:
            return found
        # Placed by hand, or by somebody else with the same account: it is in the books as external.
        order = external_order(report, self.venue)
        self.orders.add(order)
        out.append(OrderSubmitted(*self._head(report, order), described(order)))
        return order

    def _emit(self, event: Event) -> Events:
        """The event, if it changes what is known; a repeat of known facts is not published."""
        before = self.orders.get(getattr(event, "client_order_id", ""))
        was_over = before is not None and before.is_terminal
        changed = self._note(event)
        if isinstance(event, CancelRejected):
            return (event,)
        if changed is None or (was_over and not isinstance(event, OrderFilled)):
            return ()
        return (event,)

    def _note_submitted(self, order_id: str) -> None:
        self._submitted[order_id] = None
        self._waiting.pop(order_id, None)
        if len(self._submitted) > IDS_MAX:
            del self._submitted[next(iter(self._submitted))]

    def _note(self, event: Event) -> Order | None:
        order = self.orders.fold(event)
        if order is not None and order.venue_order_id:
            self._by_venue_id[order.venue_order_id] = order.client_order_id
            if len(self._by_venue_id) > IDS_MAX:
                del self._by_venue_id[next(iter(self._by_venue_id))]
        if order is not None and order.is_terminal:
            self._waiting.pop(order.client_order_id, None)
            self._expiring.discard(order.client_order_id)
            self._cancels.pop(order.client_order_id, None)
            self._cancels_sent.pop(order.client_order_id, None)
        if isinstance(event, OrderFilled):
            self._advance_cursor(event)
            if order is not None:
                self.books.fill(event)
        return order

    def _advance_cursor(self, event: OrderFilled) -> None:
        fill_id = event.fill.fill_id
        last = self.fill_cursor.get(event.instrument_id, "")
        if fill_id.isdigit() and (not last or int(fill_id) > int(last)):
            self.fill_cursor[event.instrument_id] = fill_id
