"""A real Postgres that goes away while events flow: nothing missing, nothing twice afterwards."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from ledger_story import an_opening, an_order_filled

from tickbus import codec, subjects
from tickbus.bus import MemoryBus
from tickbus.config import Settings
from tickbus.events import Event
from tickbus.events.orders import message_id
from tickbus.runtime.shell import Shell
from tickbus_embedded import EmbeddedPostgres
from tickbus_ledger.audit import verify
from tickbus_ledger.core import LedgerCore
from tickbus_ledger.service import build
from tickbus_testkit.patience import PATIENCE_S

BUFFER = 60
ORDERS = 150


def a_ledger(bus: MemoryBus, dsn: str) -> Shell:
    venue = {
        "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
        "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
    }  # fmt: skip
    ledger = {"buffer_events_max": BUFFER, "batch_events_max": 20}
    return Shell(build(Settings({"ledger": ledger, "postgres": {"dsn": dsn}, "venue": venue})), bus)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.02)


@pytest.mark.slow(15)
@pytest.mark.timeout(600)
async def test_postgres_stopped_twice_under_load(tmp_path: Path) -> None:
    bus = MemoryBus()
    server = EmbeddedPostgres(tmp_path / "books", start_timeout_s=PATIENCE_S)
    await server.start()
    shell = a_ledger(bus, server.dsn)
    await shell.start()
    core = shell.spec.core
    assert isinstance(core, LedgerCore)
    most = orders = 0
    calm = asyncio.Event()

    def written() -> int:
        return int(core.audit_head.partition(":")[0] or 0)

    async def trade() -> None:
        nonlocal orders
        await say(an_opening(BTC="5", USDT="100000"))
        for orders in itertools.count(1):
            for event in an_order_filled(orders):
                await say(event)
            if calm.is_set() and orders >= ORDERS:
                return

    async def say(event: Event) -> None:
        nonlocal most
        await bus.publish_durable(subjects.of(event), codec.encode([event]), message_id(event))
        most = max(most, core.pending)
        await asyncio.sleep(0.01)

    def tries() -> int:
        return shell.telemetry.errors.get("postgres_away", 0)

    async def outage() -> None:
        at, before = written(), tries()
        await until(lambda: written() > at)
        await server.stop()
        await until(lambda: core.pending == BUFFER and tries() > before)
        await server.start()

    async def upset() -> None:
        await outage()
        await outage()
        calm.set()

    try:
        await asyncio.gather(trade(), upset())
        last = await bus.last_sequence()
        await until(lambda: written() == last)
        await shell.stop()
        assert shell.failure is None
        assert most <= BUFFER
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("SELECT position FROM books") == 1 + 4 * orders
        assert await connection.fetchval("SELECT count(*) FROM order_events") == 1 + 4 * orders
        assert await connection.fetchval("SELECT count(*) FROM fills") == orders
        assert (
            await connection.fetchval(
                "SELECT quantity FROM positions WHERE instrument_id = 'BTC-USDT'"
            )
            == orders
        )
        await connection.close()
        report = await verify(server.dsn)
        assert (report.findings, report.gaps) == ([], [])
    finally:
        await server.stop()
