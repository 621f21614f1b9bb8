"""Answers about what is held, made and lost, and why."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from tickbus_client.answers.base import Answer, Page


class Position(Answer, frozen=True, kw_only=True):
    """One position, long above 0, valued at `mark`; P&L in quote currency.

    Fees are only in `net_pnl`. `reported` is what the venue says of a derivative's quantity;
    `difference` needs a person.
    """

    symbol: str
    instrument_id: str
    venue: str
    quantity: Decimal
    avg_entry_price: Decimal | None
    mark: Decimal | None
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    net_pnl: Decimal
    fills: int
    updated_at: datetime | None
    reported: Decimal | None
    difference: Decimal | None


class StrategyBooks(Answer, frozen=True, kw_only=True):
    """One strategy's positions and sums, in the account's currency."""

    strategy: str
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    funding: Decimal
    net_pnl: Decimal
    drawdown: Decimal
    drawdown_max: Decimal
    fills: int
    positions: tuple[Position, ...]


class Balance(Answer, frozen=True, kw_only=True):
    """What an account at `venue` holds of one asset."""

    venue: str
    asset: str
    free: Decimal
    locked: Decimal
    total: Decimal


class Difference(Answer, frozen=True, kw_only=True):
    """Where books and venue disagree: `difference` = reported - amount.

    Of a position `instrument_id` is set and `asset` is empty.
    """

    venue: str
    asset: str
    amount: Decimal
    reported: Decimal | None
    difference: Decimal | None
    instrument_id: str = ""


class Portfolio(Answer, frozen=True, kw_only=True):
    """The whole account, valued now, in `currency`.

    `net_pnl` = realized + unrealized - fees + funding; `unvalued_fees` are in no P&L. `audit_head`
    anchors the audit log.
    """

    currency: str
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    net_pnl: Decimal
    equity: Decimal | None
    equity_peak: Decimal | None
    drawdown: Decimal
    drawdown_max: Decimal
    orders: int
    working_orders: int
    fills: int
    updated_at: datetime | None
    positions: tuple[Position, ...]
    balances: tuple[Balance, ...]
    differences: tuple[Difference, ...]
    funding: Decimal
    unvalued_fees: dict[str, Decimal]
    strategies: tuple[StrategyBooks, ...]
    audit_head: str


class Posting(Answer, frozen=True, kw_only=True):
    """One change of a balance: why (`cause`, `reference`), and what was held after it."""

    sequence: int
    at: datetime | None
    venue: str
    asset: str
    amount: Decimal
    balance: Decimal
    account: str
    cause: str
    reference: str
    instrument_id: str
    strategy: str
    order_id: str


class PostingPage(Page, frozen=True, kw_only=True):
    """A page of changes, newest first."""

    postings: tuple[Posting, ...]


class EquityPoint(Answer, frozen=True, kw_only=True):
    """One point of an equity curve."""

    at: datetime | None
    equity: Decimal
    net_pnl: Decimal
    drawdown: Decimal


class Equity(Answer, frozen=True, kw_only=True):
    """A curve in `currency`, oldest first; of one strategy, `equity` is its net P&L."""

    currency: str
    points: tuple[EquityPoint, ...]


class AuditRow(Answer, frozen=True, kw_only=True):
    """One row of the audit log; `hash` chains it to the row before."""

    sequence: int
    event: str
    order_id: str
    at: datetime | None
    received_at: datetime | None
    body: Any
    hash: str


class AuditPage(Page, frozen=True, kw_only=True):
    """A page of the audit log, newest first."""

    rows: tuple[AuditRow, ...]


class Session(Answer, frozen=True, kw_only=True):
    """A session: `since` is None where nobody ever began one, and all that was is in it.

    `unconfirmed`: the new one is on record, and the books will have it in a moment.
    """

    since: datetime | None
    actor: str
    reason: str
    unconfirmed: bool = False


class SeriesPoint(Answer, frozen=True, kw_only=True):
    """One point of a curve; what P&L is made of is None in points that older versions wrote.

    `net_pnl` = realized + unrealized - fees + funding. Of a strategy, `equity` is its net P&L.
    """

    at: datetime | None
    equity: Decimal
    net_pnl: Decimal
    realized_pnl: Decimal | None
    unrealized_pnl: Decimal | None
    fees: Decimal | None
    funding: Decimal | None
    drawdown: Decimal


class Change(Answer, frozen=True, kw_only=True):
    """What came of a span: from its baseline to its last point; None where it is not known."""

    equity: Decimal | None
    net_pnl: Decimal | None
    realized_pnl: Decimal | None
    unrealized_pnl: Decimal | None
    fees: Decimal | None
    funding: Decimal | None


class Curve(Answer, frozen=True, kw_only=True):
    """One curve, oldest point first; of the account where `strategy` is None.

    `baseline` is the last point before the span; `change` is measured from it.
    """

    strategy: str | None
    baseline: SeriesPoint | None
    change: Change
    points: tuple[SeriesPoint, ...]


class Series(Answer, frozen=True, kw_only=True):
    """Curves in `currency` from `since` to `until`, one point per `step_s` at most."""

    range: str
    timezone: str
    currency: str
    since: datetime | None
    until: datetime | None
    step_s: float
    session: Session
    curves: tuple[Curve, ...]
