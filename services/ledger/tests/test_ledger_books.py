"""The books in a real Postgres: written exactly once, whatever breaks in between."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tickbus import codec, ledger_api, subjects
from tickbus.bus import MemoryBus
from tickbus.codec import Hop
from tickbus.config import ConfigError, Settings
from tickbus.events import (
    AccountUpdated,
    Balance,
    BookTop,
    DenialReason,
    Event,
    Fill,
    LiquiditySide,
    OrderAccepted,
    OrderApproved,
    OrderDenied,
    OrderFilled,
    OrderType,
    Side,
    SubmitOrder,
    TimerFired,
)
from tickbus.events.orders import message_id
from tickbus.ledger_api import (
    EquityAnswer,
    EquityQuery,
    FillsAnswer,
    FillsQuery,
    OrderAnswer,
    OrderQuery,
    OrdersAnswer,
    OrdersQuery,
    PortfolioAnswer,
    PortfolioQuery,
)
from tickbus.ledger_client import LedgerRefused, ask
from tickbus.order import OrderState
from tickbus.runtime.shell import Shell
from tickbus_ledger.config import LedgerConfig
from tickbus_ledger.core import LedgerCore
from tickbus_ledger.rows import batch_of
from tickbus_ledger.service import build
from tickbus_ledger.store import OtherWriter, Store
from tickbus_testkit.patience import PATIENCE_S

D = Decimal
S = 1_000_000_000
names = itertools.count(1)

pytestmark = pytest.mark.usefixtures("patient_books")


@pytest.fixture
async def dsn(postgres_dsn: str) -> str:
    """An empty database of this test's own."""
    name = f"ledger_{next(names)}"
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute(f"DROP DATABASE IF EXISTS {name}")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return urlunsplit(urlsplit(postgres_dsn)._replace(path=f"/{name}"))


def an_order(n: int = 1, quantity: str = "2") -> SubmitOrder:
    return SubmitOrder(
        S, S, f"pp-r-{n}", "pp", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, D(quantity), D(1000)
    )


def at_venue(n: int) -> tuple[int, int, str, str, str, str]:
    return (2 * S, 2 * S, f"pp-r-{n}", "pp", "sim", "BTC-USDT")


def a_fill(n: int, fill_id: str, cumulative: str = "1", quantity: str = "1") -> OrderFilled:
    fill = Fill(
        fill_id, Side.BUY, D("1000.01"), D(quantity), D("0.001"), "BTC", LiquiditySide.MAKER, 2 * S
    )
    return OrderFilled(*at_venue(n), f"v{n}", fill, D(cumulative), D(2) - D(cumulative))


def a_story(n: int) -> list[Event]:
    """An order's whole life: six events, two fills."""
    return [
        an_order(n),
        OrderApproved(S, S, an_order(n)),
        OrderAccepted(*at_venue(n), f"v{n}"),
        a_fill(n, f"{n}-1", "1"),
        a_fill(n, f"{n}-2", "2"),
    ]


OPENING = AccountUpdated(
    S, S, "sim", (Balance("BTC", D(5), D(0)), Balance("USDT", D(100_000), D(0))), True
)


async def put(bus: MemoryBus, *events: Event) -> None:
    for event in events:
        payload = codec.encode([event], (Hop("execution", 1, 2),))
        await bus.publish_durable(subjects.of(event), payload, message_id(event))


@asynccontextmanager
async def a_ledger(bus: MemoryBus, dsn: str, **config: Any) -> AsyncIterator[Shell]:
    raw: dict[str, Any] = {
        "ledger": config,
        "postgres": {"dsn": dsn},
        "venue": {
            "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
            "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
        },
    }  # fmt: skip
    shell = Shell(build(Settings(raw)), bus)
    await shell.start()
    try:
        yield shell
    finally:
        await shell.stop()


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.01)


async def written(dsn: str, bus: MemoryBus) -> None:
    """Wait until the books have all of the stream."""
    connection = await asyncpg.connect(dsn)

    async def all_there() -> bool:
        with contextlib.suppress(asyncpg.UndefinedTableError):
            position = await connection.fetchval("SELECT position FROM books")
            return bool(position == await bus.last_sequence())
        return False

    try:
        await until(all_there)
    finally:
        await connection.close()


