"""The order path: wishes (intents), verdicts of risk, and what happened at the venue."""

from decimal import Decimal

import msgspec

from tickbus.events.access import UserActed
from tickbus.events.base import Event, Explanation, LiquiditySide, OrderType, Side, TimeInForce
from tickbus.events.control import Balance, VenuePosition
from tickbus.events.ledger import BalanceAdjusted, SessionStarted
from tickbus.events.lifecycle import StrategyChanged
from tickbus.events.risk import RiskAudit
from tickbus.events.strategy import Inputs

SMART_VENUE = "smart"
"""Orders for it are split over the real venues; its fills are those of the parts, told again."""


class SubmitOrder(Event, frozen=True):
    """A wish to place an order.

    `client_order_id` is derived (`<strategy_id>-<run_id>-<n>`), never drawn, so that a replayed
    decision carries the same id. `price` is None for those that trade at the market. `ts_event` and
    `ts_recv` are those of the event that caused the decision. `trigger_price` is for stops and
    take-profits, `expires_ns` (ns UTC) for GTD. `replaces` names the working order whose place this
    one takes: that one is cancelled first, and what it had filled counts towards `quantity`.
    `parent_id` names the order of which this one is a part. `inputs` is what the strategy decided
    on, see `Strategy.note`.
    """

    client_order_id: str
    strategy_id: str
    venue: str
    instrument_id: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    trigger_price: Decimal | None = None
    expires_ns: int = 0
    replaces: str = ""
    parent_id: str = ""
    inputs: Inputs = {}  # noqa: RUF012 - msgspec copies it


class CancelOrder(Event, frozen=True):
    """A wish to cancel one order; `command_id` makes a repeat of the wish recognisable."""

    command_id: str
    client_order_id: str
    strategy_id: str
    venue: str
    instrument_id: str


class CancelAllOrders(Event, frozen=True):
    """A wish to cancel every working order; an empty filter field matches everything.

    `wisher` is who wishes it, where that is not the strategy whose orders they are.
    """

    command_id: str
    venue: str = ""
    strategy_id: str = ""
    instrument_id: str = ""
    wisher: str = ""


