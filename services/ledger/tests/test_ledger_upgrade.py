"""Books of an older version are brought up to date with all that is in them."""

from importlib import resources

import asyncpg
import pytest
from ledger_story import D, a_core, a_day, an_empty_database, an_order_filled, write_story

from tickbus.ledger_api import PostingsQuery
from tickbus_ledger import rows
from tickbus_ledger.audit import verify
from tickbus_ledger.log import NOTHING
from tickbus_ledger.rows import batch_of
from tickbus_ledger.sql import insert, read_numbers_as_written
from tickbus_ledger.store import Store

pytestmark = pytest.mark.usefixtures("patient_books")

HOLE = 4
"""A message that the older version could not read, and so did not keep."""


@pytest.fixture
async def old_dsn(postgres_dsn: str) -> str:
    """A database as version 2 of the schema left it, with a day's rows in it."""
    dsn = await an_empty_database(postgres_dsn)
    connection = await asyncpg.connect(dsn)
    await read_numbers_as_written(connection)
    await connection.execute("CREATE TABLE schema_version (name text PRIMARY KEY,"
                             " applied timestamptz NOT NULL DEFAULT now())")  # fmt: skip
    folder = resources.files("tickbus_ledger.migrations")
    for name in ("0001_books.sql", "0002_opening_time.sql"):
        await connection.execute((folder / name).read_text())
        await connection.execute("INSERT INTO schema_version VALUES ($1)", name)
    core = a_core()
    for n, event in enumerate(a_day(), start=1):
        core.apply(n if n < HOLE else n + 1, event, NOTHING)
    batch = batch_of(core.take_changes())
    for table, columns, kept in (
        ("orders", rows.ORDER_COLUMNS[:-4], [row[:-4] for row in batch.orders]),
        ("fills", rows.FILL_COLUMNS[:-1], [row[:-1] for row in batch.fills]),
        ("positions", rows.POSITION_COLUMNS[:-4], [row[:-4] for row in batch.positions]),
        ("balances", rows.BALANCE_COLUMNS, batch.balances),
        ("order_events", rows.EVENT_COLUMNS[:-2], an_old_log()),
    ):
        await connection.executemany(insert(table, columns), kept)
    await connection.execute(
        "INSERT INTO books (mode, venue, position) VALUES ('simulated', 'sim', $1)", core.position
    )
    await connection.close()
    return dsn


def an_old_log() -> list[tuple[object, ...]]:
    core = a_core()
    for n, event in enumerate(a_day(), start=1):
        core.fold(n if n < HOLE else n + 1, event)
    return [row[:-2] for row in core.take_changes().log if row.kind != "Gap"]


async def test_older_books_get_postings_strategies_and_hashes(old_dsn: str) -> None:
    said: list[str] = []
    store = await Store.open(old_dsn, said.append)
    books = await store.load()
    assert said[0] == "migrated the books: 0003_double_entry.sql"
    assert said[3].startswith("the books are of an older version: folding")
    assert said[-1] == f"the books are up to date: {len(a_day())} events"
    straight = a_core()
    for sequence, event in enumerate(a_day(), start=1):
        straight.fold(sequence, event)
    changes = straight.take_changes()
    assert {key: amount for key, _, amount in books.balances} == {
        key: amount for key, _, amount in changes.balances
    }
    assert {(name, p.instrument_id): p.quantity for name, p in books.strategy_positions} == {
        (name, p.instrument_id): p.quantity for name, p in changes.strategy_positions
    }
    postings, _ = await store.history.postings(PostingsQuery(asset="USDT"))
    assert [p.amount for p in postings] == [
        p.amount for p in reversed(changes.postings) if p.account == "balance" and p.asset == "USDT"
    ]
    await store.close()
    report = await verify(old_dsn)
    assert (report.findings, report.gaps) == ([], [(HOLE, HOLE)])


async def test_upgraded_books_go_on(old_dsn: str) -> None:
    await write_story(old_dsn, an_order_filled(20, quantity="0.5"))
    report = await verify(old_dsn)
    assert (report.findings, report.gaps) == ([], [(HOLE, HOLE)])
    said: list[str] = []
    await (await Store.open(old_dsn, said.append)).close()
    assert said == []


async def test_a_balance_that_the_older_version_had_wrong_is_told(old_dsn: str) -> None:
    connection = await asyncpg.connect(old_dsn)
    await connection.execute("UPDATE balances SET amount = amount + 7 WHERE asset = 'USDT'")
    right = await connection.fetchval("SELECT amount - 7 FROM balances WHERE asset = 'USDT'")
    await connection.close()
    said: list[str] = []
    store = await Store.open(old_dsn, said.append)
    assert f"USDT at sim: the books had {right + 7}, their events give {right}" in said
    assert {key[1]: amount for key, _, amount in (await store.load()).balances}["USDT"] == D(right)
    await store.close()
