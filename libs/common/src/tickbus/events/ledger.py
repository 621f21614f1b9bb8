"""What the ledger says of the books: positions, balances, equity; and what moves them but fills."""

from decimal import Decimal

import msgspec

from tickbus.events.base import Event, Explanation

ZERO = Decimal(0)


class AdjustmentCause(Explanation):
    """Why a balance moved without a fill."""

    FUNDING = "FUNDING"
    TRANSFER = "TRANSFER"
    COMMISSION = "COMMISSION"
    LIQUIDATION_FEE = "LIQUIDATION_FEE"
    REBATE = "REBATE"
    INTEREST = "INTEREST"
    CONVERSION = "CONVERSION"
    ADJUSTMENT = "ADJUSTMENT"

    @classmethod
    def vaguest(cls) -> "AdjustmentCause":
        """What stands for a value of a newer version."""
        return cls.ADJUSTMENT


class BalanceAdjusted(Event, frozen=True):
    """A balance at a venue moved, and no fill of ours is the reason.

    `amount` is signed: positive when the account received. `reference` is the venue's id of the
    fact, unique at the venue for its cause; the same (venue, cause, reference) told again is the
    same fact. `instrument_id` names what a funding payment or fee is for, "" when nothing.
    """

    venue: str
    asset: str
    amount: Decimal
    cause: AdjustmentCause
    reference: str
    instrument_id: str = ""
    detail: str = ""


class SessionStarted(Event, frozen=True):
    """Somebody begins a new session: profit and loss are also told from here on.

    Nothing is deleted or set back by it.
    """

    actor: str
    reason: str


class PositionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One position, valued at `mark` (None before the market was seen).

    Quantities in base, the rest in quote currency; `realized_pnl` and `unrealized_pnl` exclude
    fees, `net_pnl` includes them and what funding brought or cost. `reported` is what the venue
    says of a derivative's quantity, None before it did; `difference` = reported - quantity at the
    time of the report, None while fills that explain it may still be on their way.
    """

    venue: str
    instrument_id: str
    quantity: Decimal
    avg_entry_price: Decimal | None
    mark: Decimal | None
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    net_pnl: Decimal
    fills: int = 0
    ts_updated: int = 0
    reported: Decimal | None = None
    difference: Decimal | None = None


class StrategyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy's positions and their sums, in the currency of the books.

    Net P&L of all strategies adds up to that of the account. Realised and unrealised need not: what
    one strategy closes against another's position is closed in the account and open in both.
    """

    strategy_id: str
    positions: tuple[PositionRecord, ...]
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    funding: Decimal
    net_pnl: Decimal
    drawdown: Decimal
    drawdown_max: Decimal
    fills: int


class BalanceReport(msgspec.Struct, frozen=True, kw_only=True):
    """One asset at one venue: what we reckon (`amount`, the sum of its postings) and its report.

    `reported` is None when the venue has not reported the asset. `difference` = reported - amount,
    None while fills that explain it may still be on their way; anything but 0 needs a person.
    """

    venue: str
    asset: str
    opening: Decimal
    amount: Decimal
    reported: Decimal | None
    difference: Decimal | None


class EquityPoint(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Equity, net P&L and drawdown at one time (ns UTC), in quote currency.

    Of a strategy, which has no capital of its own, `equity` is its net P&L. What net P&L is made of
    is None in points that older versions wrote.
    """

    ts: int
    equity: Decimal
    net_pnl: Decimal
    drawdown: Decimal
    realized_pnl: Decimal | None = None
    unrealized_pnl: Decimal | None = None
    fees: Decimal | None = None
    funding: Decimal | None = None


class PortfolioUpdated(Event, frozen=True):
    """The books as of `sequence` (position in the ORDERS stream), valued at the latest marks.

    Money is in `currency`; `funding` is positive when we received, and like fees in `net_pnl`.
    `unvalued_fees`, by asset, are those whose value nobody knew when they were paid: in no P&L.
    `equity` leaves out the (venue, asset) pairs in `unvalued`. `ts_event` is that of the newest
    market or order event, `ts_recv` when it was taken in. `audit_head` anchors the audit log as
    `<sequence>:<hash>`, "" before the first event.
    """

    sequence: int
    currency: str
    positions: tuple[PositionRecord, ...]
    balances: tuple[BalanceReport, ...]
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    net_pnl: Decimal
    equity: Decimal
    equity_peak: Decimal
    drawdown: Decimal
    drawdown_max: Decimal
    orders: int
    working_orders: int
    fills: int
    unvalued: tuple[tuple[str, str], ...] = ()
    funding: Decimal = ZERO
    unvalued_fees: dict[str, Decimal] = msgspec.field(default_factory=dict)
    strategies: tuple[StrategyRecord, ...] = ()
    audit_head: str = ""

    @property
    def differences(self) -> tuple[BalanceReport, ...]:
        """Balances on which the venue and the books disagree."""
        return tuple(balance for balance in self.balances if balance.difference)
