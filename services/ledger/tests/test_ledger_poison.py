"""Messages that the books cannot take in: kept as rows that say so, and never met again."""

import asyncio
from decimal import Decimal
from pathlib import Path

import asyncpg
import msgspec
import pytest
from ledger_story import (
    SPOT,
    D,
    S,
    a_core,
    a_fill,
    an_empty_database,
    an_opening,
    an_order,
    an_order_filled,
)

from tickbus import codec, subjects
from tickbus.bus import MemoryBus
from tickbus.config import Settings
from tickbus.events import AccountUpdated, Balance, BookTop, Event, OrderCanceled, OrderReplaced
from tickbus.runtime.shell import Shell
from tickbus.tracing import about
from tickbus_embedded import EmbeddedPostgres
from tickbus_ledger.audit import verify
from tickbus_ledger.core import LedgerCore, TaintedBooks
from tickbus_ledger.service import build
from tickbus_testkit.patience import PATIENCE_S

NAN, INFINITE = D("NaN"), D("Infinity")

pytestmark = pytest.mark.usefixtures("patient_books")


def of_order(n: int) -> tuple[int, int, str, str, str, str]:
    return S, S, f"pp-r-{n}", "pp", "sim", SPOT


UNSOUND: list[Event] = [
    msgspec.structs.replace(a_fill(1), filled_quantity=NAN),
    OrderCanceled(*of_order(1), "v1", INFINITE),
    OrderReplaced(*of_order(1), "pp-r-2", NAN),
    AccountUpdated(S, S, "sim", (Balance("BTC", NAN, D(0)),), True),
    AccountUpdated(S, S, "sim", (Balance("BTC", D(1), D("1E+400")),), False),
]


@pytest.mark.parametrize("event", UNSOUND, ids=lambda event: type(event).__name__)
def test_unsound_number_is_refused_with_nothing_changed(event: Event) -> None:
    core = a_core()
    for sequence, sound in enumerate(an_order_filled(1)[:3], 1):
        core.fold(sequence, sound)
    before = core.take_changes()
    with pytest.raises(ValueError, match=r"quantity =|balance of"):
        core.fold(4, event)
    assert (core.position, core.tainted, core.pending) == (before.position, False, 0)
    core.fold(4, a_fill(1))
    assert len(core.take_changes().fills) == 1


def test_event_that_fails_half_way_leaves_nothing_to_be_written() -> None:
    core = a_core()
    core.fold(1, msgspec.structs.replace(an_order(1), quantity=NAN))
    with pytest.raises(TaintedBooks, match="InvalidOperation"):
        core.fold(2, a_fill(1))  # the books took the fill, and the order did not
    assert core.tainted
    with pytest.raises(AssertionError, match="half"):
        core.take_changes()


def test_price_without_end_marks_nothing() -> None:
    core = a_core(BookTop(S, S, "sim", SPOT, 1000.0, 1.0, float("inf"), 1.0, 1, 1))
    core.fold(1, an_opening(BTC="1", USDT="0"))
    assert core.portfolio().equity == Decimal(1000)


def a_ledger(bus: MemoryBus, dsn: str) -> Shell:
    venue = {
        "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
        "instruments": [SPOT], "fees": {"maker": "0.001", "taker": "0.001"},
    }  # fmt: skip
    return Shell(build(Settings({"postgres": {"dsn": dsn}, "venue": venue})), bus)


async def said(bus: MemoryBus, what: Event | bytes, name: str) -> int:
    """Where the stream keeps it; what is quarantined has places in it, too."""
    if isinstance(what, bytes):
        return (await bus.publish_durable("orders.intent.pp", what, name)).sequence
    payload = codec.encode([what])
    return (await bus.publish_durable(subjects.of(what), payload, name)).sequence


async def written(shell: Shell, last: int) -> None:
    """Wait until the books in the database end there."""
    core = shell.spec.core
    assert isinstance(core, LedgerCore)
    async with asyncio.timeout(30):
        while core.audit_head.partition(":")[0] != str(last):
            await asyncio.sleep(0.02)
            assert shell.failure is None


@pytest.mark.slow
async def test_poison_is_a_row_of_the_log_and_the_books_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bus = MemoryBus()
    lost = a_fill(7, fill_id="lost")
    said_wrongly = codec.encode(list(an_order_filled(8)[:1] * 2))
    stream: list[Event | bytes] = [
        an_opening(BTC="5", USDT="100000"),
        *an_order_filled(1),
        msgspec.structs.replace(an_order(7), quantity=NAN),
        lost,
        msgspec.structs.replace(an_order(6), ts_recv=2**63),
        b"\xc1",
        said_wrongly,
        UNSOUND[3],
        *an_order_filled(2),
    ]
    async with EmbeddedPostgres(tmp_path / "books", start_timeout_s=PATIENCE_S) as server:
        dsn = await an_empty_database(server.dsn)
        shell = a_ledger(bus, dsn)
        await shell.start()
        at = [await said(bus, what, f"m{number}") for number, what in enumerate(stream)]
        await written(shell, at[-1])
        await shell.stop()
        assert shell.telemetry.errors["message_refused"] == 4
        holes = [r for r in caplog.records if "the books have a hole" in r.message]
        assert [getattr(r, "fields", {}) for r in holes] == [
            about("pp-r-7")["fields"], {}, about("pp-r-8")["fields"], {},
        ]  # fmt: skip
        (anew,) = [r for r in caplog.records if "loaded anew without it" in r.message]
        assert anew.__dict__["fields"] == about("pp-r-7")["fields"]
        again = a_ledger(bus, dsn)
        await again.start()
        await written(again, await said(bus, an_order(3), "last"))
        await again.stop()
        connection = await asyncpg.connect(dsn)
        refused = await connection.fetch(
            "SELECT sequence, body FROM order_events WHERE kind = 'Malformed' ORDER BY sequence"
        )
        assert [row["sequence"] for row in refused] == [at[6], at[8], at[9], at[10]]
        assert codec.encode([lost]).hex() in refused[0]["body"]
        assert "InvalidOperation" in refused[0]["body"]
        assert said_wrongly.hex() in refused[2]["body"]
        fills = await connection.fetch("SELECT fill_id FROM fills ORDER BY sequence")
        assert [row["fill_id"] for row in fills] == ["1", "2"]
        await connection.close()
        assert (await verify(dsn)).findings == []
