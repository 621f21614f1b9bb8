"""What passes between the execution core and what plays the venue: a gateway or the paper venue.

Requests go out as the core's outputs, reports come back as its inputs. A report says what the venue
said; what it means for an order is the core's affair.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from tickbus.events import (
    AdjustmentCause,
    Balance,
    CancelOrder,
    Event,
    Fill,
    OrderType,
    ReconciliationCause,
    Side,
    SubmitOrder,
    VenuePosition,
)


class VenueSubmit(Event, frozen=True):
    """Send this order."""

    order: SubmitOrder
    symbol: str


class VenueCancel(Event, frozen=True):
    """Cancel this order."""

    cancel: CancelOrder
    symbol: str


class VenueQuery(Event, frozen=True):
    """Ask what became of an order, with its fills."""

    client_order_id: str
    instrument_id: str
    symbol: str


class VenueReconcile(Event, frozen=True):
    """Look at the account soon: what the venue reports is not what we know."""


class Alarm(Event, frozen=True):
    """What people must be told at once; `kind` is the name under which it is counted."""

    kind: str
    detail: str


class VenueStatus(StrEnum):
    """An order's state in the venue's words."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class OrderReport(Event, frozen=True):
    """What the venue says of one order: in an answer, on the user stream, or when asked.

    `fills` are those that this report carries, not all there ever were; `filled_quantity` is
    cumulative. `order_type` and `price` (its limit) are of use only where nobody here asked for it.
    """

    client_order_id: str
    instrument_id: str
    venue_order_id: str
    status: VenueStatus
    side: Side
    quantity: Decimal
    filled_quantity: Decimal
    fills: tuple[Fill, ...] = ()
    reason: str = ""
    order_type: OrderType | None = None
    price: Decimal | None = None


class Outcome(StrEnum):
    """What a failed request means: the venue said no, nobody knows, or there is no such order.

    NOT_FOUND_YET: the venue knows of none, but one that is on its way could still arrive.
    FORGOTTEN: there is none any more, because of its age; nothing says that it still works.
    """

    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"
    NOT_FOUND_YET = "NOT_FOUND_YET"
    NOT_FOUND = "NOT_FOUND"
    FORGOTTEN = "FORGOTTEN"


class Request(StrEnum):
    """Which request failed."""

    SUBMIT = "SUBMIT"
    CANCEL = "CANCEL"
    QUERY = "QUERY"


class RequestFailed(Event, frozen=True):
    """A request that did not do what it asked for; `detail` holds the venue's code and words.

    `again_ns`: before then (ours, ns UTC) to ask again would tell nothing new; 0 where it may.
    """

    request: Request
    outcome: Outcome
    client_order_id: str
    instrument_id: str
    reason: str
    detail: str
    command_id: str = ""
    again_ns: int = 0


class AccountReport(Event, frozen=True):
    """Balances; `complete` when it lists every asset.

    `positions` of derivatives, as far as the report names them; `reason` in the venue's words,
    where it gives one (`FUNDING_FEE`, `MARGIN_TRANSFER`).
    """

    balances: tuple[Balance, ...]
    complete: bool
    positions: tuple[VenuePosition, ...] = ()
    reason: str = ""


class ForeignFill(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A fill found in the account's history, with the order it belongs to in the venue's ids."""

    instrument_id: str
    venue_order_id: str
    fill: Fill


class Payment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What moved a balance and was no fill; the fields are those of `BalanceAdjusted`.

    `ts_event` is the venue's, ns UTC; the same payment found again has the same `reference`.
    """

    ts_event: int
    asset: str
    amount: Decimal
    cause: AdjustmentCause
    reference: str
    instrument_id: str = ""
    detail: str = ""


class PaymentsReport(Event, frozen=True):
    """Payments, told by the user stream or found because it spoke of some."""

    payments: tuple[Payment, ...]


class SymbolLearned(Event, frozen=True):
    """The account has to do with an instrument that is not configured; this is its symbol."""

    instrument_id: str
    symbol: str


class VenueSnapshot(Event, frozen=True):
    """The account as it stands: working orders and the fills since the last one we knew of.

    `payments` are those since the last look; they were looked at until `ts_payments` (venue, ns).
    What became of an order after `ts_asked` (ns, ours; 0: nothing can have) may not be in it.
    """

    open_orders: tuple[OrderReport, ...]
    fills: tuple[ForeignFill, ...]
    cause: ReconciliationCause = ReconciliationCause.PERIODIC
    payments: tuple[Payment, ...] = ()
    ts_payments: int = 0
    ts_asked: int = 0


class VenueLost(Event, frozen=True):
    """The venue cannot be reached; what was under way is unknown until the next snapshot."""

    reason: str


Reports = (
    OrderReport
    | RequestFailed
    | AccountReport
    | PaymentsReport
    | SymbolLearned
    | VenueSnapshot
    | VenueLost
)
"""What a gateway gives the core."""