class DenialReason(Explanation):
    """Why risk refused an order or a cancel: CATEGORY_CONDITION.

    The closed list; docs are made from it.
    """

    TRADING_HALTED = "TRADING_HALTED"
    TRADING_REDUCING_ONLY = "TRADING_REDUCING_ONLY"
    ORDER_ID_DUPLICATE = "ORDER_ID_DUPLICATE"
    ORDER_ID_INVALID = "ORDER_ID_INVALID"
    INSTRUMENT_UNKNOWN = "INSTRUMENT_UNKNOWN"
    INSTRUMENT_NOT_TRADING = "INSTRUMENT_NOT_TRADING"
    QUANTITY_NOT_POSITIVE = "QUANTITY_NOT_POSITIVE"
    QUANTITY_NOT_LOT_MULTIPLE = "QUANTITY_NOT_LOT_MULTIPLE"
    QUANTITY_BELOW_MIN = "QUANTITY_BELOW_MIN"
    QUANTITY_ABOVE_MAX = "QUANTITY_ABOVE_MAX"
    PRICE_MISSING = "PRICE_MISSING"
    PRICE_UNEXPECTED = "PRICE_UNEXPECTED"
    PRICE_NOT_POSITIVE = "PRICE_NOT_POSITIVE"
    PRICE_NOT_TICK_MULTIPLE = "PRICE_NOT_TICK_MULTIPLE"
    PRICE_OUT_OF_RANGE = "PRICE_OUT_OF_RANGE"
    PRICE_DEVIATION_ABOVE_MAX = "PRICE_DEVIATION_ABOVE_MAX"
    TRIGGER_PRICE_MISSING = "TRIGGER_PRICE_MISSING"
    TRIGGER_PRICE_UNEXPECTED = "TRIGGER_PRICE_UNEXPECTED"
    TRIGGER_PRICE_INVALID = "TRIGGER_PRICE_INVALID"
    TRIGGER_PRICE_REACHED = "TRIGGER_PRICE_REACHED"
    TIME_IN_FORCE_INVALID = "TIME_IN_FORCE_INVALID"
    EXPIRY_INVALID = "EXPIRY_INVALID"
    REPLACED_ORDER_NOT_WORKING = "REPLACED_ORDER_NOT_WORKING"
    REPLACED_ORDER_MISMATCH = "REPLACED_ORDER_MISMATCH"
    NOTIONAL_BELOW_MIN = "NOTIONAL_BELOW_MIN"
    NOTIONAL_ABOVE_MAX = "NOTIONAL_ABOVE_MAX"
    MARKET_DATA_MISSING = "MARKET_DATA_MISSING"
    MARKET_DATA_STALE = "MARKET_DATA_STALE"
    POSITION_ABOVE_MAX = "POSITION_ABOVE_MAX"
    ORDER_COUNT_ABOVE_MAX = "ORDER_COUNT_ABOVE_MAX"
    ORDER_RATE_ABOVE_MAX = "ORDER_RATE_ABOVE_MAX"
    STRATEGY_STOPPED = "STRATEGY_STOPPED"
    STRATEGY_HEARTBEAT_LOST = "STRATEGY_HEARTBEAT_LOST"
    GROSS_EXPOSURE_ABOVE_MAX = "GROSS_EXPOSURE_ABOVE_MAX"
    NET_EXPOSURE_ABOVE_MAX = "NET_EXPOSURE_ABOVE_MAX"
    BALANCE_UNKNOWN = "BALANCE_UNKNOWN"
    BALANCE_INSUFFICIENT = "BALANCE_INSUFFICIENT"
    SELF_TRADE = "SELF_TRADE"
    DAILY_LOSS_ABOVE_MAX = "DAILY_LOSS_ABOVE_MAX"
    DRAWDOWN_ABOVE_MAX = "DRAWDOWN_ABOVE_MAX"
    PROFIT_TARGET_REACHED = "PROFIT_TARGET_REACHED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    CANCEL_ORDER_UNKNOWN = "CANCEL_ORDER_UNKNOWN"
    CANCEL_NOT_OWNER = "CANCEL_NOT_OWNER"
    ORDERS_PER_FILL_ABOVE_MAX = "ORDERS_PER_FILL_ABOVE_MAX"

    @classmethod
    def vaguest(cls) -> "DenialReason":
        """What stands for a value of a newer version."""
        return cls.INTERNAL_ERROR


class OrderApproved(Event, frozen=True):
    """Risk let the order pass; the only event that makes execution send an order."""

    order: SubmitOrder


class CancelApproved(Event, frozen=True):
    """Risk let the cancel pass: whoever wished it may cancel that order."""

    cancel: CancelOrder


class OrderDenied(Event, frozen=True):
    """Risk refused the order; `detail` holds the limit and the value as `k=v` pairs."""

    order: SubmitOrder
    reason: DenialReason
    detail: str


class CancelDenied(Event, frozen=True):
    """Risk refused the cancel: the order is not the wisher's, or nobody knows it.

    `detail` holds the limit and the value as `k=v` pairs.
    """

    cancel: CancelOrder
    reason: DenialReason
    detail: str


