"""How rows get into tables: the one place that spells INSERT."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tickbus_ledger import rows
from tickbus_ledger.rows import Batch


async def read_numbers_as_written(connection: Any) -> None:
    """Make `connection` give numbers as they are stored.

    The driver's own form turns 10000 into 1E+4: equal, but not what anybody wants to read.
    """
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", encoder=str, decoder=Decimal, format="text"
    )


def insert(table: str, columns: Sequence[str]) -> str:
    """The statement that adds one row."""
    places = ", ".join(f"${n + 1}" for n in range(len(columns)))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608


def upsert(table: str, columns: Sequence[str], keys: int, keep: int = 0) -> str:
    """The statement that adds a row or replaces the one of the same key.

    The first `keys` columns name the row, the next `keep` stay as they were first written.
    """
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns[keys + keep :])
    target = ", ".join(columns[:keys])
    return f"{insert(table, columns)} ON CONFLICT ({target}) DO UPDATE SET {changes}"


_EVENTS = insert("order_events", rows.EVENT_COLUMNS)
_FILLS = insert("fills", rows.FILL_COLUMNS)
_JOURNAL = insert("journal", rows.ENTRY_COLUMNS)
_POSTINGS = insert("postings", rows.POSTING_COLUMNS)
_ORDERS = upsert("orders", rows.ORDER_COLUMNS, 1, keep=1)
_POSITIONS = upsert("positions", rows.POSITION_COLUMNS, 2)
_STRATEGY_POSITIONS = upsert("strategy_positions", rows.STRATEGY_POSITION_COLUMNS, 3)
_BALANCES = upsert("balances", rows.BALANCE_COLUMNS, 2)
_EQUITY = insert("equity", rows.EQUITY_COLUMNS) + " ON CONFLICT DO NOTHING"
_SESSIONS = insert("sessions", rows.SESSION_COLUMNS)
_STRATEGY_EQUITY = (
    insert("strategy_equity", rows.STRATEGY_EQUITY_COLUMNS) + " ON CONFLICT DO NOTHING"
)


async def write_batch(connection: Any, batch: Batch) -> None:
    """Every row of `batch` and its stream position; the caller has opened the transaction."""
    await _write(
        connection,
        (_ORDERS, batch.orders),
        (_EVENTS, batch.events),
        (_FILLS, batch.fills),
        (_EQUITY, batch.equity),
        (_STRATEGY_EQUITY, batch.strategy_equity),
        (_SESSIONS, batch.sessions),
    )
    await write_money(connection, batch)
    await connection.execute(
        "UPDATE books SET position = $1, head = $2", batch.position, batch.head
    )


async def write_money(connection: Any, batch: Batch) -> None:
    """The rows of `batch` that say who has what, and why."""
    await _write(
        connection,
        (_POSITIONS, batch.positions),
        (_STRATEGY_POSITIONS, batch.strategy_positions),
        (_BALANCES, batch.balances),
        (_JOURNAL, batch.journal),
        (_POSTINGS, batch.postings),
    )


async def _write(connection: Any, *tables: tuple[str, list[rows.Row]]) -> None:
    for statement, found in tables:
        if found:
            await connection.executemany(statement, found)
