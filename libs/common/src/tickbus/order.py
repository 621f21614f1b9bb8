"""An order's whole life as one table: what happened so far, folded from the order path.

Everything that decides an order's state is in `TRANSITIONS`; a pair that is not there changes
nothing. Reports may come late, twice or out of order: fills are counted once per `fill_id`, and no
report but a fill moves an order that has ended.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext
from enum import StrEnum

import msgspec

from tickbus.events.base import Event, OrderType, Side, TimeInForce
from tickbus.events.orders import (
    CancelApproved,
    CancelDenied,
    CancelRejected,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderUnknown,
    SubmitOrder,
)

ZERO = Decimal(0)
CLOSED_ORDERS_MAX = 10_000


class OrderState(StrEnum):
    """Where an order is; "on its way" and "nobody knows" are states, not flags."""

    PENDING_RISK = "PENDING_RISK"
    PENDING_NEW = "PENDING_NEW"
    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_REPLACE = "PENDING_REPLACE"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    DENIED = "DENIED"


class Cause(StrEnum):
    """What moves an order: its events, with the fill that completes it told from the others."""

    APPROVED = "APPROVED"
    DENIED = "DENIED"
    SUBMITTED = "SUBMITTED"
    UNKNOWN = "UNKNOWN"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    PARTIAL_FILL = "PARTIAL_FILL"
    LAST_FILL = "LAST_FILL"
    CANCEL_APPROVED = "CANCEL_APPROVED"
    CANCEL_REJECTED = "CANCEL_REJECTED"
    REPLACE_APPROVED = "REPLACE_APPROVED"
    NOTHING_LEFT = "NOTHING_LEFT"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


TERMINAL = frozenset(
    {
        OrderState.FILLED,
        OrderState.CANCELED,
        OrderState.REJECTED,
        OrderState.EXPIRED,
        OrderState.DENIED,
    }
)
WORKING = frozenset(OrderState) - TERMINAL - {OrderState.PENDING_RISK}
"""States in which the order may trade at the venue, as far as anybody knows."""

S, C = OrderState, Cause

TRANSITIONS: dict[tuple[OrderState, Cause], OrderState] = {
    # Wanted, and risk has not spoken. Reports of the venue imply the approval that was not seen.
    (S.PENDING_RISK, C.APPROVED): S.PENDING_NEW,
    (S.PENDING_RISK, C.DENIED): S.DENIED,
    (S.PENDING_RISK, C.SUBMITTED): S.PENDING_NEW,
    (S.PENDING_RISK, C.UNKNOWN): S.UNKNOWN,
    (S.PENDING_RISK, C.ACCEPTED): S.OPEN,
    (S.PENDING_RISK, C.REJECTED): S.REJECTED,
    (S.PENDING_RISK, C.PARTIAL_FILL): S.PARTIALLY_FILLED,
    (S.PENDING_RISK, C.LAST_FILL): S.FILLED,
    (S.PENDING_RISK, C.CANCELED): S.CANCELED,
    (S.PENDING_RISK, C.EXPIRED): S.EXPIRED,
    # On its way to the venue.
    (S.PENDING_NEW, C.UNKNOWN): S.UNKNOWN,  # the request timed out: silence is not a rejection
    (S.PENDING_NEW, C.ACCEPTED): S.OPEN,
    (S.PENDING_NEW, C.REJECTED): S.REJECTED,
    (S.PENDING_NEW, C.PARTIAL_FILL): S.PARTIALLY_FILLED,  # the stream overtook the response
    (S.PENDING_NEW, C.LAST_FILL): S.FILLED,  # a market order is often filled before it is accepted
    (S.PENDING_NEW, C.CANCEL_APPROVED): S.PENDING_CANCEL,  # the cancel is sent right behind it
    (S.PENDING_NEW, C.REPLACE_APPROVED): S.PENDING_REPLACE,
    (S.PENDING_NEW, C.NOTHING_LEFT): S.CANCELED,  # the order it replaces was filled first
    (S.PENDING_NEW, C.CANCELED): S.CANCELED,  # the acceptance is late or lost
    (S.PENDING_NEW, C.EXPIRED): S.EXPIRED,  # IOC and FOK end in the response that accepts them
    # Nobody knows; the venue is being asked.
    (S.UNKNOWN, C.ACCEPTED): S.OPEN,  # the venue has it after all
    (S.UNKNOWN, C.REJECTED): S.REJECTED,  # the venue has no such order
    (S.UNKNOWN, C.PARTIAL_FILL): S.PARTIALLY_FILLED,
    (S.UNKNOWN, C.LAST_FILL): S.FILLED,
    (S.UNKNOWN, C.CANCEL_APPROVED): S.PENDING_CANCEL,
    (S.UNKNOWN, C.REPLACE_APPROVED): S.PENDING_REPLACE,
    (S.UNKNOWN, C.CANCEL_REJECTED): S.OPEN,  # a cancel's time-out resolved: see `_settle`
    (S.UNKNOWN, C.CANCELED): S.CANCELED,
    (S.UNKNOWN, C.EXPIRED): S.EXPIRED,
    # In the book.
    (S.OPEN, C.UNKNOWN): S.UNKNOWN,  # a cancel timed out: it may or may not have reached the venue
    (S.OPEN, C.PARTIAL_FILL): S.PARTIALLY_FILLED,
    (S.OPEN, C.LAST_FILL): S.FILLED,
    (S.OPEN, C.CANCEL_APPROVED): S.PENDING_CANCEL,
    (S.OPEN, C.REPLACE_APPROVED): S.PENDING_REPLACE,
    (S.OPEN, C.CANCELED): S.CANCELED,  # by the venue itself, or our cancel seen at the venue first
    (S.OPEN, C.EXPIRED): S.EXPIRED,  # self-trade prevention takes resting orders too
    (S.PARTIALLY_FILLED, C.UNKNOWN): S.UNKNOWN,
    (S.PARTIALLY_FILLED, C.LAST_FILL): S.FILLED,
    (S.PARTIALLY_FILLED, C.CANCEL_APPROVED): S.PENDING_CANCEL,
    (S.PARTIALLY_FILLED, C.REPLACE_APPROVED): S.PENDING_REPLACE,
    (S.PARTIALLY_FILLED, C.CANCELED): S.CANCELED,
    (S.PARTIALLY_FILLED, C.EXPIRED): S.EXPIRED,
    # A cancel is on its way; it may lose every race.
    (S.PENDING_CANCEL, C.UNKNOWN): S.UNKNOWN,
    (S.PENDING_CANCEL, C.REJECTED): S.REJECTED,  # cancelled on its way, and then refused
    (S.PENDING_CANCEL, C.LAST_FILL): S.FILLED,  # the fill won
    (S.PENDING_CANCEL, C.CANCEL_REJECTED): S.OPEN,  # too late or unknown: see `_settle`
    (S.PENDING_CANCEL, C.NOTHING_LEFT): S.CANCELED,  # it never left, and now never will
    (S.PENDING_CANCEL, C.CANCELED): S.CANCELED,
    (S.PENDING_CANCEL, C.EXPIRED): S.EXPIRED,
    # Another order takes its place: the cancel is on its way, the other follows when it is over.
    (S.PENDING_REPLACE, C.UNKNOWN): S.UNKNOWN,
    (S.PENDING_REPLACE, C.REJECTED): S.REJECTED,
    (S.PENDING_REPLACE, C.LAST_FILL): S.FILLED,
    (S.PENDING_REPLACE, C.CANCEL_APPROVED): S.PENDING_CANCEL,
    (S.PENDING_REPLACE, C.CANCEL_REJECTED): S.OPEN,
    (S.PENDING_REPLACE, C.NOTHING_LEFT): S.CANCELED,
    (S.PENDING_REPLACE, C.CANCELED): S.CANCELED,
    (S.PENDING_REPLACE, C.EXPIRED): S.EXPIRED,
    # Over. A fill that happened before the end may be reported after it; the one that completes
    # the order says what really became of it.
    (S.CANCELED, C.LAST_FILL): S.FILLED,
    (S.EXPIRED, C.LAST_FILL): S.FILLED,
    (S.REJECTED, C.LAST_FILL): S.FILLED,  # refused as a duplicate, while the first one traded
    (S.DENIED, C.LAST_FILL): S.FILLED,  # cannot happen unless somebody went around risk
}

_CAUSES: dict[type, Cause] = {
    OrderApproved: C.APPROVED,
    OrderDenied: C.DENIED,
    OrderSubmitted: C.SUBMITTED,
    OrderUnknown: C.UNKNOWN,
    OrderAccepted: C.ACCEPTED,
    OrderRejected: C.REJECTED,
    OrderFilled: C.PARTIAL_FILL,
    OrderReplaced: C.NOTHING_LEFT,
    CancelApproved: C.CANCEL_APPROVED,
    CancelRejected: C.CANCEL_REJECTED,
    OrderCanceled: C.CANCELED,
    OrderExpired: C.EXPIRED,
}


class Order(msgspec.Struct, kw_only=True):
    """One of our orders, as far as it is known; changed only by `apply`.

    `filled_quantity` and `filled_notional` (quote currency) are sums over the fills seen,
    `reported_quantity` is the most that the venue said was filled. `fees` are by asset, positive
    when we pay. `reason` and `detail` say why it was refused or ended. Times are ns UTC.
    """

    client_order_id: str
    strategy_id: str
    venue: str
    instrument_id: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    trigger_price: Decimal | None = None
    expires_ns: int = 0
    replaces: str = ""
    parent_id: str = ""
    state: OrderState = OrderState.PENDING_RISK
    venue_order_id: str = ""
    filled_quantity: Decimal = ZERO
    filled_notional: Decimal = ZERO
    reported_quantity: Decimal = ZERO
    fees: dict[str, Decimal] = {}
    fill_ids: set[str] = set()
    reason: str = ""
    detail: str = ""
    ts_created: int
    ts_updated: int

    @classmethod
    def from_submit(
        cls, submit: SubmitOrder, state: OrderState = OrderState.PENDING_RISK
    ) -> "Order":
        """The order that `submit` asks for."""
        return cls(
            client_order_id=submit.client_order_id,
            strategy_id=submit.strategy_id,
            venue=submit.venue,
            instrument_id=submit.instrument_id,
            side=submit.side,
            order_type=submit.order_type,
            quantity=submit.quantity,
            price=submit.price,
            time_in_force=submit.time_in_force,
            post_only=submit.post_only,
            reduce_only=submit.reduce_only,
            trigger_price=submit.trigger_price,
            expires_ns=submit.expires_ns,
            replaces=submit.replaces,
            parent_id=submit.parent_id,
            state=state,
            ts_created=submit.ts_recv,
            ts_updated=submit.ts_recv,
        )

    @classmethod
    def from_found(cls, event: OrderSubmitted) -> "Order | None":
        """The order that `event` found at the account; None where we had asked for it."""
        found = event.found
        if found is None:
            return None
        return cls(
            client_order_id=event.client_order_id,
            strategy_id=event.strategy_id,
            venue=event.venue,
            instrument_id=event.instrument_id,
            side=found.side,
            order_type=found.order_type,
            quantity=found.quantity,
            price=found.price,
            state=OrderState.PENDING_NEW,
            ts_created=event.ts_event,
            ts_updated=event.ts_recv,
        )

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended (late fills may still be reported)."""
        return self.state in TERMINAL

    @property
    def is_working(self) -> bool:
        """Whether it may trade: approved and not known to have ended."""
        return self.state in WORKING

    @property
    def leaves_quantity(self) -> Decimal:
        """What may still be filled; 0 once it has ended.

        While it lives, filled + leaves = quantity, unless the venue filled more than was asked for.
        """
        return ZERO if self.state in TERMINAL else max(ZERO, self.quantity - self.filled_quantity)

    @property
    def missing_quantity(self) -> Decimal:
        """What the venue says was filled and no fill told us of; 0 when the story is complete."""
        return max(ZERO, self.reported_quantity - self.filled_quantity)

    @property
    def is_overfilled(self) -> bool:
        """Whether more was filled than was asked for: a bug of the venue or of ours."""
        return self.filled_quantity > self.quantity

    @property
    def avg_fill_price(self) -> Decimal | None:
        """Average price of the fills seen, fees excluded; None before the first."""
        return self.filled_notional / self.filled_quantity if self.filled_quantity else None

    def apply(self, event: Event) -> "Order | None":
        """Take in an event that names this order; None when it changed nothing, else the order."""
        cause = _CAUSES.get(type(event))
        if cause is None:
            return None
        if isinstance(event, OrderFilled):
            if event.fill.fill_id in self.fill_ids:
                return None
            cause = self._count(event)
        elif isinstance(event, OrderApproved) and event.order.replaces == self.client_order_id:
            cause = C.REPLACE_APPROVED
        elif isinstance(event, OrderReplaced):
            return self._take_place(event)
        before = (self.state, self.venue_order_id, self.reported_quantity)
        self._note(event)
        target = TRANSITIONS.get((self.state, cause))
        if target is not None:
            self.state = self._settle(target, cause)
            self._explain(event)
        after = (self.state, self.venue_order_id, self.reported_quantity)
        if after == before and not isinstance(event, OrderFilled):
            return None
        self.ts_updated = max(self.ts_updated, event.ts_recv)
        return self

    def _count(self, event: OrderFilled) -> Cause:
        fill = event.fill
        self.fill_ids.add(fill.fill_id)
        with localcontext(prec=60):
            self.filled_quantity += fill.quantity
            self.filled_notional += fill.price * fill.quantity
            if fill.fee:
                self.fees[fill.fee_asset] = self.fees.get(fill.fee_asset, ZERO) + fill.fee
        # The venue's own count also decides: its last fill may overtake an earlier one.
        filled = max(self.filled_quantity, event.filled_quantity, self.reported_quantity)
        return Cause.LAST_FILL if filled >= self.quantity else Cause.PARTIAL_FILL

    def _take_place(self, event: OrderReplaced) -> "Order | None":
        if self.venue_order_id or self.is_terminal or self.quantity == event.quantity:
            return None  # told before, or of no consequence any more
        if event.quantity:
            self.quantity = event.quantity
        else:
            self.state = TRANSITIONS.get((self.state, C.NOTHING_LEFT), self.state)
            self.reason = f"{event.replaced_id} was filled first"
        self.ts_updated = max(self.ts_updated, event.ts_recv)
        return self

    def _note(self, event: Event) -> None:
        if isinstance(event, OrderFilled | OrderCanceled | OrderExpired):
            self.reported_quantity = max(self.reported_quantity, event.filled_quantity)
        if isinstance(event, OrderAccepted | OrderFilled | OrderCanceled | OrderExpired):
            self.venue_order_id = event.venue_order_id or self.venue_order_id

    def _settle(self, target: OrderState, cause: Cause) -> OrderState:
        # The one thing the table cannot say: "in the book" depends on what was filled, and after a
        # refused cancel on whether the venue ever confirmed the order.
        if target is OrderState.OPEN:
            if self.filled_quantity:
                return OrderState.PARTIALLY_FILLED
            if cause is Cause.CANCEL_REJECTED and not self.venue_order_id:
                return OrderState.UNKNOWN
        return target

    def _explain(self, event: Event) -> None:
        match event:
            case OrderRejected() | OrderDenied():
                self.reason, self.detail = str(event.reason), event.detail
            case OrderCanceled() | OrderExpired():
                self.reason = event.reason
            case OrderUnknown():
                self.detail = event.detail


