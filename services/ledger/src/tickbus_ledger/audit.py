"""Whether the books are what happened: the chain walked, and every table folded from the log again.

Reads one snapshot of the database, in order, and changes nothing. Every finding names a row.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from decimal import Context, Decimal
from hashlib import blake2b
from typing import Any, NamedTuple

import asyncpg
import msgspec

from tickbus_ledger import rows
from tickbus_ledger.config import LedgerConfig
from tickbus_ledger.core import LedgerCore
from tickbus_ledger.log import GAP, GENESIS, chained, event_from, head_text, notes_from
from tickbus_ledger.rows import batch_of
from tickbus_ledger.sql import read_numbers_as_written

ROWS_AT_ONCE = 2_000
FINDINGS_MAX = 100
"""More are counted, not listed: after one wrong number in the middle every later one is wrong."""

_FOLDED = {
    "fills": (rows.FILL_COLUMNS, ("venue", "instrument_id", "fill_id")),
    "journal": (rows.ENTRY_COLUMNS, ("sequence",)),
    "postings": (rows.POSTING_COLUMNS, ("sequence", "line")),
    "sessions": (rows.SESSION_COLUMNS, ("sequence",)),
}
"""Tables that grow with the log, each row at the `sequence` of its event: columns and key."""
_STATES = {
    "positions": (rows.POSITION_COLUMNS, 2),
    "strategy_positions": (rows.STRATEGY_POSITION_COLUMNS, 3),
    "balances": (rows.BALANCE_COLUMNS, 2),
}
"""Tables of what is now: columns, and how many of them are the key."""
_WIDE = Context(prec=3_000)
_JSON = frozenset({"fees", "other_fees", "unvalued_fees"})


class Finding(NamedTuple):
    """One row that is not what it should be."""

    table: str
    row: str
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.row}: {self.what}"


class Report(msgspec.Struct, kw_only=True):
    """What was looked at, and what was wrong with it.

    `gaps` are stretches (first, last) of the stream that the log says it never got: not tampering,
    but not whole either. `head` anchors the log as it is now.
    """

    events: int = 0
    compared: int = 0
    head: str = ""
    gaps: list[tuple[int, int]] = []
    findings: list[Finding] = []
    findings_count: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether nothing was wrong."""
        return not self.findings_count

    def find(self, table: str, row: object, what: str) -> None:
        """Note that a row is wrong; the first FINDINGS_MAX are kept."""
        self.findings_count += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(table, str(row), what))


class BooksTooOld(Exception):
    """The database has no audit log of this version; start the ledger on it once."""