async def test_a_story_is_written_and_can_be_asked_for(dsn: str) -> None:
    bus = MemoryBus()
    async with a_ledger(bus, dsn):
        await put(bus, OPENING, *a_story(1), *a_story(2)[:3])
        top = BookTop(3 * S, 3 * S, "sim", "BTC-USDT", 999.0, 1.0, 1001.0, 1.0, 1, 1)
        await bus.publish(subjects.of(top), codec.encode([top]))
        await bus.settle()
        await written(dsn, bus)

        orders = await ask(bus, ledger_api.ORDERS, OrdersQuery(), OrdersAnswer, PATIENCE_S)
        assert [(o.client_order_id, o.state) for o in orders.orders] == [
            ("pp-r-2", OrderState.OPEN),
            ("pp-r-1", OrderState.FILLED),
        ]
        query = OrdersQuery(states=(OrderState.FILLED,), strategy_id="pp")
        (order,) = (await ask(bus, ledger_api.ORDERS, query, OrdersAnswer, PATIENCE_S)).orders
        assert (order.filled_quantity, order.filled_notional) == (D(2), D("2000.02"))
        assert order.fees == {"BTC": D("0.002")}

        detail = await ask(
            bus, ledger_api.ORDER, OrderQuery(venue_order_id="v1"), OrderAnswer, PATIENCE_S
        )
        assert detail.order == order
        assert [step.kind for step in detail.steps] == [
            "SubmitOrder", "OrderApproved", "OrderAccepted", "OrderFilled", "OrderFilled",
        ]  # fmt: skip
        assert '"price":"1000.01"' in detail.steps[-1].body

        fills = await ask(bus, ledger_api.FILLS, FillsQuery(limit=1), FillsAnswer, PATIENCE_S)
        assert [record.fill.fill_id for record in fills.fills] == ["1-2"]
        rest = FillsQuery(cursor=fills.next_cursor)
        fills = await ask(bus, ledger_api.FILLS, rest, FillsAnswer, PATIENCE_S)
        assert [record.fill.fill_id for record in fills.fills] == ["1-1"]
        assert fills.next_cursor == ""

        books = await ask(bus, ledger_api.PORTFOLIO, PortfolioQuery(), PortfolioAnswer, PATIENCE_S)
        assert books.positions[0].quantity == D("1.998")
        assert books.equity == D(100_000) - D("2000.02") + D("6.998") * 1000
        assert books.net_pnl == D("1998") - D("2000.02")
        assert (books.orders, books.working_orders, books.fills) == (2, 1, 2)


async def test_a_restart_goes_on_where_the_books_end(dsn: str) -> None:
    bus = MemoryBus()
    async with a_ledger(bus, dsn):
        await put(bus, OPENING, *a_story(1)[:4])
        await written(dsn, bus)
        before = await ask(bus, ledger_api.PORTFOLIO, PortfolioQuery(), PortfolioAnswer, PATIENCE_S)
    await put(bus, a_story(1)[4], *a_story(2))
    async with a_ledger(bus, dsn):
        await written(dsn, bus)
        after = await ask(bus, ledger_api.PORTFOLIO, PortfolioQuery(), PortfolioAnswer, PATIENCE_S)
        orders = await ask(bus, ledger_api.ORDERS, OrdersQuery(), OrdersAnswer, PATIENCE_S)
    assert (before.positions[0].quantity, after.positions[0].quantity) == (D("0.999"), D("3.996"))
    assert (after.orders, after.fills) == (2, 4)
    assert [order.state for order in orders.orders] == [OrderState.FILLED] * 2
    assert "E" not in str(after.balances["sim"])
    assert after.balances["sim"][1] == Balance("USDT", D(100_000) - 4 * D("1000.01"), D(0))


@pytest.mark.parametrize("crash_after", range(1, 11))
async def test_a_crash_between_any_two_events_loses_and_doubles_nothing(
    dsn: str, crash_after: int
) -> None:
    """The first process dies with folded events unwritten; the second one reads them again."""
    events = [OPENING, *a_story(1), *a_story(2)]
    store = await Store.open(dsn)
    await store.claim("simulated", "sim")
    first = a_core(await store.load())
    for sequence, event in enumerate(events[:crash_after], start=1):
        first.fold(sequence, event)
        if sequence == crash_after // 2:
            await store.write(batch_of(first.take_changes()))
    second = a_core(await store.load())
    assert second.position == crash_after // 2
    for sequence, event in enumerate(events, start=1):
        second.fold(sequence, event)
        await store.write(batch_of(second.take_changes()))
    third = a_core(await store.load())
    straight = LedgerCore(LedgerConfig(), ("BTC-USDT",))
    for sequence, event in enumerate(events, start=1):
        straight.fold(sequence, event)
    expected = straight.portfolio()
    assert third.portfolio().positions == expected.positions
    assert third.portfolio().balances == expected.balances
    assert (third.portfolio().orders, third.portfolio().fills) == (2, 4)
    await store.close()


