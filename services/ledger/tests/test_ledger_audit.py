"""`tickbus audit verify`: sound books pass, and whatever is tampered with is named."""

import asyncpg
import pytest
from ledger_story import a_day, a_top, an_empty_database, an_order, an_order_filled, write_story

from tickbus_ledger.audit import BooksTooOld, Report, verify
from tickbus_ledger.core import LedgerCore
from tickbus_ledger.rows import batch_of
from tickbus_ledger.store import Store

pytestmark = pytest.mark.usefixtures("patient_books")


@pytest.fixture
async def dsn(postgres_dsn: str) -> str:
    return await an_empty_database(postgres_dsn)


async def a_written_day(dsn: str) -> LedgerCore:
    return await write_story(dsn, a_day(), a_top(1000.0), a_top(600.0, "BNB-USDT"))


async def tampered(dsn: str, *statements: str) -> Report:
    """The report after somebody with every right has changed the database."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET session_replication_role = replica")  # no triggers
    for statement in statements:
        done = await connection.execute(statement)
        assert not done.endswith(" 0"), f"nothing was changed by {statement}"
    await connection.close()
    return await verify(dsn)


async def test_books_as_they_were_written_are_sound(dsn: str) -> None:
    core = await a_written_day(dsn)
    seen: list[tuple[int, int]] = []
    report = await verify(dsn, progress=lambda done, total: seen.append((done, total)))
    assert report.findings == []
    assert (report.events, report.gaps) == (len(a_day()), [])
    assert report.head == f"{len(a_day())}:{core.take_changes().head.hex()}"
    assert seen[-1] == (len(a_day()), len(a_day()))


async def test_books_written_in_two_runs_are_sound(dsn: str) -> None:
    await a_written_day(dsn)
    # Without the market of the first run: what a fee was worth is in the log.
    await write_story(dsn, [*an_order_filled(7, "SELL", quantity="9", fee="1", fee_asset="BNB")])
    assert (await verify(dsn)).findings == []


async def test_empty_books_are_sound_and_foreign_ones_are_refused(dsn: str) -> None:
    with pytest.raises(BooksTooOld):
        await verify(dsn)
    await write_story(dsn, [])
    assert (await verify(dsn)).is_sound


@pytest.mark.parametrize(
    ("statement", "table", "row", "what"),
    [
        # The log.
        ("UPDATE order_events SET body = replace(body, '1010.5', '1011.5') WHERE kind ="
         " 'OrderFilled' AND body LIKE '%1010.5%'", "order_events", "9", "its hash"),
        ("UPDATE order_events SET notes = '{\"value\":\"1\"}' WHERE notes <> '' AND kind ="
         " 'OrderFilled'", "order_events", "13", "its hash"),
        ("UPDATE order_events SET ts_recv = ts_recv + 1 WHERE sequence = 4", "order_events", "4",
         "its hash"),
        ("DELETE FROM order_events WHERE sequence = 6", "order_events", "6 to 6",
         "missing from the log"),
        ("INSERT INTO order_events SELECT sequence + 1000, client_order_id, kind, ts_event,"
         " ts_recv, body, hops, notes, hash FROM order_events WHERE sequence = 3",
         "order_events", "1003", "its hash"),
        ("INSERT INTO order_events SELECT -5, client_order_id, kind, ts_event, ts_recv, body,"
         " hops, notes, hash FROM order_events WHERE sequence = 3", "order_events", "-5",
         "not in the order"),
        # What is derived from it.
        ("UPDATE fills SET price = price + 0.00000001 WHERE fill_id = '3'", "fills",
         "sim BTC-USDT 3", "price is 1000.00000001, its events give 1000"),
        ("DELETE FROM fills WHERE fill_id = '2'", "fills", "sim BTC-USDT 2", "missing"),
        ("INSERT INTO fills SELECT venue, instrument_id, '99', sequence, client_order_id,"
         " venue_order_id, strategy_id, side, price, quantity, fee, fee_asset, liquidity_side,"
         " ts_event FROM fills WHERE fill_id = '2'", "fills", "sim BTC-USDT 99",
         "nothing in the log"),
        ("UPDATE postings SET amount = amount + 1 WHERE sequence = 5 AND line = 0", "postings",
         "5 0", "amount is"),
        ("DELETE FROM postings WHERE sequence = 5 AND line = 1", "postings", "5 1", "missing"),
        ("UPDATE journal SET cause = 'REBATE' WHERE cause = 'TRANSFER'", "journal", "23",
         "cause is REBATE, its events give TRANSFER"),
        ("UPDATE positions SET realized_pnl = 5 WHERE instrument_id = 'BTC-USDT'", "positions",
         "sim BTC-USDT", "realized_pnl is 5"),
        ("UPDATE strategy_positions SET funding = 0 WHERE funding <> 0", "strategy_positions",
         "mm sim BTC-USDT-PERP", "funding is 0"),
        ("UPDATE balances SET amount = amount + 1 WHERE asset = 'BTC'", "balances", "sim BTC",
         "amount is"),
        ("UPDATE orders SET state = 'CANCELED' WHERE client_order_id = 'pp-r-1'", "orders",
         "pp-r-1", "not what its events make of it"),
        ("DELETE FROM orders WHERE client_order_id = 'pp-r-6'", "orders", "pp-r-6", "missing"),
        ("UPDATE books SET head = decode('00', 'hex')", "books", "head", "says that"),
    ],
)  # fmt: skip
async def test_a_changed_row_is_named(
    dsn: str, statement: str, table: str, row: str, what: str
) -> None:
    await a_written_day(dsn)
    report = await tampered(dsn, statement)
    assert not report.is_sound
    assert any(
        finding.table == table and finding.row == row and finding.what.startswith(what)
        for finding in report.findings
    ), [str(finding) for finding in report.findings]


async def test_two_rows_that_changed_places_are_found(dsn: str) -> None:
    await a_written_day(dsn)
    report = await tampered(
        dsn,
        "UPDATE order_events SET sequence = -1 WHERE sequence = 3",
        "UPDATE order_events SET sequence = 3 WHERE sequence = 4",
        "UPDATE order_events SET sequence = 4 WHERE sequence = -1",
    )
    assert ("order_events", "3") in [(f.table, f.row) for f in report.findings]


async def test_a_posting_changed_with_its_other_side_and_balance_is_found(dsn: str) -> None:
    await a_written_day(dsn)
    report = await tampered(
        dsn,
        "UPDATE postings SET amount = amount + 1, balance = balance + 1"
        " WHERE sequence = 23 AND line = 0",
        "UPDATE postings SET amount = amount - 1 WHERE sequence = 23 AND line = 1",
        "UPDATE balances SET amount = amount + 1 WHERE asset = 'USDT'",
    )
    assert {"postings", "balances"} == {finding.table for finding in report.findings}


async def test_an_end_cut_off_with_everything_it_made_is_found_by_an_anchor(dsn: str) -> None:
    core = await a_written_day(dsn)
    anchor = f"{core.position}:{core.take_changes().head.hex()}"
    hash_only = anchor.partition(":")[2]
    for expected in (anchor, hash_only):
        assert (await verify(dsn, expect=(expected,))).is_sound
    last = core.position
    # The last event is an order of its own: whoever cuts it off cleanly leaves no trace here.
    report = await tampered(
        dsn,
        f"DELETE FROM order_events WHERE sequence = {last}",
        "DELETE FROM orders WHERE client_order_id = 'pp-r-6'",
        f"UPDATE books SET position = {last} - 1, head ="
        f" (SELECT hash FROM order_events WHERE sequence = {last} - 1)",
    )
    assert report.is_sound
    for expected in (anchor, hash_only):
        cut = await verify(dsn, expect=(expected,))
        assert [(f.table, f.row) for f in cut.findings] == [("order_events", expected)]


async def test_a_part_of_the_log_can_be_walked_alone(dsn: str) -> None:
    await a_written_day(dsn)
    await tampered(dsn, "UPDATE order_events SET client_order_id = 'x' WHERE sequence = 9")
    assert (await verify(dsn, first=10)).is_sound
    assert (await verify(dsn, last=8)).is_sound
    part = await verify(dsn, first=5, last=12)
    assert part.events == 8
    assert [(f.table, f.row) for f in part.findings] == [("order_events", "9")]


async def test_what_the_stream_lost_is_told_apart_from_tampering(dsn: str) -> None:
    core = await write_story(dsn, a_day())
    store = await Store.open(dsn)
    core.load(await store.load())
    last = core.position
    core.fold(last + 4, an_order(9))
    core.skip(last + 5, b"\xff\0", "not an event envelope")
    await store.write(batch_of(core.take_changes()))
    await store.close()
    report = await verify(dsn)
    assert report.findings == []
    assert report.gaps == [(last + 1, last + 3)]