async def verify(
    dsn: str,
    *,
    first: int = 1,
    last: int | None = None,
    expect: tuple[str, ...] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Check the books at `dsn`, or only the log's rows from `first` to `last`.

    `expect` are anchors noted earlier, `<sequence>:<hash>` or only the hash: each must be in the
    chain. From a later start than 1 the chain is taken up from the row before it and tables are
    not folded; up to an earlier end than the log's, what the tables are now is not compared.
    Raises BooksTooOld, or what asyncpg does.
    """
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await read_numbers_as_written(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _Verification(connection, first, last, expect, progress).run()
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise BooksTooOld(str(error)) from error
    finally:
        await connection.close()


class _Verification:
    def __init__(
        self,
        connection: Any,
        first: int,
        last: int | None,
        expect: tuple[str, ...],
        progress: Callable[[int, int], None],
    ) -> None:
        self._connection = connection
        self._first = max(first, 1)
        self._last = last
        self._expect = dict.fromkeys(expect)
        self._progress = progress
        self._report = Report()
        self._core = LedgerCore(LedgerConfig(), ())
        self._head = GENESIS
        self._sequence = self._first - 1
        self._states: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = {t: {} for t in _STATES}
        self._orders: dict[str, bytes] = {}

    async def run(self) -> Report:
        report = self._report
        books = await self._connection.fetchrow("SELECT position, head FROM books")
        if books is None or books["head"] is None:
            raise BooksTooOld("the books were never opened by this version")
        last = books["position"] if self._last is None else min(self._last, books["position"])
        if self._first > 1:
            await self._take_up()
        total = last - self._first + 1
        while found := await self._rows(last):
            low = self._sequence + 1 if report.events or self._first > 1 else None
            for row in found:
                self._take(row)
            if self._first == 1:
                await self._compare(low, self._sequence)
            report.events += len(found)
            self._progress(self._sequence - self._first + 1, total)
        if self._last is None or self._last >= books["position"]:
            await self._end(books)
        for anchor in self._expect:
            report.find("order_events", anchor, "this anchor is not in the chain: the log was cut")
        report.head = head_text(self._sequence, self._head)
        return report

    async def _take_up(self) -> None:
        row = await self._connection.fetchrow(
            "SELECT sequence, hash FROM order_events WHERE sequence < $1"
            " ORDER BY sequence DESC LIMIT 1",
            self._first,
        )
        if row is not None:
            self._head, self._sequence = row["hash"], row["sequence"]

    async def _rows(self, last: int) -> list[Any]:
        if self._sequence >= last and self._last is not None:
            return []
        found: list[Any] = await self._connection.fetch(
            "SELECT * FROM order_events WHERE sequence > $1 AND ($2::bigint IS NULL"
            " OR sequence <= $2) ORDER BY sequence LIMIT $3",
            self._sequence if self._report.events or self._first > 1 else -(2**63),
            self._last,
            ROWS_AT_ONCE,
        )
        return found

    # -- the chain ---------------------------------------------------------------------------------

    def _take(self, row: Any) -> None:
        report, sequence = self._report, row["sequence"]
        gap_first = json.loads(row["body"])["first"] if row["kind"] == GAP else sequence
        if row["kind"] == GAP:
            report.gaps.append((gap_first, sequence))
        if gap_first > self._sequence + 1:
            missing = f"{self._sequence + 1} to {gap_first - 1}"
            report.find("order_events", missing, "missing from the log")
        elif gap_first <= self._sequence:
            report.find("order_events", sequence, "not in the order of the stream")
        expected = chained(self._head, *(row[name] for name in rows.EVENT_COLUMNS[:-1]))
        if row["hash"] != expected:
            report.find(
                "order_events", sequence, "its hash does not follow from it and the row before"
            )
        # From here on the chain is followed as it is written, so that one row gives one finding.
        self._head, self._sequence = row["hash"] or expected, sequence
        self._expect.pop(self._head.hex(), None)
        self._expect.pop(head_text(sequence, self._head), None)
        if self._first == 1:
            self._fold(row)

    def _fold(self, row: Any) -> None:
        try:
            event = event_from(row["kind"], row["body"])
            if event is not None:
                self._core.apply(row["sequence"], event, notes_from(row["notes"]))
        except (ValueError, ArithmeticError) as error:
            self._report.find("order_events", row["sequence"], f"cannot be folded: {error}")

    # -- the tables --------------------------------------------------------------------------------

    async def _compare(self, low: int | None, high: int | None) -> None:
        batch = batch_of(self._core.take_changes())
        for row in batch.orders:
            self._orders[row[0]] = _digest(rows.ORDER_COLUMNS, row)
        for table, (_, keys) in _STATES.items():
            self._states[table].update({row[:keys]: row for row in getattr(batch, table)})
        for table, (columns, key) in _FOLDED.items():
            expected = {_key(columns, key, row): row for row in getattr(batch, table)}
            stored: list[Any] = await self._connection.fetch(
                f"SELECT * FROM {table} WHERE ($1::bigint IS NULL OR sequence >= $1)"  # noqa: S608
                " AND ($2::bigint IS NULL OR sequence <= $2) ORDER BY sequence",
                low,
                high,
            )
            self._match(table, columns, expected, {tuple(r[k] for k in key): r for r in stored})
            if table == "postings":
                self._balance(stored)

    def _match(
        self,
        table: str,
        columns: tuple[str, ...],
        expected: Mapping[tuple[Any, ...], tuple[Any, ...]],
        stored: Mapping[tuple[Any, ...], Any],
    ) -> None:
        report = self._report
        report.compared += len(stored)
        for key, row in expected.items():
            found = stored.get(key)
            if found is None:
                report.find(table, _spelled(key), "missing: the log has what makes it")
            elif wrong := _difference(columns, row, found):
                report.find(table, _spelled(key), wrong)
        for key in stored:
            if key not in expected:
                report.find(table, _spelled(key), "nothing in the log makes this row")

    def _balance(self, postings: Iterable[Any]) -> None:
        sums: dict[tuple[int, str], Decimal] = {}
        for posting in postings:
            key = (posting["sequence"], posting["asset"])
            sums[key] = sums.get(key, Decimal(0)) + posting["amount"]
        for (sequence, asset), amount in sums.items():
            if amount:
                self._report.find("postings", sequence, f"{asset} sums to {amount}, not to 0")

    async def _end(self, books: Any) -> None:
        report = self._report
        if (books["position"], books["head"]) != (self._sequence, self._head):
            report.find(
                "books", "head", f"says that the log ends at {books['position']} with"
                f" {books['head'].hex()}, it ends at {head_text(self._sequence, self._head)}",
            )  # fmt: skip
        if self._first > 1:
            return
        await self._compare(self._sequence + 1 if report.events else None, None)
        for table, (columns, keys) in _STATES.items():
            stored = await self._connection.fetch(f"SELECT * FROM {table}")  # noqa: S608
            found = {tuple(row[name] for name in columns[:keys]): row for row in stored}
            self._match(table, columns, self._states[table], found)
        await self._sum_of_postings()
        async for row in self._all_orders():
            report.compared += 1
            expected = self._orders.pop(row["client_order_id"], None)
            if expected is None:
                report.find("orders", row["client_order_id"], "nothing in the log makes this row")
            elif expected != _digest(rows.ORDER_COLUMNS, tuple(row[n] for n in rows.ORDER_COLUMNS)):
                report.find("orders", row["client_order_id"], "not what its events make of it")
        for order_id in self._orders:
            report.find("orders", order_id, "missing: the log has what makes it")

    async def _sum_of_postings(self) -> None:
        found = await self._connection.fetch(
            "SELECT b.venue, b.asset, b.amount, coalesce(sum(p.amount), 0) AS posted"
            " FROM balances b LEFT JOIN postings p ON p.venue = b.venue AND p.asset = b.asset"
            " AND p.account = 'balance' GROUP BY b.venue, b.asset, b.amount"
        )
        for row in found:
            if row["amount"] != row["posted"]:
                what = f"amount {row['amount']}, but its postings sum to {row['posted']}"
                self._report.find("balances", f"{row['venue']} {row['asset']}", what)

    async def _all_orders(self) -> AsyncIterator[Any]:
        columns = ", ".join(rows.ORDER_COLUMNS)
        async for row in self._connection.cursor(
            f"SELECT {columns} FROM orders",  # noqa: S608 - our own words only
            prefetch=ROWS_AT_ONCE,
        ):
            yield row


def _key(columns: tuple[str, ...], key: tuple[str, ...], row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(row[columns.index(name)] for name in key)


def _spelled(key: tuple[Any, ...]) -> str:
    return " ".join(str(part) for part in key)


def _difference(columns: tuple[str, ...], expected: tuple[Any, ...], found: Any) -> str:
    wrong = [
        f"{name} is {found[name]}, its events give {value}"
        for name, value in zip(columns, expected, strict=True)
        if _plain(name, value) != _plain(name, found[name])
    ]
    return "; ".join(wrong)


def _plain(name: str, value: Any) -> Any:
    # 0.10 and 0.1 are one amount, and NaN is NaN.
    if name in _JSON and isinstance(value, str):
        return {asset: str(_short(Decimal(amount))) for asset, amount in json.loads(value).items()}
    return str(_short(value)) if isinstance(value, Decimal) else value


def _short(number: Decimal) -> Decimal:
    return _WIDE.normalize(number) if number else Decimal(0)


def _digest(columns: tuple[str, ...], row: tuple[Any, ...]) -> bytes:
    plain = [_plain(name, value) for name, value in zip(columns, row, strict=True)]
    return blake2b(repr(plain).encode(), digest_size=12).digest()
