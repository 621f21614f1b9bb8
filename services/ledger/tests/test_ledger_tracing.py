"""An event's booking is in its order's trace once it is committed, and not before."""

import asyncio
import time

import asyncpg
from ledger_story import an_empty_database, an_opening, an_order_filled

from tickbus import codec, subjects
from tickbus.bus import MemoryBus
from tickbus.codec import Hop
from tickbus.config import Settings
from tickbus.events import Event
from tickbus.events.orders import message_id
from tickbus.order import client_order_id_of
from tickbus.runtime.shell import Shell
from tickbus.tracing import span_id_of, trace_id_of
from tickbus_ledger.core import LedgerCore
from tickbus_ledger.service import build
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.tracing import a_tracer


async def test_what_is_committed_is_told_with_the_time_it_took(postgres_dsn: str) -> None:
    dsn = await an_empty_database(postgres_dsn)
    venue = {
        "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
        "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
    }  # fmt: skip
    bus, sent = MemoryBus(), time.time_ns()
    tracer, kept = a_tracer("ledger")
    spec = build(Settings({"postgres": {"dsn": dsn}, "venue": venue}))
    shell = Shell(spec, bus, tracer=tracer)
    await shell.start()
    story: list[Event] = [an_opening(BTC="5", USDT="100000"), *an_order_filled(1)]
    for event in story:
        payload = codec.encode([event], (Hop("execution", sent - 1, sent),))
        await bus.publish_durable(subjects.of(event), payload, message_id(event))
    core = shell.spec.core
    assert isinstance(core, LedgerCore)
    async with asyncio.timeout(PATIENCE_S):
        while core.audit_head.partition(":")[0] != str(len(story)):
            await asyncio.sleep(0.01)
    await shell.stop()
    tracer.stop(PATIENCE_S)
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT position FROM books") == len(story)
    await connection.close()

    fill = story[-1]
    order_id = client_order_id_of(fill)
    parent = span_id_of(order_id, message_id(fill))
    way, booking = [span for span in kept.spans if span.parent_id == parent]
    assert (way.name, booking.name) == ("execution to ledger", "ledger")
    assert (way.start_ns, way.trace_id) == (sent, trace_id_of(order_id))
    assert way.end_ns == booking.start_ns < booking.end_ns <= time.time_ns()
