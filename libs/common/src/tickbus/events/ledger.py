"""What the ledger says of the books: positions, balances, equity."""

from decimal import Decimal

import msgspec

from tickbus.events.base import Event


class PositionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One position, valued at `mark` (None before the market was seen).

    Quantities in base, the rest in quote currency; `realized_pnl` and `unrealized_pnl` exclude
    fees, `net_pnl` includes them.
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


class BalanceReport(msgspec.Struct, frozen=True, kw_only=True):
    """One asset at one venue: what we reckon (`amount` = opening + fills) and what the venue says.

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
    """Equity, net P&L and drawdown at one time (ns UTC), in quote currency."""

    ts: int
    equity: Decimal
    net_pnl: Decimal
    drawdown: Decimal


class PortfolioUpdated(Event, frozen=True):
    """The books as of `sequence` (position in the ORDERS stream), valued at the latest marks.

    Money is in `currency`. `equity` leaves out the (venue, asset) pairs in `unvalued`. `ts_event`
    is that of the newest market or order event, `ts_recv` when it was taken in.
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

    @property
    def differences(self) -> tuple[BalanceReport, ...]:
        """Balances on which the venue and the books disagree."""
        return tuple(balance for balance in self.balances if balance.difference)
