"""Positions of derivatives as the venue reports them, beside what our fills add up to.

Nothing here changes the books: a position is the sum of its fills, and a difference is shown until
somebody explains it.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec

from tickbus.comparison import Comparison
from tickbus.events import AccountUpdated, OrderFilled, PositionRecord
from tickbus.portfolio import Portfolio, is_derivative
from tickbus_ledger.changes import Key

ZERO = Decimal(0)


class HeldPositions:
    """Compares `portfolio` with what the venues say they hold for us."""

    def __init__(self, portfolio: Portfolio, settle_ns: int) -> None:
        self._portfolio = portfolio
        self._settle_ns = settle_ns
        self._comparisons: dict[Key, Comparison] = {}
        self._reported: dict[Key, Decimal] = {}
        self._ts_reported: dict[Key, int] = {}

    def fill(self, event: OrderFilled) -> None:
        """Take in a fill, before the portfolio does."""
        if is_derivative(event.instrument_id):
            key, fill = (event.venue, event.instrument_id), event.fill
            self._comparison(key).change(fill.ts_event, fill.quantity * fill.side.sign)

    def report(self, event: AccountUpdated) -> None:
        """Take in what the venue says; in a complete report what is not listed is flat."""
        held = {(event.venue, p.instrument_id): p.quantity for p in event.positions}
        if event.complete:
            known = [*self._portfolio.positions, *self._reported]
            ours = [key for key in known if key[0] == event.venue and is_derivative(key[1])]
            held = dict.fromkeys(ours, ZERO) | held
        for key, quantity in held.items():
            if event.ts_event < self._ts_reported.get(key, 0):
                continue  # a look's word may come behind that of the user stream
            self._reported[key], self._ts_reported[key] = quantity, event.ts_event
            self._comparison(key).report(event.ts_event, event.ts_recv, quantity)

    def _comparison(self, key: Key) -> Comparison:
        if key not in self._comparisons:
            # What was traded before this process lived is in the position, no longer one by one.
            position = self._portfolio.positions.get(key)
            ts_blind = 0 if position is None else position.ts_updated
            self._comparisons[key] = Comparison(self._settle_ns, ts_blind)
        return self._comparisons[key]

    def beside(self, records: Iterable[PositionRecord], now_ns: int) -> Iterator[PositionRecord]:
        """`records` with what the venue says of each, and what it has besides."""
        listed: set[Key] = set()
        for record in records:
            key = (record.venue, record.instrument_id)
            listed.add(key)
            yield self._beside(record, key, now_ns)
        for key, quantity in self._reported.items():
            if key not in listed and quantity:
                nothing = PositionRecord(
                    venue=key[0], instrument_id=key[1], quantity=ZERO, avg_entry_price=None,
                    mark=self._portfolio.marks.get(key), realized_pnl=ZERO, unrealized_pnl=ZERO,
                    fees=ZERO, net_pnl=ZERO,
                )  # fmt: skip
                yield self._beside(nothing, key, now_ns)

    def _beside(self, record: PositionRecord, key: Key, now_ns: int) -> PositionRecord:
        if key not in self._reported:
            return record
        difference = self._comparison(key).settle(now_ns, record.quantity)
        return msgspec.structs.replace(record, reported=self._reported[key], difference=difference)
