"""All SQL of the ledger: the schema, the transaction that writes, the questions that read."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import asyncpg

from tickbus.config import ConfigError
from tickbus.events import EquityPoint
from tickbus.ledger_api import (
    EquityQuery,
    FillRecord,
    FillsQuery,
    OrdersQuery,
    OrderStep,
)
from tickbus.order import CLOSED_ORDERS_MAX, TERMINAL, Order
from tickbus.portfolio import Drawdown
from tickbus_ledger import rows
from tickbus_ledger.core import FILL_IDS_MAX, Books
from tickbus_ledger.migrate import migrate
from tickbus_ledger.rows import Batch, Row

COMMAND_TIMEOUT_S = 10.0
CONNECTIONS_MAX = 4
AWAY = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError, asyncpg.InsufficientResourcesError,
        asyncpg.TransactionRollbackError)  # fmt: skip
"""What says that Postgres cannot be used now, and that trying again is right."""


class OtherWriter(Exception):
    """Somebody else wrote to these books: two ledgers run on one database."""


class Store:
    """The books in Postgres; made by `Store.open`."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @classmethod
    async def open(cls, dsn: str) -> "Store":
        """Connect and bring the schema up to date. Raises one of AWAY."""
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=CONNECTIONS_MAX,
            command_timeout=COMMAND_TIMEOUT_S,
            timeout=5,
            init=_read_numbers_as_written,
        )
        try:
            async with pool.acquire() as connection:
                await migrate(connection)
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
            "INSERT INTO books (mode, venue, position) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
            mode,
            venue,
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
            fetch = connection.fetch
            ended = [state.value for state in TERMINAL]
            living = await fetch("SELECT * FROM orders WHERE state <> ALL($1)", ended)
            closed = await fetch(
                "SELECT * FROM orders WHERE state = ANY($1) ORDER BY sequence DESC LIMIT $2",
                ended,
                CLOSED_ORDERS_MAX,
            )
            fills = await fetch(
                "SELECT venue, instrument_id, fill_id, client_order_id FROM fills"
                " ORDER BY sequence DESC LIMIT $1",
                FILL_IDS_MAX,
            )
            fill_ids: dict[str, set[str]] = {}
            for row in fills:
                fill_ids.setdefault(row["client_order_id"], set()).add(row["fill_id"])
            orders = sorted([*living, *closed], key=lambda row: int(row["sequence"]))
            value = connection.fetchval
            return Books(
                position=await value("SELECT position FROM books"),
                orders=[
                    (row["sequence"], rows.order_from(row, fill_ids.get(row["client_order_id"])))
                    for row in orders
                ],
                fill_keys=[
                    (row["venue"], row["instrument_id"], row["fill_id"]) for row in reversed(fills)
                ],
                positions=[rows.position_from(r) for r in await fetch("SELECT * FROM positions")],
                balances=[rows.balance_from(r) for r in await fetch("SELECT * FROM balances")],
                orders_count=await value("SELECT count(*) FROM orders"),
                fills_count=await value("SELECT count(*) FROM fills"),
                drawdown=Drawdown(
                    equity_peak=await value("SELECT max(equity) FROM equity"),
                    drawdown_max=await value("SELECT coalesce(max(drawdown), 0) FROM equity"),
                ),
            )

    async def write(self, batch: Batch) -> None:
        """The batch and its stream position, both or neither.

        Writing a batch again that was in fact written changes nothing. Raises one of AWAY, or
        OtherWriter.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            position = await connection.fetchval("SELECT position FROM books FOR UPDATE")
            if position == batch.position and position != batch.position_before:
                return  # the answer to the last try was lost, not the transaction
            if position != batch.position_before:
                raise OtherWriter(
                    f"the books are at {position} of the stream, this ledger left them at"
                    f" {batch.position_before}: stop the other ledger on this database"
                )
            write = connection.executemany
            await write(_upsert("orders", rows.ORDER_COLUMNS, 1, keep=1), batch.orders)
            await write(_insert("order_events", rows.EVENT_COLUMNS), batch.events)
            await write(_insert("fills", rows.FILL_COLUMNS), batch.fills)
            await write(_upsert("positions", rows.POSITION_COLUMNS, 2), batch.positions)
            await write(_upsert("balances", rows.BALANCE_COLUMNS, 2), batch.balances)
            points = ("ts", "equity", "net_pnl", "drawdown")
            await write(_insert("equity", points) + " ON CONFLICT DO NOTHING", batch.equity)
            await connection.execute("UPDATE books SET position = $1", batch.position)

    async def orders(self, query: OrdersQuery) -> tuple[list[Order], str]:
        """A page of orders and the cursor of the next, '' on the last."""
        filters = [("state = ANY($?)", [state.value for state in query.states])]
        found, cursor = await self._page("orders", filters, query)
        return [rows.order_from(row) for row in found], cursor

    async def fills(self, query: FillsQuery) -> tuple[list[FillRecord], str]:
        """A page of fills and the cursor of the next, '' on the last."""
        filters = [("client_order_id = $?", query.client_order_id)]
        found, cursor = await self._page("fills", filters, query)
        return [rows.fill_from(row) for row in found], cursor

    async def order(self, client_order_id: str, venue_order_id: str) -> Order | None:
        """One order by either id; None when there is none."""
        column, value = (
            ("client_order_id", client_order_id)
            if client_order_id
            else ("venue_order_id", venue_order_id)
        )
        row = await self._pool.fetchrow(
            f"SELECT * FROM orders WHERE {column} = $1 ORDER BY sequence DESC LIMIT 1",  # noqa: S608
            value,
        )
        return None if row is None else rows.order_from(row)

    async def steps(self, client_order_id: str) -> list[OrderStep]:
        """The first 1000 events of an order, oldest first."""
        found = await self._pool.fetch(
            "SELECT * FROM order_events WHERE client_order_id = $1 ORDER BY sequence LIMIT 1000",
            client_order_id,
        )
        return [
            OrderStep(
                sequence=row["sequence"],
                kind=row["kind"],
                ts_event=row["ts_event"],
                ts_recv=row["ts_recv"],
                body=row["body"],
            )
            for row in found
        ]

    async def equity(self, query: EquityQuery) -> list[EquityPoint]:
        """The newest points in a span, oldest first."""
        found = await self._pool.fetch(
            "SELECT ts, equity, net_pnl, drawdown FROM equity"
            " WHERE ts >= $1 AND ($2 = 0 OR ts <= $2) ORDER BY ts DESC LIMIT $3",
            query.since_ns,
            query.until_ns,
            query.limit,
        )
        return [EquityPoint(*row.values()) for row in reversed(found)]

    async def _page(
        self, table: str, filters: list[tuple[str, Any]], query: OrdersQuery | FillsQuery
    ) -> tuple[Sequence[Any], str]:
        filters = [
            *filters,
            ("strategy_id = $?", query.strategy_id),
            ("venue = $?", query.venue),
            ("instrument_id = $?", query.instrument_id),
            ("sequence < $?", int(query.cursor or 0)),
        ]
        given = [(text, value) for text, value in filters if value]
        where = " AND ".join(text.replace("?", str(n + 1)) for n, (text, _) in enumerate(given))
        found = await self._pool.fetch(
            f"SELECT * FROM {table} WHERE {where or 'true'}"  # noqa: S608 - our own words only
            f" ORDER BY sequence DESC LIMIT {query.limit + 1}",
            *(value for _, value in given),
        )
        page = found[: query.limit]
        return page, str(page[-1]["sequence"]) if len(found) > len(page) else ""


async def _read_numbers_as_written(connection: Any) -> None:
    # The driver's own form turns 10000 into 1E+4: equal, but not what anybody wants to read.
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", encoder=str, decoder=Decimal, format="text"
    )


def _insert(table: str, columns: Sequence[str]) -> str:
    places = ", ".join(f"${n + 1}" for n in range(len(columns)))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608


def _upsert(table: str, columns: Sequence[str], keys: int, keep: int = 0) -> str:
    # The first `keys` columns name the row, the next `keep` stay as they were first written.
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns[keys + keep :])
    target = ", ".join(columns[:keys])
    return f"{_insert(table, columns)} ON CONFLICT ({target}) DO UPDATE SET {changes}"


__all__ = ["AWAY", "OtherWriter", "Row", "Store"]
