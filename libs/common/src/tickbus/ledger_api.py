"""What one may ask the ledger, and what it answers: request and reply over the bus.

Each query goes to its subject (`control.ledger.<name>`) and is answered with its struct, both by
`codec.encode_value`. A query that cannot be answered gets a `LedgerRefusal` instead.
Cursors are opaque; the newest comes first; `limit` is bounded by LIMIT_MAX. Times are ns UTC, those
at `since_ns` and `until_ns` included; 0 is open.
"""

from decimal import Decimal

import msgspec

from tickbus import subjects
from tickbus.events.control import Balance
from tickbus.events.ledger import BalanceReport, EquityPoint, StrategyRecord
from tickbus.events.ledger import PositionRecord as PositionRecord  # noqa: PLC0414 - part of it
from tickbus.events.orders import Fill
from tickbus.order import Order, OrderState

LIMIT_MAX = 1_000
ZERO = Decimal(0)

ORDERS = subjects.ledger_query("orders")
ORDER = subjects.ledger_query("order")
FILLS = subjects.ledger_query("fills")
PORTFOLIO = subjects.ledger_query("portfolio")
EQUITY = subjects.ledger_query("equity")
POSTINGS = subjects.ledger_query("postings")
AUDIT = subjects.ledger_query("audit")
DENIALS = subjects.ledger_query("denials")
SERIES = subjects.ledger_query("series")
SESSION = subjects.ledger_query("session")
POINTS_MAX = 4_000
"""Points in one answer, over all its curves: it has to fit into one message."""


class OrdersQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Orders, newest first; empty filters match everything, `states` any of those named.

    The time of an order is when it was created.
    """

    states: tuple[OrderState, ...] = ()
    strategy_id: str = ""
    venue: str = ""
    instrument_id: str = ""
    limit: int = 100
    cursor: str = ""
    since_ns: int = 0
    until_ns: int = 0


class OrderQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One order, by our id or the venue's, with what happened to it."""

    client_order_id: str = ""
    venue_order_id: str = ""


class FillsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Fills, newest first; empty filters match everything."""

    client_order_id: str = ""
    strategy_id: str = ""
    venue: str = ""
    instrument_id: str = ""
    limit: int = 100
    cursor: str = ""
    since_ns: int = 0
    until_ns: int = 0


class PostingsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What moved balances, newest first; empty filters match everything."""

    asset: str = ""
    venue: str = ""
    strategy_id: str = ""
    instrument_id: str = ""
    cause: str = ""
    limit: int = 100
    cursor: str = ""
    since_ns: int = 0
    until_ns: int = 0


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of the audit log, newest first; empty filters match everything.

    `kind` is an event's type; the time of a row is when the event entered the platform.
    """

    kind: str = ""
    client_order_id: str = ""
    limit: int = 100
    cursor: str = ""
    since_ns: int = 0
    until_ns: int = 0


class PortfolioQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The whole account, valued now; an empty `venue` is all of them."""

    venue: str = ""


class EquityQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The newest `limit` points of the equity curve between two times.

    Of one strategy, where named: its net P&L.
    """

    since_ns: int = 0
    until_ns: int = 0
    limit: int = LIMIT_MAX
    strategy_id: str = ""


class DenialsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What risk refused, orders and cancels, newest first; empty filters match everything.

    The time of a denial is when the wish entered the platform.
    """

    reason: str = ""
    strategy_id: str = ""
    venue: str = ""
    instrument_id: str = ""
    limit: int = 100
    cursor: str = ""
    since_ns: int = 0
    until_ns: int = 0


class SeriesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Curves of the account, or of every strategy, between two times, ns UTC; 0 is open.

    With `in_session` from where the last session began. At most `points` in each curve, evenly
    spread: of every step its last point.
    """

    since_ns: int = 0
    until_ns: int = 0
    points: int = 500
    in_session: bool = False
    by_strategy: bool = False


class SessionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The session that is on."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The base of every answer; its tag tells a refusal from what was asked for."""


class LedgerRefusal(Answer, frozen=True, kw_only=True, tag=True):
    """Why a query was not answered; for people."""

    reason: str


class OrdersAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """A page of orders; an empty `next_cursor` says that it is the last."""

    orders: tuple[Order, ...]
    next_cursor: str = ""