def a_core(books: Any) -> LedgerCore:
    core = LedgerCore(LedgerConfig(), ("BTC-USDT",))
    core.load(books)
    return core


async def test_a_batch_whose_answer_was_lost_is_not_written_twice(dsn: str) -> None:
    store = await Store.open(dsn)
    await store.claim("simulated", "sim")
    core = a_core(await store.load())
    for sequence, event in enumerate(a_story(1), start=1):
        core.fold(sequence, event)
    batch = batch_of(core.take_changes())
    await store.write(batch)
    await store.write(batch)
    assert (await store.load()).fills_count == 2
    await store.close()


async def test_a_second_ledger_on_the_same_books_is_stopped(dsn: str) -> None:
    store = await Store.open(dsn)
    await store.claim("simulated", "sim")
    one, two = a_core(await store.load()), a_core(await store.load())
    one.fold(1, an_order(1))
    two.fold(1, an_order(1))
    two.fold(2, OrderApproved(S, S, an_order(1)))
    await store.write(batch_of(one.take_changes()))
    with pytest.raises(OtherWriter, match="stop the other ledger"):
        await store.write(batch_of(two.take_changes()))
    await store.close()


async def test_books_of_another_mode_or_venue_are_refused(dsn: str) -> None:
    store = await Store.open(dsn)
    await store.claim("simulated", "sim")
    await store.claim("simulated", "sim")
    for mode, venue in (("live", "sim"), ("simulated", "binance")):
        with pytest.raises(ConfigError, match="--fresh"):
            await store.claim(mode, venue)
    await store.close()


async def test_books_ahead_of_the_stream_are_refused(dsn: str) -> None:
    bus = MemoryBus()
    async with a_ledger(bus, dsn):
        await put(bus, *a_story(1))
        await written(dsn, bus)
    async with a_ledger(MemoryBus(), dsn) as shell:
        await asyncio.wait_for(shell.stopping.wait(), 30)
    assert isinstance(shell.failure, ConfigError)
    assert "another stream" in str(shell.failure)


