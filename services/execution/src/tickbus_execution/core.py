"""An order's life at one venue account: approvals become requests, reports become order events.

Consumes: OrderApproved, CancelApproved; OrderReport, RequestFailed, AccountReport, PaymentsReport,
SymbolLearned, VenueSnapshot; Instrument, TimerFired, Recovered, CaughtUp; after a restart its own
events.
Produces: order events, AccountUpdated, BalanceAdjusted, AccountReconciled for the bus; VenueSubmit,
VenueCancel, VenueQuery, VenueReconcile, Alarm for the gateway; SetTimer.
Invariants: an order is sent at most once per approval, and one that may have been sent before a
restart is asked for first; a fill is published once; an order is never declared rejected or
cancelled because a question went unanswered; a cancel is sent again until the venue answers it; an
order that replaces another is sent once that one is over, for what it left.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tickbus.events import (
    AccountReconciled,
    AccountUpdated,
    BalanceAdjusted,
    CancelApproved,
    CancelRejected,
    CaughtUp,
    Event,
    Fill,
    Instrument,
    MessageDead,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderUnknown,
    Recovered,
    SetTimer,
    TimerFired,
)
from tickbus.order import Order, OrderState
from tickbus_execution.external import EXTERNAL, external_from_fill
from tickbus_execution.memory import NEVER_SENT
from tickbus_execution.reasons import refused
from tickbus_execution.reconciliation import COMPARE_TIMER, PARKED_TIMER, Reconciliation
from tickbus_execution.successors import Successors, cancel_for, left_of
from tickbus_execution.venue import (
    AccountReport,
    Alarm,
    OrderReport,
    Outcome,
    PaymentsReport,
    Request,
    RequestFailed,
    SymbolLearned,
    VenueCancel,
    VenueQuery,
    VenueSnapshot,
    VenueStatus,
    VenueSubmit,
)

ZERO = Decimal(0)
QUERY_FIRST_NS = 250_000_000
QUERY_CAP_NS = 10_000_000_000
NOT_FOUND_TWICE = 2
CUT = "CUT_BY_VENUE"
Events = Sequence[Event]


class ExecutionCore(Reconciliation):
    """Orders of one venue account; see the module's first lines."""

    def __init__(self, venue: str) -> None:
        super().__init__(venue)
        self._successors = Successors()
        self._not_found: dict[str, int] = {}
        self._live = False
        self._backlog = False
        self._handlers: dict[type, Callable[[Any], Events]] = {
            OrderApproved: self._approved,
            CancelApproved: self._cancel,
            OrderReport: self._report,
            RequestFailed: self._failed,
            AccountReport: self._account,
            PaymentsReport: self._payments,
            SymbolLearned: self._learned,
            VenueSnapshot: self._reconcile,
            Instrument: self._instrument,
            TimerFired: self._timer,
            Recovered: self._recovered,
            CaughtUp: self._caught_up,
            AccountUpdated: self._while_folding(self._old_account),
            AccountReconciled: self._while_folding(self._old_look),
            BalanceAdjusted: self._while_folding(self._old_payment),
            MessageDead: self._dead,
        }
        for kind in (
            OrderSubmitted, OrderReplaced, OrderAccepted, OrderRejected, OrderFilled, OrderCanceled,
            OrderExpired, CancelRejected, OrderUnknown,
        ):  # fmt: skip
            self._handlers[kind] = self._old_event

    def handle(self, event: Any, /) -> Events:
        """What follows for the bus and for the gateway."""
        handler = self._handlers.get(type(event))
        out = handler(event) if handler is not None else ()
        return (*out, *self._send_successors()) if self._successors else out

    # -- history -----------------------------------------------------------------------------------

    def _old_event(self, event: Any) -> Events:
        if self._live:
            return ()  # our own words coming back
        if not isinstance(event, OrderReplaced):
            self._note_submitted(event.client_order_id)  # an earlier process sent it
        if event.strategy_id == EXTERNAL and event.client_order_id not in self.orders:
            # Nobody approved it: only our own words tell of it, and must not be told again.
            if isinstance(event, OrderFilled):
                self.orders.add(external_from_fill(event))
            elif isinstance(event, OrderSubmitted) and (order := Order.from_found(event)):
                self.orders.add(order)
        self._note(event)
        if isinstance(event, CancelRejected):
            self._cancels.pop(event.client_order_id, None)
        return ()

    def _while_folding(self, fold: Callable[[Any], Events]) -> Callable[[Any], Events]:
        # Live, they are our own words coming back.
        return lambda event: () if self._live else fold(event)

    def _recovered(self, event: Recovered) -> Events:
        self._live = True
        self.books.go_live()
        self._backlog = event.backlog
        # The gateway's first snapshot starts the questions about what still works.
        ending = [order for order in self.orders.living() if order.expires_ns]
        return [self._expiry(order, event) for order in ending]

    def _caught_up(self, _: CaughtUp) -> Events:
        self._backlog = False
        return ()

    def _instrument(self, instrument: Instrument) -> Events:
        if instrument.venue == self.venue:
            self._symbols[instrument.instrument_id] = instrument.symbol
            self._rules[instrument.instrument_id] = instrument
        return ()

    # -- wishes ------------------------------------------------------------------------------------

    def _approved(self, event: OrderApproved) -> Events:
        order_id = event.order.client_order_id
        known = order_id in self.orders
        self.orders.fold(event)
        if not self._live and not known:
            self._waiting[order_id] = event
        if not self._live or known:
            return ()
        if event.order.instrument_id not in self._symbols:
            return self._emit(self._rejected(event, "INSTRUMENT_UNKNOWN"))
        if self._backlog or order_id in self._submitted:
            # In the stream before this process read it, or said to be sent: one before us may have.
            self._waiting[order_id] = event
            return (self._ask(order_id, event),)
        return self._replace(event) if event.order.replaces else self._send(event)

    def _send(self, event: OrderApproved) -> Events:
        order = event.order
        self._note_submitted(order.client_order_id)
        submitted = OrderSubmitted(
            event.ts_event, event.ts_recv, order.client_order_id, order.strategy_id, self.venue,
            order.instrument_id,
        )  # fmt: skip
        self.orders.fold(submitted)
        known = self.orders.get(order.client_order_id)
        if known is not None and known.quantity != order.quantity:
            order = msgspec.structs.replace(order, quantity=known.quantity)
        expiry = (self._expiry(known, event),) if known is not None and known.expires_ns else ()
        # The request first: storing the event may take a while, and the approval is stored already.
        request = VenueSubmit(
            event.ts_event, event.ts_recv, order, self._symbols[order.instrument_id]
        )
        return (request, submitted, *expiry)

    def _replace(self, event: OrderApproved) -> Events:
        """See to it that the order which `event` replaces ends; what follows waits for that."""
        self._waiting.pop(event.order.client_order_id, None)
        out: list[Event] = []
        old = self.orders.get(event.order.replaces)
        if old is not None and old.client_order_id in self._successors:
            self._successors.drop(old.client_order_id)
            out += self._emit(OrderCanceled(*self._head(event, old), "", ZERO, NEVER_SENT))
        old = self._in_place(event.order.replaces)
        old_id = event.order.replaces if old is None else old.client_order_id
        if old_id in self._successors.waited_for():
            detail = f"another order takes the place of {old_id} already"
            return [*out, *self._emit(self._rejected(event, "REPLACED_ORDER_TAKEN", detail))]
        self._successors.wait(event, old_id)
        if old is None or old.is_terminal or old_id in self._cancels_sent:
            return out
        wish = cancel_for(old, f"r-{event.order.client_order_id}", event, event.ts_recv)
        if old_id in self._waiting:
            self._cancels[old_id] = wish
            return out
        return [*out, self._send_cancel(wish)]

    def _send_successors(self) -> Events:
        out: list[Event] = []
        for old_id in self._successors.waited_for():
            old = self.orders.get(old_id)
            if old is not None and not old.is_terminal:
                continue
            event = self._successors.take(old_id)
            assert event is not None  # it was just named
            left = left_of(event.order.quantity, old)
            new = self.orders.get(event.order.client_order_id)
            assert new is not None  # its approval was folded
            replaced = OrderReplaced(*self._head(event, new), old_id, left)
            self.orders.fold(replaced)
            # First said, then sent: the next process has to know for how much it was sent.
            out += [replaced, *(self._send(event) if left else ())]
        return out

    # -- orders that end at a time -----------------------------------------------------------------

    def _expire(self, order: Order, event: TimerFired) -> Events:
        order_id = order.client_order_id
        if order.is_terminal:
            return ()
        if order_id in self._successors:
            self._successors.drop(order_id)
            return self._emit(
                OrderExpired(*self._head(event, order), "", order.filled_quantity, "GTD")
            )
        self._expiring.add(order_id)
        wish = cancel_for(order, f"gtd-{order_id}", None, event.ts_recv)
        if order_id in self._waiting:
            self._cancels[order_id] = wish
            return ()
        return (self._send_cancel(wish),)

    def _cancel(self, event: CancelApproved) -> Events:
        cancel = event.cancel
        order = self.orders.get(cancel.client_order_id)
        self.orders.fold(event)
        if not self._live:
            if order is not None and not order.is_terminal:
                # Nothing later in the history answers it: then the venue may never have heard it.
                self._cancels[cancel.client_order_id] = event
            return ()
        if order is None or order.is_terminal:
            state = "unknown to us" if order is None else order.state
            return self._emit(
                CancelRejected(
                    event.ts_event, event.ts_recv, cancel.client_order_id, cancel.strategy_id,
                    self.venue, cancel.instrument_id, cancel.command_id, "ORDER_NOT_WORKING",
                    f"limit=a working order value={state}",
                )
            )  # fmt: skip
        if cancel.client_order_id in self._successors:
            self._successors.drop(cancel.client_order_id)
            return self._emit(OrderCanceled(*self._head(event, order), "", ZERO, NEVER_SENT))
        if cancel.client_order_id in self._waiting:
            # It is not known to be at the venue; sent as soon as the answer says that it is.
            self._cancels[cancel.client_order_id] = event
            return ()
        return (self._send_cancel(event),)

    def _send_cancel(self, event: CancelApproved) -> VenueCancel:
        cancel = event.cancel
        self._cancels_sent[cancel.client_order_id] = event
        symbol = self._symbols.get(cancel.instrument_id, "")
        return VenueCancel(event.ts_event, event.ts_recv, cancel, symbol)

    # -- reports -----------------------------------------------------------------------------------

    def _report(self, report: OrderReport) -> Events:
        cause = self._doubted.pop(report.client_order_id, None)
        out = self._report_of(report)
        return out if cause is None else self._explained(out, cause)

    def _report_of(self, report: OrderReport) -> Events:
        order = self.orders.get(report.client_order_id)
        out: list[Event] = []
        if order is None:
            order = self._find_or_adopt(report, out)
        order_id = order.client_order_id
        self._waiting.pop(order_id, None)
        self._not_found.pop(order_id, None)
        if report.status is VenueStatus.REJECTED:
            out += self._emit(self._refused(report, order, report.reason or "REJECTED"))
            return out
        if not order.venue_order_id or order.state is OrderState.UNKNOWN:
            out += self._emit(OrderAccepted(*self._head(report, order), report.venue_order_id))
        for fill in report.fills:
            out += self._fill(order, report, fill, report.venue_order_id)
        if order.filled_quantity < report.filled_quantity:
            # The venue says more than we were told: its fills must be fetched. The first time at
            # once, then with back-off: its list of trades may lag behind its word on the order.
            asked = self._queries.get(order_id, 0)
            out.append(self._ask_later(order_id, report) if asked else self._ask(order_id, report))
        if report.status is VenueStatus.CANCELED and order_id in self._expiring:
            report = msgspec.structs.replace(report, status=VenueStatus.EXPIRED, reason="GTD")
        elif order_id in self._successors.waited_for():
            report = msgspec.structs.replace(report, reason="REPLACED")
        if report.status is VenueStatus.CANCELED:
            out += self._emit(self._ended(OrderCanceled, report, order))
        elif report.status is VenueStatus.EXPIRED:
            out += self._emit(self._ended(OrderExpired, report, order))
        elif order.filled_quantity >= report.filled_quantity:
            self._queries.pop(order_id, None)
            if report.status is VenueStatus.FILLED and not order.is_terminal:
                # All is told. What was never filled the venue had cut off: an order that may only
                # reduce is taken for no more than the position at that moment.
                cut = msgspec.structs.replace(report, reason=CUT)
                out += self._emit(self._ended(OrderExpired, cut, order))
        return [*out, *self._late_cancel(order), *self._stuck(order, report)]

    def _stuck(self, order: Order, cause: Event) -> Events:
        """An order that the venue would not cancel, and that works all the same, stays."""
        if order.is_terminal or not self._successors.is_stuck(order.client_order_id):
            return ()
        event = self._successors.take(order.client_order_id)
        new = self.orders.get(event.order.client_order_id) if event is not None else None
        if new is None:
            return ()
        detail = f"the venue refused to cancel {order.client_order_id}, which still works"
        return self._emit(self._refused(cause, new, "REPLACED_ORDER_WORKING", detail))

    def _late_cancel(self, order: Order) -> Events:
        wish = self._cancels.pop(order.client_order_id, None)
        return () if wish is None or order.is_terminal else (self._send_cancel(wish),)

    def _fill(self, order: Order, cause: Event, fill: Fill, venue_order_id: str) -> Events:
        # It has found its order; booked as somebody else's, too, it would count twice.
        self._parked.pop((order.instrument_id, fill.fill_id), None)
        if fill.fill_id in order.fill_ids:
            return ()
        filled = order.filled_quantity + fill.quantity
        leaves = max(order.quantity - filled, order.quantity * 0)
        out = self._emit(
            OrderFilled(*self._head(cause, order), venue_order_id, fill, filled, leaves)
        )
        # Of an external order known by its fills alone nobody said for how much it was.
        if not order.is_overfilled or order.strategy_id == EXTERNAL:
            return out
        detail = f"order={order.client_order_id} quantity={order.quantity} filled={filled}"
        return (*out, Alarm(cause.ts_event, cause.ts_recv, "overfill", detail))

    def _failed(self, event: RequestFailed) -> Events:
        order = self.orders.get(event.client_order_id)
        if order is None:
            return ()
        handler = {
            Request.SUBMIT: self._submit_failed,
            Request.CANCEL: self._cancel_failed,
            Request.QUERY: self._query_failed,
        }[event.request]
        return handler(event, order)

    def _submit_failed(self, event: RequestFailed, order: Order) -> Events:
        if event.outcome is Outcome.REFUSED:
            return self._emit(self._refused(event, order, event.reason, event.detail))
        if order.venue_order_id:
            # The venue told of it before its answer got lost: only what became of it is asked.
            return (self._ask_later(order.client_order_id, event),)
        return self._unknown(event, order)

    def _cancel_failed(self, event: RequestFailed, order: Order) -> Events:
        wish = self._cancels_sent.pop(event.client_order_id, None)
        if event.outcome is Outcome.UNKNOWN:
            if wish is not None and not order.is_terminal:
                self._cancels[event.client_order_id] = wish  # until the order is seen again
            return self._unknown(event, order)
        self._successors.refuse(event.client_order_id)
        rejected = CancelRejected(
            *self._head(event, order), event.command_id, event.reason,
            refused(order, event.reason, event.detail, self._rules.get(order.instrument_id)),
        )  # fmt: skip
        # Filled, cancelled or never there: the venue's word on the order decides which.
        ask = () if order.is_terminal else (self._ask(order.client_order_id, event),)
        return (*self._emit(rejected), *ask)

    def _query_failed(self, event: RequestFailed, order: Order) -> Events:
        order_id = order.client_order_id
        if event.outcome is Outcome.NOT_FOUND_YET and not order.venue_order_id:
            # Half of what is needed, however often: the other half is the answer that counts.
            self._not_found.setdefault(order_id, 1)
        if event.outcome not in (Outcome.NOT_FOUND, Outcome.FORGOTTEN):
            return (self._ask_later(order_id, event, event.again_ns),)  # no answer is no evidence
        count = self._not_found[order_id] = self._not_found.get(order_id, 0) + 1
        forgotten = event.outcome is Outcome.FORGOTTEN
        if count < NOT_FOUND_TWICE or (order.venue_order_id and not forgotten):
            # It may not be visible yet; and one that was accepted cannot have vanished.
            return (self._ask_later(order_id, event),)
        self._not_found.pop(order_id)
        self._queries.pop(order_id, None)
        if forgotten:
            return self._forgotten(event, order)
        waiting = self._waiting.pop(order_id, None)
        if waiting is not None and (end := self._unwanted(order, event)) is not None:
            return self._emit(end)
        if waiting is not None and order_id not in self._submitted:
            return self._replace(waiting) if waiting.order.replaces else self._send(waiting)
        cause = self._doubted.pop(order_id, None)
        out = self._emit(self._refused(event, order, "NOT_AT_VENUE", "asked twice, never there"))
        return out if cause is None else self._explained(out, cause)

    def _forgotten(self, event: RequestFailed, order: Order) -> Events:
        """It ended so long ago that the venue does not say how; its fills are known."""
        cause = self._doubted.pop(order.client_order_id, self._cause)
        reason = f"{event.reason} {event.detail}"
        ended = OrderCanceled(
            *self._head(event, order), order.venue_order_id, order.filled_quantity, reason
        )
        return self._explained(self._emit(ended), cause)

    def _unknown(self, event: RequestFailed, order: Order) -> Events:
        detail = f"{event.request}: {event.reason} {event.detail}".strip()
        return (
            *self._emit(OrderUnknown(*self._head(event, order), detail)),
            self._ask_later(order.client_order_id, event),
        )

    # -- questions ---------------------------------------------------------------------------------

    def _ask(self, order_id: str, cause: Event) -> Event:
        order = self.orders.get(order_id)
        assert order is not None  # only known orders are asked for
        self._queries.setdefault(order_id, 1)
        symbol = self._symbols.get(order.instrument_id, "")
        return VenueQuery(cause.ts_event, cause.ts_recv, order_id, order.instrument_id, symbol)

    def _ask_later(self, order_id: str, cause: Event, at_ns: int = 0) -> SetTimer:
        """At `at_ns`; where that is 0, with back-off."""
        attempt = self._queries[order_id] = self._queries.get(order_id, 0) + 1
        delay = min(QUERY_CAP_NS, QUERY_FIRST_NS << min(attempt, 8))
        at_ns = at_ns or cause.ts_recv + delay
        return SetTimer(cause.ts_event, cause.ts_recv, f"query/{order_id}", at_ns)

    def _timer(self, event: TimerFired) -> Events:
        if event.key == PARKED_TIMER:
            return self._look_at_parked(event)
        if event.key == COMPARE_TIMER:
            return self._compare(event)
        kind, _, order_id = event.key.partition("/")
        order = self.orders.get(order_id)
        if kind == "expire" and order is not None:
            return self._expire(order, event)
        if kind != "query" or order is None:
            return ()
        if order.is_terminal and not order.missing_quantity:
            self._queries.pop(order_id, None)
            return ()
        return (self._ask(order_id, event),)