class OrderStep(msgspec.Struct, frozen=True, kw_only=True):
    """One event of an order's life: its type, when, and what it said, as JSON text.

    `hops` is the way that led to it, JSON text: [service, received, sent] each, ns UTC.
    """

    sequence: int
    kind: str
    ts_event: int
    ts_recv: int
    body: str
    hops: str = "[]"


class OrderAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """One order, None when the ledger knows none of that id, and its events, oldest first."""

    order: Order | None
    steps: tuple[OrderStep, ...] = ()


class FillRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One fill with the order it belongs to.

    `fee_value` is what a fee in a third asset was worth in quote currency, where it was known.
    """

    client_order_id: str
    strategy_id: str
    venue: str
    instrument_id: str
    venue_order_id: str
    fill: Fill
    fee_value: Decimal | None = None


class FillsAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """A page of fills; an empty `next_cursor` says that it is the last."""

    fills: tuple[FillRecord, ...]
    next_cursor: str = ""


class PostingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a balance, why, and what was held after it.

    `account` is where the other side of it was written: trading, fees, funding, transfers, opening
    or adjustment. `reference` is the venue's id of the cause; a fill's is its fill id.
    """

    sequence: int
    line: int
    ts_event: int
    venue: str
    asset: str
    amount: Decimal
    balance: Decimal
    account: str
    cause: str
    reference: str
    instrument_id: str
    strategy_id: str
    client_order_id: str


class PostingsAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """A page of postings; an empty `next_cursor` says that it is the last."""

    postings: tuple[PostingRecord, ...]
    next_cursor: str = ""


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the audit log; `body` is JSON text, `hash` the chain's value there, in hex."""

    sequence: int
    kind: str
    client_order_id: str
    ts_event: int
    ts_recv: int
    body: str
    hash: str


class AuditAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """A page of the audit log; an empty `next_cursor` says that it is the last."""

    rows: tuple[AuditRow, ...]
    next_cursor: str = ""


class PortfolioAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """Positions, balances and their sums in `currency`, as of stream position `sequence`.

    `orders` and `fills` count everything in the books; `equity` is None while something held
    cannot be valued. `differences` lists where the venue reports another balance than the books.
    `funding` is positive when we received, and in `net_pnl`; `unvalued_fees` are in no P&L.
    `audit_head` anchors the audit log as `<sequence>:<hash>`.
    """

    currency: str
    positions: tuple[PositionRecord, ...]
    balances: dict[str, tuple[Balance, ...]]
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    net_pnl: Decimal
    equity: Decimal | None = None
    equity_peak: Decimal | None = None
    drawdown: Decimal = ZERO
    drawdown_max: Decimal = ZERO
    orders: int = 0
    working_orders: int = 0
    fills: int = 0
    sequence: int = 0
    ts: int = 0
    differences: tuple[BalanceReport, ...] = ()
    funding: Decimal = ZERO
    unvalued_fees: dict[str, Decimal] = {}
    strategies: tuple[StrategyRecord, ...] = ()
    audit_head: str = ""


class EquityAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """Points of the equity curve in `currency`, oldest first."""

    currency: str
    points: tuple[EquityPoint, ...]


class DenialRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One refusal by risk, of an order or of a cancel; `wish` is what was refused, as JSON text."""

    sequence: int
    ts_recv: int
    client_order_id: str
    strategy_id: str
    venue: str
    instrument_id: str
    reason: str
    detail: str
    is_cancel: bool
    wish: str


class DenialsAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """A page of refusals; an empty `next_cursor` says that it is the last."""

    denials: tuple[DenialRecord, ...]
    next_cursor: str = ""


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A session that somebody began; `sequence` is its place in the stream."""

    sequence: int
    ts_started: int
    actor: str
    reason: str


class SessionAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """The session that is on; None where nobody ever began one: all is one session then."""

    session: SessionRecord | None


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Points, oldest first, of the account ("") or of one strategy.

    `baseline` is the last point at or before the beginning: P&L of the span is measured from it.
    None where there is none: then everything happened within the span.
    """

    strategy_id: str
    baseline: EquityPoint | None
    points: tuple[EquityPoint, ...]


class SeriesAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """Curves in `currency` over a span, ns UTC, one point per `step_ns`."""

    currency: str
    since_ns: int
    until_ns: int
    step_ns: int
    curves: tuple[Curve, ...]
    session: SessionRecord | None = None
