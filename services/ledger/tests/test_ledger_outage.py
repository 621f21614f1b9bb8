"""A real Postgres that goes away while events flow: nothing missing, nothing twice afterwards."""

import asyncio
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

BUFFER = 60
ORDERS = 150


def a_ledger(bus: MemoryBus, dsn: str) -> Shell:
    venue = {
        "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
        "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
    }  # fmt: skip
    ledger = {"buffer_events_max": BUFFER, "batch_events_max": 20}
    return Shell(build(Settings({"ledger": ledger, "postgres": {"dsn": dsn}, "venue": venue})), bus)


@pytest.mark.slow(15)
async def test_postgres_stopped_twice_under_load(tmp_path: Path) -> None:
    bus = MemoryBus()
    server = EmbeddedPostgres(tmp_path / "books")
    await server.start()
    shell = a_ledger(bus, server.dsn)
    await shell.start()
    core = shell.spec.core
    assert isinstance(core, LedgerCore)
    most = 0

    async def trade() -> None:
        nonlocal most
        events: list[Event] = [an_opening(BTC="5", USDT="100000")]
        events += [event for n in range(1, ORDERS + 1) for event in an_order_filled(n)]
        for event in events:
            await bus.publish_durable(subjects.of(event), codec.encode([event]), message_id(event))
            most = max(most, core.pending)
            await asyncio.sleep(0.01)

    async def upset() -> None:
        for away_s in (2.0, 1.5):
            await asyncio.sleep(1.0)
            await server.stop()
            await asyncio.sleep(away_s)
            await server.start()

    try:
        await asyncio.gather(trade(), upset())
        async with asyncio.timeout(90):
            while core.pending or core.audit_head.partition(":")[0] != str(core.position):
                await asyncio.sleep(0.05)
            while core.position < await bus.last_sequence():
                await asyncio.sleep(0.05)
        await shell.stop()
        assert shell.failure is None
        assert shell.telemetry.errors["postgres_away"] > 0
        assert most <= BUFFER
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("SELECT position FROM books") == 1 + 4 * ORDERS
        assert await connection.fetchval("SELECT count(*) FROM order_events") == 1 + 4 * ORDERS
        assert await connection.fetchval("SELECT count(*) FROM fills") == ORDERS
        assert (
            await connection.fetchval(
                "SELECT quantity FROM positions WHERE instrument_id = 'BTC-USDT'"
            )
            == ORDERS
        )
        await connection.close()
        report = await verify(server.dsn)
        assert (report.findings, report.gaps) == ([], [])
    finally:
        await server.stop()
