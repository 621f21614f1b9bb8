"""What the account should hold by all we were told, and where the venue reports something else.

Assets and positions of derivatives are kept under their names, which never clash. A difference may
be a fill or a payment that we have not heard of, so the account is looked at before it is told; it
is told if the venue then still reports the same one.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from typing import NamedTuple

from tickbus.comparison import Comparison
from tickbus.events import AccountUpdated, BalanceAdjusted, OrderFilled
from tickbus.portfolio import Position, is_derivative, moves_of
from tickbus_execution.snapshot import HeldMemory
from tickbus_execution.venue import AccountReport

ZERO = Decimal(0)
SETTLE_NS = 3_000_000_000
"""How long after a report what explains it may still be told."""
EVER = 2**63
PAYMENTS_MAX = 10_000
DIGITS = 60


class Unexplained(NamedTuple):
    """The venue reports `reported` of `name` (an asset, or the position in an instrument)."""

    name: str
    expected: Decimal
    reported: Decimal


class AccountBooks:
    """Amounts and positions since the first complete report, which opened them."""

    def __init__(self, venue: str) -> None:
        self.ts_opened = 0
        self._venue = venue
        self._live = False
        self._amounts: dict[str, Decimal] = {}
        self._touched: dict[str, int] = {}
        self._positions: dict[str, Position] = {}
        self._payments: dict[str, None] = {}
        self._comparisons: dict[str, Comparison] = {}
        self._told: dict[str, Decimal] = {}
        # Differences seen once, after how many looks and by a report of which time.
        self._suspected: dict[str, tuple[Decimal, int, int]] = {}
        self._looks = 0

    def snapshot(self) -> HeldMemory:
        """All that folding the order path gave."""
        return HeldMemory(
            self.ts_opened,
            list(self._amounts.items()),
            list(self._touched.items()),
            list(self._positions.values()),
            list(self._payments),
        )

    def restore(self, memory: HeldMemory) -> None:
        """Know what `memory` says."""
        self.ts_opened = memory.ts_opened
        self._amounts = dict(memory.amounts)
        self._touched = dict(memory.touched)
        self._positions = {p.instrument_id: p for p in memory.positions}
        self._payments = dict.fromkeys(memory.payments)

    def go_live(self) -> None:
        """History is over: from now on what the venue reports is compared."""
        self._live = True

    @property
    def positions(self) -> Mapping[str, Position]:
        """By instrument, of derivatives that were ever held; in the venue's contracts."""
        return self._positions

    def held(self) -> Iterable[str]:
        """The instruments of which a position was ever held."""
        return self._positions.keys()

    # -- what moves it -----------------------------------------------------------------------------

    def open(self, event: AccountUpdated | AccountReport) -> None:
        """The first complete report is where the books begin; what was before is in it."""
        if event.complete and not self.ts_opened:
            self.ts_opened = event.ts_event
            for name in list(self._amounts):
                if name not in self._positions:
                    self._amounts[name] = ZERO
            self._amounts |= {balance.asset: balance.total for balance in event.balances}

    def fill(self, event: OrderFilled) -> None:
        """Take in a fill that is news."""
        fill, name, realized = event.fill, event.instrument_id, ZERO
        if is_derivative(name):
            if name not in self._positions:
                self._positions[name] = Position(venue=self._venue, instrument_id=name)
            realized = self._positions[name].apply(fill, settled=fill.realized)
            self._move(name, fill.ts_event, fill.quantity * fill.side.sign)
        if fill.ts_event > self.ts_opened:
            for move in moves_of(name, fill, realized):
                self._move(move.asset, fill.ts_event, move.amount)

    def adjust(self, event: BalanceAdjusted) -> bool:
        """Take in a payment; False for one that was told before, or is in the opening."""
        key = f"{event.cause}:{event.reference}"
        if key in self._payments or event.ts_event <= self.ts_opened:
            return False
        self._payments[key] = None
        if len(self._payments) > PAYMENTS_MAX:
            del self._payments[next(iter(self._payments))]
        self._move(event.asset, event.ts_event, event.amount)
        return True

    def _move(self, name: str, ts: int, amount: Decimal) -> None:
        with localcontext(prec=DIGITS):
            self._amounts[name] = self._amounts.get(name, ZERO) + amount
        self._touched[name] = max(ts, self._touched.get(name, 0))
        if self._live:
            self._comparison(name).change(ts, amount)

    # -- what the venue says -----------------------------------------------------------------------

    def report(self, event: AccountReport) -> bool:
        """Take in a report; whether there is something to compare once it has settled."""
        self.open(event)
        if not self.ts_opened or event.ts_event < self.ts_opened:
            return False
        totals = {balance.asset: balance.total for balance in event.balances}
        totals |= {position.instrument_id: position.quantity for position in event.positions}
        if event.complete:
            self._looks += 1
            totals = dict.fromkeys(self._amounts, ZERO) | totals
        for name, total in totals.items():
            self._comparison(name).report(event.ts_event, event.ts_recv, total)
        return bool(totals)

    def _comparison(self, name: str) -> Comparison:
        if name not in self._comparisons:
            # What moved it before this process lived is known as a sum only.
            ts_blind = self._touched.get(name, 0)
            self._comparisons[name] = Comparison(SETTLE_NS, ts_blind, eager=True)
        return self._comparisons[name]

    def waits(self, ts_recv: int) -> bool:
        """Whether a report that came until `ts_recv` (ns, ours) is not compared, or is doubted."""
        waiting = any(comparison.waits(ts_recv) for comparison in self._comparisons.values())
        return waiting or bool(self._suspected)

    @property
    def unexplained(self) -> Iterable[str]:
        """Names of which the venue reports something else than we expect."""
        return [name for name, difference in self._told.items() if difference]

    def settle(self, now_ns: int) -> tuple[list[Unexplained], bool]:
        """Differences that are news, and whether the account should be looked at for others."""
        found: list[Unexplained] = []
        look = False
        with localcontext(prec=DIGITS):
            for name, comparison in self._comparisons.items():
                amount = self._amounts.get(name, ZERO)
                difference = comparison.settle(now_ns, amount) or ZERO
                if difference == self._told.get(name, ZERO):
                    self._suspected.pop(name, None)
                    continue
                if difference and not self._is_sure(name, difference, comparison.ts_settled):
                    look = True
                    continue
                self._told[name] = difference
                self._suspected.pop(name, None)
                if difference:
                    expected = amount - comparison.since(comparison.ts_settled)
                    found.append(Unexplained(name, expected, expected + difference))
        return found, look

    def _is_sure(self, name: str, difference: Decimal, ts_settled: int) -> bool:
        before = self._suspected.get(name)
        if before is None or before[0] != difference:
            self._suspected[name] = (difference, self._looks, ts_settled)
            return False
        return self._looks > before[1] and ts_settled > before[2]
