"""What one may ask the ledger, and what it answers: request and reply over the bus.

Each query goes to its subject (`control.ledger.<name>`) and is answered with its struct, both by
`codec.encode_value`. A query that cannot be answered gets a `LedgerRefusal` instead.
Cursors are opaque; the newest comes first; `limit` is bounded by LIMIT_MAX.
"""

from decimal import Decimal

import msgspec

from tickbus import subjects
from tickbus.events.control import Balance
from tickbus.events.ledger import BalanceReport, EquityPoint
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


class OrdersQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Orders, newest first; empty filters match everything, `states` any of those named."""

    states: tuple[OrderState, ...] = ()
    strategy_id: str = ""
    venue: str = ""
    instrument_id: str = ""
    limit: int = 100
    cursor: str = ""


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


class PortfolioQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The whole account, valued now; an empty `venue` is all of them."""

    venue: str = ""


class EquityQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The newest `limit` points of the equity curve between two times (ns UTC, 0 is open)."""

    since_ns: int = 0
    until_ns: int = 0
    limit: int = LIMIT_MAX


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
    """One event of an order's life: its type, when, and what it said, as JSON text."""

    sequence: int
    kind: str
    ts_event: int
    ts_recv: int
    body: str


class OrderAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """One order, None when the ledger knows none of that id, and its events, oldest first."""

    order: Order | None
    steps: tuple[OrderStep, ...] = ()


class FillRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One fill with the order it belongs to."""

    client_order_id: str
    strategy_id: str
    venue: str
    instrument_id: str
    venue_order_id: str
    fill: Fill


class FillsAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """A page of fills; an empty `next_cursor` says that it is the last."""

    fills: tuple[FillRecord, ...]
    next_cursor: str = ""


class PortfolioAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """Positions, balances and their sums in `currency`, as of stream position `sequence`.

    `orders` and `fills` count everything in the books; `equity` is None while something held
    cannot be valued. `differences` lists where the venue reports another balance than the books.
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


class EquityAnswer(Answer, frozen=True, kw_only=True, tag=True):
    """Points of the equity curve in `currency`, oldest first."""

    currency: str
    points: tuple[EquityPoint, ...]
