"""Comparing the account with what we know: orders, fills, payments, balances, positions.

Each correction is followed by the difference that it corrects; what nothing corrects is a
difference by itself. `Reconciliation` is the part of the execution core that does it.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from tickbus.events import (
    AccountReconciled,
    AccountUpdated,
    BalanceAdjusted,
    DifferenceFound,
    DifferenceKind,
    Event,
    Fill,
    OrderAccepted,
    ReconciliationCause,
    SetTimer,
)
from tickbus.order import Order
from tickbus_execution.account_books import EVER, Unexplained
from tickbus_execution.differences import Findings, explained
from tickbus_execution.external import EXTERNAL
from tickbus_execution.memory import Memory
from tickbus_execution.venue import (
    AccountReport,
    ForeignFill,
    OrderReport,
    PaymentsReport,
    VenueReconcile,
    VenueSnapshot,
    VenueStatus,
)

ZERO = Decimal(0)
PARKED_NS = 3_000_000_000
"""For how long a fill of an order that the venue's id does not lead to waits for a better name."""
PARKED_TIMER = "parked fills"
COMPARE_NS = 1_000_000_000
COMPARE_TIMER = "compare balances"
Events = Sequence[Event]


class Parked(NamedTuple):
    """A fill of an order that is not known, since when (ns, ours), and how many looks ago."""

    since: int
    looks: int
    foreign: ForeignFill


