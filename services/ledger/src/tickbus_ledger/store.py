"""The books in Postgres: opening them, loading them, and the transaction that writes."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg

from tickbus.comparison import KEPT_MAX
from tickbus.config import ConfigError
from tickbus.events import OrderFilled
from tickbus.order import CLOSED_ORDERS_MAX, TERMINAL
from tickbus.portfolio import Drawdown
from tickbus_ledger import rows
from tickbus_ledger.backfill import backfill
from tickbus_ledger.changes import Books
from tickbus_ledger.core import KEYS_MAX
from tickbus_ledger.history import History
from tickbus_ledger.journal import FILL, OPENING
from tickbus_ledger.log import GENESIS, text
from tickbus_ledger.migrate import migrate
from tickbus_ledger.rows import Batch
from tickbus_ledger.sql import read_numbers_as_written, write_batch

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 10.0
WRITE_TIMEOUT_S = 60.0
CONNECTIONS_MAX = 4
AWAY = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError,
        asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError,
        asyncpg.InsufficientResourcesError, asyncpg.TransactionRollbackError)  # fmt: skip
"""What says that Postgres cannot be used now, and that trying again is right."""


class OtherWriter(Exception):
    """Somebody else wrote to these books: two ledgers run on one database."""


class Store:
    """The books in Postgres; made by `Store.open`."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self.history = History(pool)

    @classmethod
    async def open(cls, dsn: str, say: Callable[[str], None] = lambda _: None) -> "Store":
        """Connect and bring schema and rows up to date, telling `say`. Raises one of AWAY."""
        pool = await asyncpg.create_pool(
            dsn,
            # None kept open at all costs: the driver would try for it with pauses of its own.
            min_size=0,
            max_size=CONNECTIONS_MAX,
            command_timeout=COMMAND_TIMEOUT_S,
            timeout=CONNECT_TIMEOUT_S,
            init=read_numbers_as_written,
        )
        try:
            async with pool.acquire() as connection:
                for name in await migrate(connection):
                    say(f"migrated the books: {name}")
                await backfill(connection, say)
        except BaseException:
            pool.terminate()
            raise
        return cls(pool)

    async def close(self) -> None:
        """Give the connections back."""
        self._pool.terminate()

    async def claim(self, mode: str, venue: str) -> None:
        """Make these the books of `mode` and `venue`. Raises ConfigError if they are another's."""
        await self._pool.execute(
            "INSERT INTO books (mode, venue, position, head) VALUES ($1, $2, 0, $3)"
            " ON CONFLICT DO NOTHING",
            mode,
            venue,
            GENESIS,
        )
        row = await self._pool.fetchrow("SELECT mode, venue FROM books")
        assert row is not None
        if (row["mode"], row["venue"]) != (mode, venue):
            raise ConfigError(
                f"the books in this database are of mode {row['mode']!r} at venue {row['venue']!r},"
                f" this platform runs mode {mode!r} at venue {venue!r}: name another database"
                " (TICKBUS_POSTGRES_DSN) or start over with --fresh"
            )

    async def load(self) -> Books:
        """What is in the books, seen at one instant."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await _load(connection)

    async def write(self, batch: Batch) -> None:
        """The batch and its stream position, both or neither.

        Writing a batch again that was in fact written changes nothing. Raises one of AWAY, or
        OtherWriter.
        """
        async with (
            asyncio.timeout(WRITE_TIMEOUT_S),
            # The driver bounds the giving back by it, too: a server that died may never answer.
            self._pool.acquire(timeout=COMMAND_TIMEOUT_S) as connection,
        ):
            try:
                await _write(connection, batch)
            except BaseException:
                # What was interrupted on it may still be under way; the next try gets another.
                connection.terminate()
                raise

    async def has_fill(self, event: OrderFilled) -> bool:
        """Whether the books have this fill, told at another time. Raises one of AWAY."""
        found = await self._pool.fetchval(
            "SELECT 1 FROM fills WHERE venue = $1 AND instrument_id = $2 AND fill_id = $3",
            text(event.venue),
            text(event.instrument_id),
            text(event.fill.fill_id),
        )
        return found is not None


async def _write(connection: Any, batch: Batch) -> None:
    async with connection.transaction():
        position = await connection.fetchval("SELECT position FROM books FOR UPDATE")
        if position == batch.position and position != batch.position_before:
            return  # the answer to the last try was lost, not the transaction
        if position != batch.position_before:
            raise OtherWriter(
                f"the books are at {position} of the stream, this ledger left them at"
                f" {batch.position_before}: stop the other ledger on this database"
            )
        await write_batch(connection, batch)


async def _load(connection: Any) -> Books:
    fetch, value = connection.fetch, connection.fetchval
    ended = [state.value for state in TERMINAL]
    living = await fetch("SELECT * FROM orders WHERE state <> ALL($1)", ended)
    closed = await fetch(
        "SELECT * FROM orders WHERE state = ANY($1) ORDER BY sequence DESC LIMIT $2",
        ended,
        CLOSED_ORDERS_MAX,
    )
    fills = await fetch(
        "SELECT venue, instrument_id, fill_id, client_order_id, ts_event, sequence FROM fills"
        " ORDER BY sequence DESC LIMIT $1",
        KEYS_MAX,
    )
    fill_ids: dict[str, set[str]] = {}
    for row in fills:
        fill_ids.setdefault(row["client_order_id"], set()).add(row["fill_id"])
    orders = sorted([*living, *closed], key=lambda row: int(row["sequence"]))
    books = await connection.fetchrow("SELECT position, head FROM books")
    return Books(
        position=books["position"],
        head=books["head"],
        orders=[
            (row["sequence"], rows.order_from(row, fill_ids.get(row["client_order_id"])))
            for row in orders
        ],
        fill_keys={
            (row["venue"], row["instrument_id"], row["fill_id"]): row["ts_event"]
            for row in reversed(fills)
        },
        ts_forgotten=await value(
            "SELECT coalesce(max(ts_event), 0) FROM fills WHERE sequence < $1",
            fills[-1]["sequence"] if fills else 0,
        ),
        adjustment_keys=await _adjustment_keys(connection),
        positions=[rows.position_from(r) for r in await fetch("SELECT * FROM positions")],
        strategy_positions=[
            (row["strategy_id"], rows.position_from(row))
            for row in await fetch("SELECT * FROM strategy_positions")
        ],
        balances=[rows.balance_from(r) for r in await fetch("SELECT * FROM balances")],
        moves=await _moves(connection),
        orders_count=await value("SELECT count(*) FROM orders"),
        fills_count=await value("SELECT count(*) FROM fills"),
        drawdown=await _drawdown(connection),
        drawdowns=await _drawdowns(connection),
    )


async def _adjustment_keys(connection: Any) -> list[tuple[str, str, str]]:
    found = await connection.fetch(
        "SELECT venue, cause, reference FROM journal WHERE cause <> ALL($1)"
        " ORDER BY sequence DESC LIMIT $2",
        [FILL, OPENING],
        KEYS_MAX,
    )
    return [tuple(row) for row in reversed(found)]


async def _moves(connection: Any) -> list[tuple[tuple[str, str], int, Any]]:
    # What an account that is not opened yet was moved by: its opening will ask when.
    found = await connection.fetch(
        "SELECT p.venue, p.asset, j.ts_event, p.amount FROM postings p"
        " JOIN journal j USING (sequence) JOIN balances b ON b.venue = p.venue"
        " AND b.asset = p.asset WHERE p.account = 'balance' AND b.ts_opened = 0"
        " ORDER BY p.sequence DESC, p.line DESC LIMIT $1",
        KEPT_MAX,
    )
    return [((r["venue"], r["asset"]), r["ts_event"], r["amount"]) for r in reversed(found)]


async def _drawdown(connection: Any) -> Drawdown:
    # Not the highest equity ever: a withdrawal lowers the peak.
    newest = await connection.fetchrow(
        "SELECT equity, drawdown FROM equity ORDER BY ts DESC LIMIT 1"
    )
    if newest is None:
        return Drawdown()
    return Drawdown(
        equity_peak=newest["equity"] + newest["drawdown"],
        drawdown=newest["drawdown"],
        drawdown_max=await connection.fetchval("SELECT max(drawdown) FROM equity"),
    )


async def _drawdowns(connection: Any) -> dict[str, Drawdown]:
    found = await connection.fetch(
        "SELECT DISTINCT ON (strategy_id) strategy_id, equity, drawdown,"
        " max(drawdown) OVER (PARTITION BY strategy_id) AS drawdown_max"
        " FROM strategy_equity ORDER BY strategy_id, ts DESC"
    )
    return {
        row["strategy_id"]: Drawdown(
            equity_peak=row["equity"] + row["drawdown"],
            drawdown=row["drawdown"],
            drawdown_max=row["drawdown_max"],
        )
        for row in found
    }