class Fill(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One execution of one of our orders.

    `fee` is positive when we pay, in `fee_asset`; on spot venues a BUY usually pays in the base
    asset. Fills are de-duplicated by (venue, instrument_id, fill_id). `ts_event`: venue, ns UTC.
    `realized` is the profit that the venue settled with it in the account's balance, in quote
    currency and fees excluded, to the venue's last digit; None where it is not told, as on spot.
    """

    fill_id: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    liquidity_side: LiquiditySide
    ts_event: int
    realized: Decimal | None = None


class _AtVenue(Event, frozen=True):
    """What every report on an order at a venue carries."""

    client_order_id: str
    strategy_id: str
    venue: str
    instrument_id: str


class FoundOrder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the venue says of an order that nobody here asked for, as far as it says it.

    `price` is its limit; None where it has none, or where only its fills are known.
    """

    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None = None


class OrderSubmitted(_AtVenue, frozen=True):
    """The order is being sent; from here on silence means UNKNOWN, never rejected.

    With `found` nobody here asked for it: it was placed by hand, or by the venue itself, and has
    turned up at our account.
    """

    found: FoundOrder | None = None


class OrderReplaced(_AtVenue, frozen=True):
    """The order took the place of `replaced_id`, which is over; it is for `quantity` from now on.

    `quantity` is what was asked for less what the replaced order had filled. 0 when nothing was
    left: then the order is over, too, and was never sent.
    """

    replaced_id: str
    quantity: Decimal


class OrderAccepted(_AtVenue, frozen=True):
    """The venue has the order."""

    venue_order_id: str


class OrderRejected(_AtVenue, frozen=True):
    """The venue said no, or was never asked; `detail` holds its code and words, or the limit."""

    reason: str
    detail: str


class OrderFilled(_AtVenue, frozen=True):
    """The order filled, in part or in whole; quantities are cumulative after this fill."""

    venue_order_id: str
    fill: Fill
    filled_quantity: Decimal
    leaves_quantity: Decimal


class OrderCanceled(_AtVenue, frozen=True):
    """The venue took the rest of the order out of the book, at our wish or its own."""

    venue_order_id: str
    filled_quantity: Decimal
    reason: str = ""


class OrderExpired(_AtVenue, frozen=True):
    """The rest of the order ended by its own terms (IOC, FOK, self-trade prevention)."""

    venue_order_id: str
    filled_quantity: Decimal
    reason: str = ""


class CancelRejected(_AtVenue, frozen=True):
    """A cancel came too late or named an order that the venue does not know."""

    command_id: str
    reason: str
    detail: str


class OrderUnknown(_AtVenue, frozen=True):
    """The outcome of a request is not known (time-out, 5xx); it is being asked for."""

    detail: str


class BestExecution(_AtVenue, frozen=True):
    """How an order that was split over venues did against the one book of all of them.

    Prices are averages per unit of base with fees in, in quote currency; `benchmark` is what the
    quantity would have cost when the order came. `shortfall_bps` > 0: we did worse than that.
    """

    side: Side
    quantity: Decimal
    price: Decimal
    benchmark: Decimal
    shortfall_bps: Decimal
    rounds: int
    legs: int


class DifferenceKind(Explanation):
    """What comparing the account with our books found.

    BALANCE and POSITION are what nothing known explains: no event corrects them, a person has to.
    """

    ORDER_STATE = "ORDER_STATE"
    MISSED_FILL = "MISSED_FILL"
    EXTERNAL_ORDER = "EXTERNAL_ORDER"
    EXTERNAL_FILL = "EXTERNAL_FILL"
    MISSED_PAYMENT = "MISSED_PAYMENT"
    BALANCE = "BALANCE"
    POSITION = "POSITION"

    @classmethod
    def vaguest(cls) -> "DifferenceKind":
        """What stands for a value of a newer version."""
        return cls.BALANCE


class ReconciliationCause(Explanation):
    """Why the account was compared."""

    CONNECTED = "CONNECTED"
    PERIODIC = "PERIODIC"
    ASKED = "ASKED"

    @classmethod
    def vaguest(cls) -> "ReconciliationCause":
        """What stands for a value of a newer version."""
        return cls.PERIODIC


class DifferenceFound(_AtVenue, frozen=True):
    """The account was not what our books said; the event before it on the stream corrects that.

    `detail` names that event and what it says, as `k=v` pairs; of a balance or a position, which
    nothing corrects, what we expected and what the venue reports. What belongs to no order has an
    empty order id, what belongs to no instrument an empty instrument id.
    """

    kind: DifferenceKind
    cause: ReconciliationCause
    detail: str


class AccountReconciled(Event, frozen=True):
    """The account was compared: what was listed, what was asked about, how much differed.

    `asked` are working orders that the venue did not list; their answers come later, and may be
    further differences. `payments` is how many entries of the account's history of payments were
    looked at, `ts_payments` (venue, ns) until when it was.
    """

    venue: str
    cause: ReconciliationCause
    open_orders: int
    fills: int
    asked: int
    differences: int
    payments: int = 0
    ts_payments: int = 0


class AccountUpdated(Event, frozen=True):
    """Balances as the venue reports them; `complete` when it lists every asset of the account.

    `positions` are those of derivatives; where `complete`, one that is not listed is flat.
    """

    venue: str
    balances: tuple[Balance, ...]
    complete: bool
    positions: tuple[VenuePosition, ...] = ()


OrderIntent = SubmitOrder | CancelOrder | CancelAllOrders
OrderEvent = (
    OrderSubmitted
    | OrderReplaced
    | OrderAccepted
    | OrderRejected
    | OrderFilled
    | OrderCanceled
    | OrderExpired
    | CancelRejected
    | OrderUnknown
    | BestExecution
    | DifferenceFound
)
OrderPathEvent = (
    OrderIntent
    | OrderApproved
    | CancelApproved
    | OrderDenied
    | OrderEvent
    | CancelDenied
    | AccountUpdated
    | AccountReconciled
    | BalanceAdjusted
    | SessionStarted
)


def message_id(event: Event) -> str:
    """The `Nats-Msg-Id` under which a repeat of the same fact on the order path is recognised.

    Raises TypeError for an event that does not belong on the order path.
    """
    name = type(event).__name__
    match event:
        case SubmitOrder():
            return f"{name}:{event.client_order_id}"
        case OrderApproved() | OrderDenied():
            # One verdict per order: an intent judged again after a crash keeps its first verdict.
            return f"Verdict:{event.order.client_order_id}"
        case CancelOrder() | CancelAllOrders():
            return f"{name}:{event.command_id}"
        case CancelApproved() | CancelDenied():
            return f"{name}:{event.cancel.command_id}:{event.cancel.client_order_id}"
        case CancelRejected():
            return f"{name}:{event.command_id}:{event.client_order_id}"
        case OrderFilled():
            return f"{name}:{event.venue}:{event.instrument_id}:{event.fill.fill_id}"
        case OrderUnknown():
            return f"{name}:{event.client_order_id}:{event.ts_recv}"
        case DifferenceFound():
            return f"{name}:{event.client_order_id}:{event.ts_recv}:{event.kind}:{event.detail}"
        case AccountReconciled():
            return f"{name}:{event.venue}:{event.ts_recv}"
        case OrderAccepted():
            # Said again, after a time of not knowing, it is another fact.
            return f"{name}:{event.client_order_id}:{event.ts_event}"
        case _AtVenue():
            return f"{name}:{event.client_order_id}"
        case RiskAudit():
            return f"{name}:{event.scope}:{event.audit_id}"
        case StrategyChanged():
            return f"{name}:{event.strategy_id}:{event.revision}:{event.outcome}:{event.ts_recv}"
        case AccountUpdated():
            return f"{name}:{event.venue}:{event.ts_event}:{event.ts_recv}:{hash_of(event)}"
        case BalanceAdjusted():
            return f"{name}:{event.venue}:{event.cause}:{event.reference}"
        case UserActed():
            return f"{name}:{event.act_id}"
        case SessionStarted():
            return f"{name}:{event.ts_recv}"
    raise TypeError(f"{name} does not travel on the order path")


def hash_of(event: AccountUpdated) -> str:
    """A short stable digest of the balances, so that two reports at one instant stay apart."""
    text = ";".join(
        [f"{b.asset}={b.free}/{b.locked}" for b in event.balances]
        + [f"{p.instrument_id}={p.quantity}" for p in event.positions]
    )
    return f"{len(text)}-{_fnv1a(text.encode()):016x}"


def _fnv1a(data: bytes) -> int:
    # FNV-1a, 64 bit: a stable digest without importing a hash library into every core.
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
