"""What books of an older version lack, filled in at the first start: postings, strategies, hashes.

The log has every event, so folding it again gives all of it. All in one transaction: interrupted,
it starts over.
"""

from collections.abc import Callable
from typing import Any

from tickbus_ledger import rows
from tickbus_ledger.changes import Account, Key
from tickbus_ledger.config import LedgerConfig
from tickbus_ledger.core import LedgerCore
from tickbus_ledger.log import GAP, GENESIS, NOTHING, LogRow, chained, event_from, odd_row
from tickbus_ledger.migrate import TIMEOUT_S
from tickbus_ledger.rows import batch_of
from tickbus_ledger.sql import insert, write_money

ROWS_AT_ONCE = 1_000
SAID_EVERY = 50_000
_GAP = insert("order_events", rows.EVENT_COLUMNS)
_HASHES = (
    "UPDATE order_events SET hash = u.hash FROM unnest($1::bigint[], $2::bytea[])"
    " AS u (sequence, hash) WHERE order_events.sequence = u.sequence"
)


async def backfill(connection: Any, say: Callable[[str], None]) -> bool:
    """Bring the rows up to date, telling `say` how far it is; False when they were."""
    async with connection.transaction():
        books = await connection.fetchrow("SELECT position, head FROM books FOR UPDATE")
        if books is None or books["head"] is not None:
            return False
        count = await connection.fetchval(
            "SELECT count(*) FROM order_events",
            timeout=TIMEOUT_S,  # it reads all of a long log
        )
        say(f"the books are of an older version: folding {count} events again")
        before = {
            (row["venue"], row["asset"]): rows.balance_from(row)
            for row in await connection.fetch("SELECT * FROM balances")
        }
        filling = _Filling(connection, say)
        await filling.run(books["position"], count)
        await connection.execute("UPDATE books SET head = $1", filling.head)
        for line in _differences(before, filling.balances):
            say(line)
        say(f"the books are up to date: {count} events")
        return True


class _Filling:
    def __init__(self, connection: Any, say: Callable[[str], None]) -> None:
        self.head = GENESIS
        self.balances: dict[Key, tuple[Key, Account, Any]] = {}
        self._connection = connection
        self._say = say
        self._core = LedgerCore(LedgerConfig(), ())
        self._sequence = 0

    async def run(self, position: int, count: int) -> None:
        done = 0
        while found := await self._connection.fetch(
            "SELECT * FROM order_events WHERE sequence > $1 ORDER BY sequence LIMIT $2",
            self._sequence,
            ROWS_AT_ONCE,
        ):
            hashes: list[tuple[int, bytes]] = []
            gaps: list[LogRow] = []
            for row in found:
                self._take(row, hashes, gaps)
            await self._connection.execute(
                _HASHES, [sequence for sequence, _ in hashes], [value for _, value in hashes]
            )
            await self._connection.executemany(_GAP, gaps)
            await self._write()
            if done // SAID_EVERY != (done + len(found)) // SAID_EVERY:
                self._say(f"folded {done + len(found)} of {count} events")
            done += len(found)
        if position > self._sequence:
            row = odd_row(self.head, position, GAP, {"first": self._sequence + 1})
            self.head = row.hash
            await self._connection.executemany(_GAP, [row])

    def _take(self, row: Any, hashes: list[tuple[int, bytes]], gaps: list[LogRow]) -> None:
        sequence = row["sequence"]
        if sequence > self._sequence + 1:
            gap = odd_row(self.head, sequence - 1, GAP, {"first": self._sequence + 1})
            gaps.append(gap)
            self.head = gap.hash
        self.head = chained(self.head, *(row[name] for name in rows.EVENT_COLUMNS[:-1]))
        hashes.append((sequence, self.head))
        self._sequence = sequence
        try:
            event = event_from(row["kind"], row["body"])
            if event is not None:
                self._core.apply(sequence, event, NOTHING)
        except ValueError as error:
            self._say(f"event {sequence} stays out of the postings: {error}")

    async def _write(self) -> None:
        changes = self._core.take_changes()
        for balance in changes.balances:
            self.balances[balance[0]] = balance
        await write_money(self._connection, batch_of(changes))


def _differences(before: dict[Key, Any], after: dict[Key, Any]) -> list[str]:
    return [
        f"{key[1]} at {key[0]}: the books had {before[key][2]}, their events give {after[key][2]}"
        for key in before
        if key in after and before[key][2] != after[key][2]
    ]