def client_order_id_of(event: Event) -> str:
    """The order that an event of the order path speaks of; "" when it speaks of none."""
    match event:
        case OrderApproved() | OrderDenied():
            return event.order.client_order_id
        case CancelApproved() | CancelDenied():
            return event.cancel.client_order_id
    return getattr(event, "client_order_id", "")


class Orders:
    """Every living order and the most recent closed ones, folded from the order path.

    At most `closed_max` ended orders are kept, the oldest forgotten first; a report on a forgotten
    or foreign order is not an error, it only finds no order here.
    """

    def __init__(self, closed_max: int = CLOSED_ORDERS_MAX) -> None:
        self._closed_max = closed_max
        self._living: dict[str, Order] = {}
        self._closed: dict[str, Order] = {}

    def __len__(self) -> int:
        return len(self._living) + len(self._closed)

    def __contains__(self, client_order_id: str) -> bool:
        return client_order_id in self._living or client_order_id in self._closed

    def __iter__(self) -> Iterator[Order]:
        yield from self._closed.values()
        yield from self._living.values()

    def get(self, client_order_id: str) -> Order | None:
        """The order, or None when it is not (or no longer) known."""
        return self._living.get(client_order_id) or self._closed.get(client_order_id)

    def living(self) -> Iterator[Order]:
        """Orders that have not ended, oldest first. Do not fold while iterating."""
        return iter(self._living.values())

    def working(self) -> Iterator[Order]:
        """Orders that may trade, oldest first. Do not fold while iterating."""
        return (order for order in self._living.values() if order.is_working)

    def add(self, order: Order) -> None:
        """Take in an order from elsewhere, such as a database; replaces one with the same id."""
        self._living.pop(order.client_order_id, None)
        self._closed.pop(order.client_order_id, None)
        self._keep(order)

    def pop(self, client_order_id: str) -> Order | None:
        """Forget the order; None when it was not known."""
        living = self._living.pop(client_order_id, None)
        return living or self._closed.pop(client_order_id, None)

    def fold(self, event: Event) -> Order | None:
        """The order that `event` changed (or created), None when it changed nothing known.

        SubmitOrder, OrderApproved and OrderDenied create an order that is not known yet. The
        approval of one that replaces another changes that one, too (PENDING_REPLACE).
        """
        if isinstance(event, SubmitOrder):
            return None if event.client_order_id in self else self._create(event)
        client_order_id = client_order_id_of(event)
        order = self.get(client_order_id)
        if order is None:
            if not isinstance(event, OrderApproved | OrderDenied):
                return None
            order = self._create(event.order)
        changed = order.apply(event)
        if isinstance(event, OrderApproved) and event.order.replaces in self._living:
            self._living[event.order.replaces].apply(event)
        if changed is not None and order.is_terminal and client_order_id in self._living:
            del self._living[client_order_id]
            self._keep(order)
        return changed

    def snapshot(self) -> list[Order]:
        """Every order, the closed ones first, each part in its order; the orders themselves."""
        return list(self)

    def restore(self, orders: Sequence[Order]) -> None:
        """Take over what `snapshot` gave."""
        self._living.clear()
        self._closed.clear()
        for order in orders:
            self._keep(order)

    def _create(self, submit: SubmitOrder) -> Order:
        order = self._living[submit.client_order_id] = Order.from_submit(submit)
        return order

    def _keep(self, order: Order) -> None:
        if not order.is_terminal:
            self._living[order.client_order_id] = order
            return
        self._closed[order.client_order_id] = order
        while len(self._closed) > self._closed_max:
            del self._closed[next(iter(self._closed))]