class Reconciliation(Memory):
    """What looking at the account brings to light; see the module's first lines."""

    compares_balances = True
    """False where nobody but us moves the balances."""

    def __init__(self, venue: str) -> None:
        super().__init__(venue)
        self.findings = Findings()
        # Fills that wait for the name of their order, and since when.
        self._queries: dict[str, int] = {}
        self._parked: dict[tuple[str, str], Parked] = {}
        self._looks = 0
        # Working orders that the venue did not list, and why it had been asked for its list.
        self._doubted: dict[str, ReconciliationCause] = {}
        self._cause = ReconciliationCause.PERIODIC
        self._comparing = False

    @property
    def is_compared(self) -> bool:
        """Whether nothing is left of the last look: no question, no fill without a name."""
        last = self.findings.last
        waits = last is not None and self.books.waits(last.ts_recv)
        living = {order.client_order_id for order in self.orders.living()}
        return not (self._doubted.keys() & living or self._parked or waits)

    # -- what the rest of the core does ------------------------------------------------------------

    def _report(self, report: OrderReport) -> Events:
        raise NotImplementedError

    def _fill(self, order: Order, cause: Event, fill: Fill, venue_order_id: str) -> Events:
        raise NotImplementedError

    def _ask(self, order_id: str, cause: Event) -> Event:
        raise NotImplementedError

    # -- history -----------------------------------------------------------------------------------

    def _old_account(self, event: AccountUpdated) -> Events:
        if not self.ts_opened:
            self.ts_opened = event.ts_event
        self.books.open(event)
        return ()

    def _old_look(self, event: AccountReconciled) -> Events:
        self.ts_payments = max(self.ts_payments, event.ts_payments)
        return ()

    def _old_payment(self, event: BalanceAdjusted) -> Events:
        self.books.adjust(event)
        return ()

    # -- a look ------------------------------------------------------------------------------------

    def _reconcile(self, snapshot: VenueSnapshot) -> Events:
        out: list[Event] = []
        asked = 0
        heard = self._heard_since(snapshot)
        listed = set(heard)
        self._cause = snapshot.cause
        self._looks += 1
        for report in snapshot.open_orders:
            if self._name_of(report) not in heard:
                out += self._report(report)
            listed |= {report.client_order_id, self._name_of(report)}
        for foreign in snapshot.fills:
            out += self._foreign_fill(snapshot, foreign)
        for order in list(self.orders.working()):
            if order.client_order_id not in listed:
                questions = self._missing(order, snapshot)
                asked += len(questions)
                out += questions
                if questions:
                    self._doubted[order.client_order_id] = snapshot.cause
        out += self._payments(PaymentsReport(*_times(snapshot), snapshot.payments))
        self.ts_payments = max(self.ts_payments, snapshot.ts_payments)
        told = self._explained(out, snapshot.cause)
        compared = AccountReconciled(
            *_times(snapshot), self.venue, snapshot.cause, len(snapshot.open_orders),
            len(snapshot.fills), asked, len(told) - len(out), len(snapshot.payments),
            snapshot.ts_payments,
        )  # fmt: skip
        self.findings.end(compared)
        return [*told, compared]

    def _name_of(self, report: OrderReport) -> str:
        return self._by_venue_id.get(report.venue_order_id, report.client_order_id)

    def _heard_since(self, snapshot: VenueSnapshot) -> set[str]:
        """Orders that are known from later than the lists that `snapshot` was made of.

        Neither that these have one of them nor that they leave it out says anything of it.
        """
        if not snapshot.ts_asked or snapshot.cause is ReconciliationCause.CONNECTED:
            return set()  # nobody told anything meanwhile: the user stream waits for this look
        at = snapshot.ts_asked
        heard = {o.client_order_id for o in self.orders.working() if o.ts_updated > at}
        return heard - self._waiting.keys()

    def _explained(self, events: Iterable[Event], cause: ReconciliationCause) -> list[Event]:
        told = list(explained(events, cause))
        self.findings.note(told)
        return told

    def _missing(self, order: Order, cause: Event) -> Events:
        order_id = order.client_order_id
        to_ask = order_id in self._waiting and order_id not in self._queries
        sent = order.venue_order_id or order_id in self._submitted
        if not (to_ask or sent or order.strategy_id == EXTERNAL):
            return ()  # approved a moment ago and not sent yet, or waiting for its own answer
        return (self._ask(order_id, cause),)

    def _foreign_fill(self, cause: Event, foreign: ForeignFill) -> Events:
        known = self._by_venue_id.get(foreign.venue_order_id)
        order = self.orders.get(known) if known else None
        if order is not None:
            return self._fill(order, cause, foreign.fill, foreign.venue_order_id)
        # It names its order by the venue's id alone. It may be ours, of which the venue's id is
        # still on its way; booked as somebody else's, ours would stay open for ever.
        waited = bool(self._parked)
        key = (foreign.instrument_id, foreign.fill.fill_id)
        self._parked.setdefault(key, Parked(cause.ts_recv, self._looks, foreign))
        # Setting the timer again would put it off with each look.
        return () if waited else (self._look_at_parked_later(cause),)

    def _look_at_parked_later(self, cause: Event) -> SetTimer:
        return SetTimer(*_times(cause), PARKED_TIMER, cause.ts_recv + PARKED_NS)

    def _look_at_parked(self, cause: Event) -> Events:
        out: list[Event] = []
        living = list(self.orders.living())
        nameless = {order.instrument_id for order in living if not order.venue_order_id}
        # What a conditional order becomes may have another id; a look tells whose that is.
        renamed = {order.instrument_id for order in living if order.order_type.has_trigger}
        look = False
        for key, parked in list(self._parked.items()):
            since, looks, foreign = parked
            name = foreign.instrument_id
            order = self.orders.get(self._by_venue_id.get(foreign.venue_order_id, ""))
            if order is not None:
                out += self._fill(order, cause, foreign.fill, foreign.venue_order_id)
                self._parked.pop(key, None)
            elif name in nameless or cause.ts_recv < since + PARKED_NS:
                continue
            elif name in renamed and looks == self._looks:
                look = True
            else:
                found = self._external_fill(cause, foreign, self._parked_of(foreign))
                out += self._explained(found, ReconciliationCause.PERIODIC)
                self._parked.pop(key, None)
        out += [VenueReconcile(*_times(cause))] if look else []
        return [*out, self._look_at_parked_later(cause)] if self._parked else out

    def _parked_of(self, foreign: ForeignFill) -> Decimal:
        """How much is known to have been filled of the order of `foreign`, with it."""
        name = (foreign.instrument_id, foreign.venue_order_id)
        waiting = (parked.foreign for parked in self._parked.values())
        same = (one for one in waiting if (one.instrument_id, one.venue_order_id) == name)
        return sum((one.fill.quantity for one in same), ZERO)

    def _external_fill(self, cause: Event, foreign: ForeignFill, quantity: Decimal) -> Events:
        """The order that traded `quantity` while nobody listened, and the first of its fills."""
        out: list[Event] = []
        report = OrderReport(
            cause.ts_event, cause.ts_recv, "", foreign.instrument_id, foreign.venue_order_id,
            VenueStatus.FILLED, foreign.fill.side, quantity, quantity,
        )  # fmt: skip
        order = self._find_or_adopt(report, out)
        out += self._emit(OrderAccepted(*self._head(cause, order), foreign.venue_order_id))
        out += self._fill(order, cause, foreign.fill, foreign.venue_order_id)
        return out

    # -- money -------------------------------------------------------------------------------------

    def _payments(self, report: PaymentsReport) -> Events:
        out: list[Event] = []
        for payment in report.payments:
            adjusted = BalanceAdjusted(
                payment.ts_event, report.ts_recv, self.venue, payment.asset, payment.amount,
                payment.cause, payment.reference, payment.instrument_id, payment.detail,
            )  # fmt: skip
            if self.books.adjust(adjusted):
                out.append(adjusted)
        return out

    def _account(self, event: AccountReport) -> Events:
        if not self.ts_opened:
            self.ts_opened = event.ts_event
        updated = AccountUpdated(
            *_times(event), self.venue, event.balances, event.complete, event.positions
        )
        compares = self.compares_balances and self.books.report(event)
        if not compares or (self._comparing and not event.complete):
            return (updated,)
        return (updated, *self._compare(event))

    def _compare(self, cause: Event) -> Events:
        """Say what differs; a timer comes back to what may still be explained."""
        found, look = self.books.settle(cause.ts_recv)
        told = {each.name: self._unexplained(cause, each) for each in found}
        out: list[Event] = list(told.values())
        self.findings.note(out)
        standing = self.findings.standing | told
        self.findings.standing = {n: standing[n] for n in self.books.unexplained if n in standing}
        if look:
            out.append(VenueReconcile(*_times(cause)))
        self._comparing = look or self.books.waits(EVER)
        if self._comparing:
            at_ns = cause.ts_recv + COMPARE_NS
            out.append(SetTimer(*_times(cause), COMPARE_TIMER, at_ns))
        return out

    def _unexplained(self, cause: Event, found: Unexplained) -> DifferenceFound:
        is_position = "-" in found.name
        kind = DifferenceKind.POSITION if is_position else DifferenceKind.BALANCE
        asset = "" if is_position else f"asset={found.name} "
        return DifferenceFound(
            *_times(cause), "", EXTERNAL, self.venue, found.name if is_position else "", kind,
            self._cause, f"{asset}expected={found.expected:f} reported={found.reported:f}",
        )  # fmt: skip


def _times(event: Event) -> tuple[int, int]:
    return event.ts_event, event.ts_recv