async def test_postgres_away_for_a_while_loses_nothing(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, write, failures = MemoryBus(), Store.write, itertools.count()

    async def failing(self: Store, batch: Any) -> None:
        if next(failures) < 3:
            raise ConnectionRefusedError("away")
        await write(self, batch)

    monkeypatch.setattr(Store, "write", failing)
    async with a_ledger(bus, dsn) as shell:
        await put(bus, OPENING, *a_story(1))
        await written(dsn, bus)
        assert shell.telemetry.errors["postgres_away"] >= 3
        books = await ask(bus, ledger_api.PORTFOLIO, PortfolioQuery(), PortfolioAnswer, PATIENCE_S)
    assert books.positions[0].quantity == D("1.998")


async def test_postgres_away_between_opening_the_books_and_reading_them_is_waited_for(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = dict[str, int]()

    def away_twice(name: str) -> None:
        real = getattr(Store, name)

        async def ask(self: Store, *given: Any) -> Any:
            tries[name] = tries.get(name, 0) + 1
            if tries[name] < 3:
                raise ConnectionRefusedError("away")
            return await real(self, *given)

        monkeypatch.setattr(Store, name, ask)

    away_twice("claim")
    away_twice("load")
    bus = MemoryBus()
    async with a_ledger(bus, dsn) as shell:
        await put(bus, OPENING, *a_story(1))
        await written(dsn, bus)
        assert shell.failure is None
    assert min(tries["claim"], tries["load"]) >= 3


async def test_connections_cut_by_the_server_are_made_again(dsn: str) -> None:
    bus = MemoryBus()
    async with a_ledger(bus, dsn) as shell:
        await put(bus, OPENING, *a_story(1))
        await written(dsn, bus)
        admin = await asyncpg.connect(dsn)
        await admin.execute(
            # Each has ended when this is answered: one that ends later would cut off a question.
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await admin.close()
        await put(bus, *a_story(2))
        await written(dsn, bus)
        orders = await ask(bus, ledger_api.ORDERS, OrdersQuery(), OrdersAnswer, PATIENCE_S)
        assert shell.failure is None
    assert [order.state for order in orders.orders] == [OrderState.FILLED] * 2


async def test_with_postgres_away_the_stream_is_read_no_further_than_the_buffer(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, write, away = MemoryBus(), Store.write, asyncio.Event()

    async def failing(self: Store, batch: Any) -> None:
        if not away.is_set():
            raise ConnectionRefusedError("away")
        await write(self, batch)

    monkeypatch.setattr(Store, "write", failing)
    async with a_ledger(bus, dsn, buffer_events_max=10) as shell:
        await put(bus, *(event for n in range(1, 11) for event in a_story(n)))

        async def full() -> bool:
            core = shell.spec.core
            assert isinstance(core, LedgerCore)
            assert core.pending <= 10
            return core.pending == 10 and shell.waiting() == {"Writer": "Postgres"}

        await until(full)
        away.set()
        await written(dsn, bus)
        books = await ask(bus, ledger_api.PORTFOLIO, PortfolioQuery(), PortfolioAnswer, PATIENCE_S)
    assert (books.orders, books.fills) == (10, 20)


async def test_what_no_column_could_hold_is_written_all_the_same(dsn: str) -> None:
    bus = MemoryBus()
    weird = SubmitOrder(
        2**63 + 5, S, "pp-r-1", "pp", "sim\0", "?", Side.BUY, OrderType.LIMIT,
        D("1e999999"), D("NaN"),
    )  # fmt: skip
    denied = OrderDenied(S, S, weird, DenialReason.PRICE_NOT_POSITIVE, "limit=0 value=\0")
    async with a_ledger(bus, dsn):
        await put(bus, denied)
        await written(dsn, bus)
        (order,) = (
            await ask(bus, ledger_api.ORDERS, OrdersQuery(), OrdersAnswer, PATIENCE_S)
        ).orders
        detail = await ask(
            bus, ledger_api.ORDER, OrderQuery(client_order_id="pp-r-1"), OrderAnswer, PATIENCE_S
        )
    assert order.state is OrderState.DENIED
    assert order.quantity.is_nan()
    assert "1E+999999" in detail.steps[0].body


async def test_malformed_messages_are_kept_apart_and_the_rest_goes_on(dsn: str) -> None:
    bus = MemoryBus()
    async with a_ledger(bus, dsn) as shell:
        await bus.publish_durable("orders.event.sim.pp", b"nonsense", "x")
        await put(bus, a_fill(1, "f", quantity="-1"), *a_story(2))

        async def both_fills() -> bool:
            books = await ask(
                bus, ledger_api.PORTFOLIO, PortfolioQuery(), PortfolioAnswer, PATIENCE_S
            )
            return books.fills == 2

        await until(both_fills)
        # This bus keeps what is malformed in the same stream: the ledger sees holes in its own.
        assert shell.telemetry.errors["malformed"] == 2


@pytest.mark.parametrize(
    ("subject", "query", "text"),
    [
        (ledger_api.ORDERS, OrdersQuery(limit=0), "limit = 0: must be 1 to 1000"),
        (ledger_api.ORDERS, OrdersQuery(cursor="x"), "next_cursor"),
        (ledger_api.ORDERS, OrdersQuery(strategy_id="\0"), "NUL"),
        (ledger_api.ORDER, OrderQuery(), "either client_order_id or venue_order_id"),
        (ledger_api.EQUITY, EquityQuery(since_ns=2**63), "too large"),
        (ledger_api.FILLS, OrdersQuery(limit=-1), "limit"),
    ],
)
async def test_a_bad_question_gets_a_reason(dsn: str, subject: str, query: Any, text: str) -> None:
    bus = MemoryBus()
    async with a_ledger(bus, dsn):
        await written(dsn, bus)
        with pytest.raises(LedgerRefused, match=text):
            await ask(bus, subject, query, OrdersAnswer, PATIENCE_S)
        answer = await bus.request(subject, b"\xff", 30)
        assert b"LedgerRefusal" in answer


async def test_the_equity_curve_is_kept(dsn: str) -> None:
    store = await Store.open(dsn)
    await store.claim("simulated", "sim")
    core = a_core(await store.load())
    core.fold(1, OPENING)
    for ts, price in ((10, 1000.0), (20, 1100.0), (30, 900.0)):
        core.handle(BookTop(ts * S, ts * S, "sim", "BTC-USDT", price, 1.0, price, 1.0, 1, 1))
        core.handle(TimerFired(ts * S, ts * S, "portfolio"))
        await store.write(batch_of(core.take_changes()))
    points = await store.history.equity(EquityQuery(limit=2))
    assert [(p.ts, p.equity, p.drawdown) for p in points] == [
        (20 * S, D(105_500), D(0)),
        (30 * S, D(104_500), D(1000)),
    ]
    books = await store.load()
    assert (books.drawdown.equity_peak, books.drawdown.drawdown_max) == (D(105_500), D(1000))
    await store.close()
    assert EquityAnswer(currency="USDT", points=tuple(points)).points[0].ts == 20 * S
