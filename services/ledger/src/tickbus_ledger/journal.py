"""The account at the venue, by double entry: what moves a balance is written on two accounts.

Every move is two postings that sum to zero: one on the balance, one on the account that says why.
So a balance is the sum of its postings, and each of them names its cause.
"""

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum

from tickbus.comparison import Comparison
from tickbus.events import AccountUpdated, AdjustmentCause, BalanceReport
from tickbus.portfolio import Portfolio
from tickbus_ledger.changes import Account, Books, Entry, Key, Posting

ZERO = Decimal(0)
FILL = "FILL"
OPENING = "OPENING"


class BookAccount(StrEnum):
    """The accounts of the books: what we hold, and where it came from or went."""

    BALANCE = "balance"
    TRADING = "trading"
    FEES = "fees"
    FUNDING = "funding"
    TRANSFERS = "transfers"
    OPENING = "opening"
    ADJUSTMENT = "adjustment"


COUNTER_ACCOUNTS = {
    AdjustmentCause.FUNDING: BookAccount.FUNDING,
    AdjustmentCause.TRANSFER: BookAccount.TRANSFERS,
    AdjustmentCause.COMMISSION: BookAccount.FEES,
    AdjustmentCause.LIQUIDATION_FEE: BookAccount.FEES,
    AdjustmentCause.REBATE: BookAccount.FEES,
}
"""On which account a balance's other side is written; ADJUSTMENT where not named."""


class Journal:
    """Balances of all accounts at the venues, and the postings that explain them.

    `portfolio` holds the amounts. `take` gives what was written since the last time.
    """

    def __init__(self, portfolio: Portfolio, settle_ns: int, books: Books) -> None:
        self._portfolio = portfolio
        self._settle_ns = settle_ns
        self._accounts: dict[Key, Account] = {}
        self._comparisons: dict[Key, Comparison] = {}
        self._opened: dict[str, int] = {}
        self._dirty: dict[Key, None] = {}
        self._entries: list[Entry] = []
        self._postings: list[Posting] = []
        self._line = 0
        for key, account, amount in books.balances:
            self._accounts[key] = account
            portfolio.balances[key] = amount
            # What was traded before is in the amount, no longer one by one.
            self._comparisons[key] = Comparison(settle_ns, account.ts_touched)
            if account.ts_opened:
                self._opened[key[0]] = account.ts_opened
        for key, ts, amount in books.moves:
            self._comparison(key).change(ts, amount)

    @property
    def is_open(self) -> bool:
        """Whether the opening of a venue is known."""
        return bool(self._opened)

    def is_before_opening(self, venue: str, ts: int) -> bool:
        """Whether what happened at `ts` is in the opening of `venue` already."""
        return ts <= self._opened.get(venue, 0)

    def move(self, entry: Entry, counter: BookAccount, asset: str, amount: Decimal) -> None:
        """Write `amount` of `asset` on the balance and, the other way round, on `counter`.

        What happened before the opening was read, and is told after it, is in the opening already:
        the opening gives it back.
        """
        if not amount:
            return
        key = (entry.venue, asset)
        account = self._account(key)
        account.ts_touched = max(account.ts_touched, entry.ts_event)
        self._comparison(key).change(entry.ts_event, amount)
        self._post(entry, counter, asset, amount)
        if entry.ts_event <= account.ts_opened:
            account.opening -= amount
            self._post(entry, BookAccount.OPENING, asset, -amount)

    def report(self, sequence: int, event: AccountUpdated) -> None:
        """Take in what the venue says: the first complete report opens, the rest are compared."""
        if event.complete and event.venue not in self._opened:
            self._open(sequence, event)
        for balance in event.balances:
            key = (event.venue, balance.asset)
            account = self._account(key)
            if event.ts_event >= account.ts_reported:
                account.reported, account.ts_reported = balance.total, event.ts_event
            if event.ts_event >= account.ts_opened > 0:
                self._comparison(key).report(event.ts_event, event.ts_recv, balance.total)

    def _open(self, sequence: int, event: AccountUpdated) -> None:
        # The first complete report is where the books begin; fills up to then are in it.
        venue, ts = event.venue, event.ts_event
        self._opened[venue] = ts
        entry = Entry(sequence, OPENING, "", venue, "", "", "", ts)
        totals = {key[1]: ZERO for key in self._accounts if key[0] == venue}
        totals |= {balance.asset: balance.total for balance in event.balances}
        for asset, total in totals.items():
            key = (venue, asset)
            account = self._account(key)
            account.ts_opened = ts
            later = self._comparison(key).since(ts)
            account.opening = total - (self.amount(key) - later)
            if account.opening:
                self._post(entry, BookAccount.OPENING, asset, account.opening)

    def _post(self, entry: Entry, counter: BookAccount, asset: str, amount: Decimal) -> None:
        if not self._entries or self._entries[-1].sequence != entry.sequence:
            self._entries.append(entry)
            self._line = 0
        balance = self._portfolio.add(entry.venue, asset, amount)
        here = (entry.sequence, self._line, entry.venue, BookAccount.BALANCE.value, asset)
        there = (entry.sequence, self._line + 1, entry.venue, counter.value, asset)
        self._line += 2
        self._postings += (Posting(*here, amount, balance), Posting(*there, -amount, None))

    def _account(self, key: Key) -> Account:
        self._dirty[key] = None
        if key not in self._accounts:
            self._accounts[key] = Account(ts_opened=self._opened.get(key[0], 0))
        return self._accounts[key]

    def _comparison(self, key: Key) -> Comparison:
        if key not in self._comparisons:
            self._comparisons[key] = Comparison(self._settle_ns)
        return self._comparisons[key]

    def amount(self, key: Key) -> Decimal:
        """What the books have of it."""
        return self._portfolio.balances.get(key, ZERO)

    def take(self) -> tuple[list[Entry], list[Posting], list[tuple[Key, Account, Decimal]]]:
        """Entries, postings and changed balances since the last call."""
        balances = [(key, self._accounts[key], self.amount(key)) for key in self._dirty]
        taken = (self._entries, self._postings, balances)
        self._entries, self._postings, self._dirty = [], [], {}
        return taken

    def reports(self, now_ns: int) -> Iterable[BalanceReport]:
        """Every balance with what the venue says of it."""
        for key, account in self._accounts.items():
            amount = self.amount(key)
            yield BalanceReport(
                venue=key[0],
                asset=key[1],
                opening=account.opening,
                amount=amount,
                reported=account.reported,
                difference=self._comparison(key).settle(now_ns, amount),
            )
