"""Questions about what was, to a real Postgres; and what a restart must not forget."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest
from ledger_story import (
    SPOT,
    D,
    S,
    a_core,
    a_day,
    a_fill,
    a_payment,
    a_top,
    an_empty_database,
    an_opening,
    an_order,
    an_order_filled,
    write_story,
)

from tickbus import codec, subjects
from tickbus.bus import MemoryBus
from tickbus.config import Settings
from tickbus.events import OrderApproved, TimerFired
from tickbus.ledger_api import AuditQuery, EquityQuery, FillsQuery, OrdersQuery, PostingsQuery
from tickbus.order import OrderState
from tickbus.runtime.shell import Shell
from tickbus_ledger import core as core_module
from tickbus_ledger import store as store_module
from tickbus_ledger.audit import verify
from tickbus_ledger.history import History
from tickbus_ledger.rows import batch_of
from tickbus_ledger.service import build
from tickbus_ledger.store import Store

pytestmark = pytest.mark.usefixtures("patient_books")


@pytest.fixture
async def dsn(postgres_dsn: str) -> str:
    return await an_empty_database(postgres_dsn)


@pytest.fixture
async def history(dsn: str) -> AsyncIterator[History]:
    await write_story(dsn, a_day(), a_top(1000.0), a_top(600.0, "BNB-USDT"))
    store = await Store.open(dsn)
    yield store.history
    await store.close()


async def test_a_balance_is_explained_page_by_page(history: History) -> None:
    seen, cursor = [], ""
    for _ in range(10):
        page, cursor = await history.postings(PostingsQuery(asset="USDT", limit=2, cursor=cursor))
        seen += page
        if not cursor:
            break
    whole, none = await history.postings(PostingsQuery(asset="USDT"))
    assert (seen, none) == (whole, "")
    assert [(p.cause, p.account) for p in whole] == [
        ("TRANSFER", "transfers"), ("FUNDING", "funding"), ("FILL", "trading"), ("FILL", "fees"),
        ("FILL", "trading"), ("FILL", "fees"), ("FILL", "trading"), ("FILL", "trading"),
        ("OPENING", "opening"),
    ]  # fmt: skip
    for newer, older in itertools.pairwise(whole):
        assert newer.balance == older.balance + newer.amount
    assert whole[-1].balance == D(100_000)


@pytest.mark.parametrize(
    ("query", "causes"),
    [
        (PostingsQuery(cause="FUNDING"), ["FUNDING"]),
        (PostingsQuery(asset="BNB", instrument_id="BTC-USDT-PERP"), ["COMMISSION"]),
        (PostingsQuery(asset="BTC", strategy_id="mm"), ["FILL"]),
        (PostingsQuery(asset="USDT", since_ns=4 * S), ["TRANSFER", "FUNDING"]),
        (PostingsQuery(asset="USDT", until_ns=S), ["OPENING"]),
        (PostingsQuery(venue="elsewhere"), []),
    ],
)
async def test_postings_are_chosen(
    history: History, query: PostingsQuery, causes: list[str]
) -> None:
    assert [p.cause for p in (await history.postings(query))[0]] == causes


async def test_orders_and_fills_of_a_span(history: History) -> None:
    assert len((await history.orders(OrdersQuery(since_ns=2 * S, until_ns=2 * S)))[0]) == 6
    assert (await history.orders(OrdersQuery(since_ns=2 * S + 1)))[0] == []
    assert len((await history.fills(FillsQuery(until_ns=3 * S)))[0]) == 5
    of_mm, _ = await history.fills(FillsQuery(since_ns=S, strategy_id="mm", instrument_id=SPOT))
    assert [record.client_order_id for record in of_mm] == ["mm-r-2"]
    third, _ = await history.fills(FillsQuery(client_order_id="pp-r-3"))
    assert third[0].fee_value == D("1.8")


async def test_the_audit_log_can_be_read(history: History) -> None:
    payments, cursor = await history.audit(AuditQuery(kind="BalanceAdjusted", limit=2))
    assert ['"cause":"COMMISSION"' in row.body for row in payments] == [True, False]
    rest, last = await history.audit(AuditQuery(kind="BalanceAdjusted", limit=2, cursor=cursor))
    assert (len(rest), last) == (1, "")
    story, _ = await history.audit(AuditQuery(client_order_id="mm-r-2", until_ns=3 * S))
    assert [row.kind for row in story] == [
        "OrderFilled", "OrderAccepted", "OrderApproved", "SubmitOrder",
    ]  # fmt: skip


async def test_curves_of_the_account_and_of_strategies(dsn: str) -> None:
    store = await Store.open(dsn)
    await store.claim("simulated", "sim")
    core = a_core()
    core.load(await store.load())
    core.fold(1, an_opening(USDT="10000", BTC="0"))
    core.fold(2, a_fill(1, price="100"))
    for ts, price in ((10, 100.0), (20, 130.0), (30, 90.0)):
        core.handle(a_top(price, ts=ts * S))
        core.handle(TimerFired(ts * S, ts * S, "portfolio"))
    core.fold(3, a_payment("TRANSFER", "USDT", "-5000", "t"))
    await store.write(batch_of(core.take_changes()))
    curve = await store.history.equity(EquityQuery(strategy_id="pp", since_ns=20 * S))
    assert [(p.ts, p.equity, p.drawdown) for p in curve] == [
        (20 * S, D(30), D(0)),
        (30 * S, D(-10), D(40)),
    ]
    assert await store.history.equity(EquityQuery(strategy_id="other")) == []
    books = await store.load()
    assert (books.drawdown.equity_peak, books.drawdown.drawdown_max) == (D(10_030), D(40))
    assert (books.drawdowns["pp"].equity_peak, books.drawdowns["pp"].drawdown) == (D(30), D(40))
    await store.close()


async def test_an_opening_after_a_restart_knows_what_was_traded_after_it(dsn: str) -> None:
    """The report was made at 2 s, a fill came at 3 s, and the ledger was started in between."""
    await write_story(dsn, [a_fill(1, ts=3 * S)])
    core = await write_story(dsn, [an_opening(ts=2 * S, BTC="5", USDT="10000")])
    amounts = {b.asset: (b.opening, b.amount) for b in core.portfolio().balances}
    assert amounts == {"BTC": (D(5), D(6)), "USDT": (D(10_000), D(9_000))}
    assert (await verify(dsn)).findings == []


async def test_a_fill_older_than_memory_is_not_counted_twice(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_module, "KEYS_MAX", 3)
    monkeypatch.setattr(store_module, "KEYS_MAX", 3)
    first = a_fill(1, ts=3 * S)
    later = [event for n in range(2, 9) for event in an_order_filled(n, ts=(3 + n) * S)]
    await write_story(dsn, [first, *later])
    bus = MemoryBus()
    for n in range(1 + len(later)):
        await bus.publish_durable("orders.event.sim.pp", b"told before", str(n))
    repeated, unheard = first, a_fill(99, ts=2 * S)
    for event in (repeated, unheard):
        await bus.publish_durable(
            subjects.of(event), codec.encode([event]), f"again-{event.client_order_id}"
        )
    shell = Shell(build(a_setting(dsn)), bus)
    await shell.start()
    await shell_wrote(dsn, await bus.last_sequence())
    await shell.stop()
    assert shell.failure is None
    connection = await asyncpg.connect(dsn)
    fills = await connection.fetch("SELECT fill_id FROM fills ORDER BY sequence")
    assert [row["fill_id"] for row in fills] == [*"12345678", "99"]
    assert await connection.fetchval("SELECT quantity FROM positions") == 9
    await connection.close()
    assert (await verify(dsn)).findings == []


def a_setting(dsn: str) -> Settings:
    venue = {
        "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
        "instruments": [SPOT], "fees": {"maker": "0.001", "taker": "0.001"},
    }  # fmt: skip
    return Settings({"postgres": {"dsn": dsn}, "venue": venue})


async def shell_wrote(dsn: str, position: int) -> None:

    connection = await asyncpg.connect(dsn)
    async with asyncio.timeout(60):
        while await connection.fetchval("SELECT position FROM books") != position:
            await asyncio.sleep(0.02)
    await connection.close()


@pytest.mark.parametrize("table", ["order_events", "fills", "journal", "postings"])
@pytest.mark.parametrize("change", ["UPDATE {} SET sequence = 0", "DELETE FROM {}", "TRUNCATE {}"])
async def test_what_happened_cannot_be_changed_by_accident(
    dsn: str, table: str, change: str
) -> None:
    await write_story(dsn, a_day())
    connection: Any = await asyncpg.connect(dsn)
    with pytest.raises(asyncpg.RaiseError, match="is append-only"):
        await connection.execute(change.format(table))
    await connection.close()


async def test_orders_that_replace_wait_and_are_parts_are_kept_as_they_are(dsn: str) -> None:
    first = an_order(1)
    second = msgspec.structs.replace(
        an_order(2),
        replaces="pp-r-1",
        parent_id="pp-r-0",
        trigger_price=D("990.5"),
        expires_ns=7 * S,
    )
    events = [
        first,
        OrderApproved(2 * S, 2 * S, first),
        second,
        OrderApproved(3 * S, 3 * S, second),
    ]
    await write_story(dsn, events)
    store = await Store.open(dsn)
    for orders in (
        {order.client_order_id: order for order in (await store.history.orders(OrdersQuery()))[0]},
        {order.client_order_id: order for _, order in (await store.load()).orders},
    ):
        assert orders["pp-r-1"].state is OrderState.PENDING_REPLACE
        new = orders["pp-r-2"]
        assert (new.replaces, new.parent_id, new.trigger_price, new.expires_ns) == (
            "pp-r-1", "pp-r-0", D("990.5"), 7 * S,
        )  # fmt: skip
    await store.close()
    assert (await verify(dsn)).findings == []


async def test_a_fill_told_again_by_the_router_moves_nothing(dsn: str) -> None:
    part = a_fill(1)
    whole = msgspec.structs.replace(part, venue="smart", client_order_id="pp-r-0")
    core = await write_story(dsn, [part, whole])
    assert (core.portfolio().fills, len(core.portfolio().positions)) == (1, 1)
    assert (await verify(dsn)).findings == []
