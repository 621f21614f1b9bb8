"""Positions and profits, of the account and of each strategy in it.

The account's position is what the venue nets all our fills to; a strategy's is made of its own
fills alone. Quantities, fees, funding and net P&L of the strategies add up to the account's.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

from tickbus import subjects
from tickbus.events import (
    AdjustmentCause,
    BalanceAdjusted,
    EquityPoint,
    OrderFilled,
    PositionRecord,
    StrategyRecord,
)
from tickbus.portfolio import Drawdown, Portfolio, Position, assets, shares
from tickbus_ledger.changes import Books, Key, StrategyKey
from tickbus_ledger.log import Notes

ZERO = Decimal(0)
ONE = Decimal(1)


class Sums(NamedTuple):
    """Over positions quoted in one currency."""

    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    funding: Decimal
    net_pnl: Decimal

    def point(self, ts: int, equity: Decimal, drawdown: Decimal) -> EquityPoint:
        """The point of a curve at `ts`."""
        return EquityPoint(
            ts, equity, self.net_pnl, drawdown, self.realized_pnl, self.unrealized_pnl, self.fees,
            self.funding,
        )  # fmt: skip


class Profits:
    """Every position, with the marks of `portfolio`; sums are over those quoted in `currency`."""

    def __init__(self, portfolio: Portfolio, currency: str, books: Books) -> None:
        self._portfolio = portfolio
        self._currency = currency
        self._strategies: dict[StrategyKey, Position] = {}
        self._drawdowns = dict(books.drawdowns)
        self._dirty: dict[Key, Position] = {}
        self._dirty_strategies: dict[StrategyKey, Position] = {}
        for position in books.positions:
            portfolio.positions[position.venue, position.instrument_id] = position
        for strategy_id, position in books.strategy_positions:
            key = (strategy_id, position.venue, position.instrument_id)
            self._strategies[key] = position

    def fill(self, event: OrderFilled, notes: Notes) -> Decimal:
        """Take in a fill; returns what it realised in the account, fees excluded."""
        fill, venue, instrument_id = event.fill, event.venue, event.instrument_id
        size = notes.contract_size or ONE
        self._strategy(strategy_of(event), venue, instrument_id, size).apply(fill, notes.value)
        # The venue keeps one position of all fills; what a strategy's own realised it does not say.
        account = self._position(venue, instrument_id, size)
        return account.apply(fill, notes.value, settled=fill.realized)

    def adjust(self, event: BalanceAdjusted, notes: Notes) -> None:
        """Take in a funding payment or fee of an instrument, each strategy its share."""
        if not event.instrument_id or event.cause not in _IN_PROFIT:
            return
        size = notes.contract_size or ONE
        of = (event.venue, event.instrument_id)
        _charge(self._position(*of, size), event, event.amount, notes.value)
        positions = [p for key, p in self._strategies.items() if key[1:] == of]
        parts = shares(event.amount, positions)
        values = [v for _, v in shares(notes.value, positions)] if notes.value is not None else []
        if not parts:
            external = self._strategy(subjects.EXTERNAL, *of, size)
            _charge(external, event, event.amount, notes.value)
        for n, (position, amount) in enumerate(parts):
            _charge(position, event, amount, values[n] if values else None)
        for key, position in self._strategies.items():
            if key[1:] == of:
                self._dirty_strategies[key] = position

    def contract_size(self, venue: str, instrument_id: str) -> Decimal | None:
        """That of a position we know; None for one we do not."""
        position = self._portfolio.positions.get((venue, instrument_id))
        return None if position is None else position.contract_size

    def _position(self, venue: str, instrument_id: str, size: Decimal) -> Position:
        position = self._portfolio.position(venue, instrument_id)
        if (venue, instrument_id) not in self._portfolio.positions:
            self._portfolio.positions[venue, instrument_id] = position
            position.contract_size = size
        self._dirty[venue, instrument_id] = position
        return position

    def _strategy(
        self, strategy_id: str, venue: str, instrument_id: str, size: Decimal
    ) -> Position:
        key = (strategy_id, venue, instrument_id)
        if key not in self._strategies:
            self._strategies[key] = Position(
                venue=venue, instrument_id=instrument_id, contract_size=size
            )
        return self._dirty_strategies.setdefault(key, self._strategies[key])

    def take(self) -> tuple[list[Position], list[tuple[str, Position]]]:
        """The account's and the strategies' positions changed since the last call."""
        strategies = [(key[0], position) for key, position in self._dirty_strategies.items()]
        taken = (list(self._dirty.values()), strategies)
        self._dirty, self._dirty_strategies = {}, {}
        return taken

    # -- what they are worth now -------------------------------------------------------------------

    def records(self) -> tuple[PositionRecord, ...]:
        """Every position of the account at its mark."""
        return tuple(self._record(position) for position in self._portfolio)

    def sums(self) -> Sums:
        """The account's sums at the marks."""
        return self._sums(self._portfolio)

    def unvalued_fees(self) -> dict[str, Decimal]:
        """Fees of the account that nobody could value, by asset."""
        found: dict[str, Decimal] = {}
        for position in self._portfolio:
            for asset, amount in position.unvalued_fees.items():
                found[asset] = found.get(asset, ZERO) + amount
        return found

    def strategies(self) -> tuple[StrategyRecord, ...]:
        """Every strategy's positions and sums, by name."""
        return tuple(
            self._strategy_record(strategy_id, positions)
            for strategy_id, positions in sorted(self._by_strategy())
        )

    def sample(self, ts: int) -> Iterator[tuple[str, EquityPoint]]:
        """A point of every strategy's curve."""
        for strategy_id, positions in self._by_strategy():
            sums = self._sums(positions)
            net = sums.net_pnl
            # A strategy begins with nothing, so its first loss is below a peak of 0.
            drawdown = self._drawdowns.setdefault(strategy_id, Drawdown(equity_peak=ZERO))
            drawdown.update(net)
            yield strategy_id, sums.point(ts, net, drawdown.drawdown)

    def _by_strategy(self) -> Iterable[tuple[str, list[Position]]]:
        found: dict[str, list[Position]] = {}
        for key, position in self._strategies.items():
            found.setdefault(key[0], []).append(position)
        return found.items()

    def _strategy_record(self, strategy_id: str, positions: list[Position]) -> StrategyRecord:
        drawdown = self._drawdowns.get(strategy_id, Drawdown(equity_peak=ZERO))
        return StrategyRecord(
            strategy_id=strategy_id,
            positions=tuple(self._record(position) for position in positions),
            **self._sums(positions)._asdict(),
            drawdown=drawdown.drawdown,
            drawdown_max=drawdown.drawdown_max,
            fills=sum(position.fills for position in positions),
        )

    def _sums(self, positions: Iterable[Position]) -> Sums:
        # Profits in different currencies do not add up.
        chosen = [p for p in positions if assets(p.instrument_id)[1] == self._currency]
        return Sums(
            sum((p.realized_pnl for p in chosen), ZERO),
            sum((p.unrealized_pnl(self._mark_of(p)) for p in chosen), ZERO),
            sum((p.fees for p in chosen), ZERO),
            sum((p.funding for p in chosen), ZERO),
            sum((p.net_pnl(self._mark_of(p)) for p in chosen), ZERO),
        )

    def _mark_of(self, position: Position) -> Decimal:
        # Before the market was seen, at its entry; flat, at nothing.
        mark = self._portfolio.mark_of(position)
        return ZERO if mark is None else mark

    def _record(self, position: Position) -> PositionRecord:
        mark = self._mark_of(position)
        return PositionRecord(
            venue=position.venue,
            instrument_id=position.instrument_id,
            quantity=position.quantity,
            avg_entry_price=position.avg_entry_price,
            mark=self._portfolio.marks.get((position.venue, position.instrument_id)),
            realized_pnl=position.realized_pnl,
            unrealized_pnl=position.unrealized_pnl(mark),
            fees=position.fees,
            net_pnl=position.net_pnl(mark),
            fills=position.fills,
            ts_updated=position.ts_updated,
        )


_IN_PROFIT = frozenset(
    {
        AdjustmentCause.FUNDING,
        AdjustmentCause.COMMISSION,
        AdjustmentCause.LIQUIDATION_FEE,
        AdjustmentCause.REBATE,
    }
)


def strategy_of(event: OrderFilled) -> str:
    """Whose fill it is; what nobody here ordered is EXTERNAL's."""
    return event.strategy_id or subjects.EXTERNAL


def _charge(
    position: Position, event: BalanceAdjusted, amount: Decimal, value: Decimal | None
) -> None:
    # `value` is that of `amount` in quote currency; the same where it is paid in it.
    if event.cause is not AdjustmentCause.FUNDING or value is None:
        position.pay_fee(event.asset, -amount, None if value is None else -value)
    else:
        position.receive_funding(value)
    position.ts_updated = max(position.ts_updated, event.ts_event)
