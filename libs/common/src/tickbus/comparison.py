"""Whether what the venue reports of an asset or a position is what the books had at that moment.

Both sides keep moving: a report is ahead of some fills and behind others. So each report waits
until the fills that explain it have had time to arrive, and is then compared with the amount as it
was at the report's own time, however much has been traded since.
"""

from collections import deque
from decimal import Decimal
from typing import NamedTuple

ZERO = Decimal(0)
KEPT_MAX = 4_096


class _Change(NamedTuple):
    ts: int
    amount: Decimal


class _Report(NamedTuple):
    ts: int
    ts_recv: int
    total: Decimal


class Comparison:
    """One asset's (or position's) changes and reports, by the venue's time (ns).

    `settle_ns` is by ours.

    At most `KEPT_MAX` of each are kept; beyond that the oldest change counts as older than every
    report, and the oldest report is not compared.
    """

    def __init__(self, settle_ns: int, ts_blind: int = 0, *, eager: bool = False) -> None:
        """Reports before `ts_blind` are not compared: the changes after them are not known here.

        With `eager` a report that agrees is not kept waiting for what might explain it.
        """
        self.difference: Decimal | None = None
        self._settle_ns = settle_ns
        self._ts_blind = ts_blind
        self._eager = eager
        self._settled: _Report | None = None
        self._changes: deque[_Change] = deque(maxlen=KEPT_MAX)
        self._reports: deque[_Report] = deque(maxlen=KEPT_MAX)

    def change(self, ts: int, amount: Decimal) -> None:
        """Something moved it by `amount` at `ts`."""
        self._changes.append(_Change(ts, amount))

    def report(self, ts: int, ts_recv: int, total: Decimal) -> None:
        """The venue reports `total`, with everything in it that happened up to `ts`."""
        if ts < self._ts_blind:
            return
        if self._reports and self._reports[-1].ts == ts:
            self._reports.pop()  # of two about the same moment the later one knows more
        self._reports.append(_Report(ts, ts_recv, total))

    def since(self, ts: int) -> Decimal:
        """What changed after `ts`."""
        return sum((change.amount for change in self._changes if change.ts > ts), ZERO)

    @property
    def ts_settled(self) -> int:
        """The venue's time of the report that `settle` compared last; 0 before the first."""
        return 0 if self._settled is None else self._settled.ts

    def waits(self, ts_recv: int) -> bool:
        """Whether a report that came until `ts_recv` (ns, ours) has not been compared yet."""
        return bool(self._reports) and self._reports[0].ts_recv <= ts_recv

    def settle(self, now_ns: int, amount: Decimal) -> Decimal | None:
        """Reported - reckoned by the newest report that has settled; None before the first.

        A change that is told later, of a time before that report, still explains it.
        """
        while self._reports:
            first = self._reports[0]
            if first.ts < self.ts_settled:
                self._reports.popleft()  # a newer one was compared: what came between is forgotten
                continue
            waited = first.ts_recv + self._settle_ns <= now_ns
            agrees = self._eager and first.total == amount - self.since(first.ts)
            if not (waited or agrees):
                break
            self._settled = self._reports.popleft()
        settled = self._settled
        if settled is not None:
            self.difference = settled.total - (amount - self.since(settled.ts))
            while self._changes and self._changes[0].ts < settled.ts:
                self._changes.popleft()
        return self.difference
