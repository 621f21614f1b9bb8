"""What is kept: bounded, read back whole, and nobody waits for a channel that is not there."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from alerts_world import T0, S
from receivers import Webhook, listening

from tickbus import codec
from tickbus.alerts_api import Delivery, Severity
from tickbus.bus import BusError, MemoryBus
from tickbus.config import Settings
from tickbus.runtime import Shell
from tickbus_alerts import store as keeping
from tickbus_alerts.channels import Channel
from tickbus_alerts.events import Incident, ServicesExpected, Stage
from tickbus_alerts.kinds import default_rules
from tickbus_alerts.service import build
from tickbus_alerts.store import BUCKET, Record, Store


def an_incident(n: int, stage: Stage = Stage.OVER, ts: int = T0) -> Incident:
    over = ts if stage is Stage.OVER else 0
    return Incident(
        alert_id=f"denial:s{n}:{ts}", rule="denial", subject=f"s{n}", stage=stage, title=f"t{n}",
        detail="", ts_first=ts + n, ts_last=ts + n, count=1, notices=1, ts_raised=ts + n,
        ts_cleared=over,
    )  # fmt: skip


async def a_store(bus: MemoryBus, *channels: str) -> Store:
    store = Store(default_rules(), channels)
    await store.load(bus, T0)
    return store


async def test_what_is_kept_is_read_back_with_what_is_owed() -> None:
    bus = MemoryBus()
    store = await a_store(bus, "ops")
    await store.keep(an_incident(1, Stage.ACTIVE), ("ops",))
    await store.keep(an_incident(2), ())
    await store.expect(ServicesExpected(T0, T0, ("feed",)))
    again = await a_store(bus, "ops")
    assert [alert.subject for alert in again.active()] == ["s1"]
    assert [alert.subject for alert in again.recent(10)] == ["s2"]
    assert [record.incident.subject for record in again.waiting("ops")] == ["s1"]
    assert (again.memory.since, again.memory.services) == (T0, ("feed",))


async def test_a_channel_that_is_gone_is_waited_for_no_more() -> None:
    bus = MemoryBus()
    await (await a_store(bus, "ops")).keep(an_incident(1), ("ops",))
    again = await a_store(bus)
    assert all(record.is_done for record in again.records.values())


async def test_the_ring_forgets_the_oldest_that_is_over_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "SLOTS", 5)
    bus = MemoryBus()
    store = await a_store(bus, "ops")
    await store.keep(an_incident(0, Stage.ACTIVE), ())
    await store.keep(an_incident(1), ("ops",))
    for n in range(2, 20):
        await store.keep(an_incident(n), ())
    kept = [record.incident.subject for record in (await a_store(bus, "ops")).records.values()]
    assert kept == ["s0", "s1", "s17", "s18", "s19"]
    assert len(bus._buckets[BUCKET]) == 5 + 1


async def test_where_all_wait_for_a_dead_channel_the_oldest_is_given_up_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeping, "SLOTS", 3)
    store = await a_store(MemoryBus(), "ops")
    for n in range(4):
        await store.keep(an_incident(n), ("ops",))
    assert [record.incident.subject for record in store.waiting("ops")] == ["s1", "s2", "s3"]
    assert f"denial:s0:{T0} is given up untold" in caplog.text


async def test_an_entry_that_cannot_be_read_loses_only_itself() -> None:
    bus = MemoryBus()
    await (await a_store(bus)).keep(an_incident(1), ())
    await bus.kv_put(BUCKET, "slot.7", b"\xc1")
    assert len((await a_store(bus)).records) == 1


class ShakyBus(MemoryBus):
    """A bus that refuses the first `failures` writes."""

    failures = 0

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise BusError("away")
        await super().kv_put(bucket, key, value)


async def no_pause(_: float) -> None:
    return None


async def test_a_write_is_tried_again_and_at_last_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep: Callable[[float], Awaitable[None]] = no_pause
    monkeypatch.setattr("tickbus_alerts.store.asyncio.sleep", sleep)
    bus = ShakyBus()
    store = await a_store(bus)
    bus.failures = keeping.TRIES - 1
    await store.keep(an_incident(1), ())
    assert len(store.records) == 1
    bus.failures = keeping.TRIES
    with pytest.raises(BusError):
        await store.keep(an_incident(2), ())


async def test_what_waited_for_too_long_is_given_up_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus, hook = MemoryBus(), Webhook()
    old = time.time_ns() - 90_000 * S
    record = Record(
        slot=0, incident=an_incident(1, ts=old), deliveries={"ops": Delivery(owed=1, attempts=9)}
    )
    await bus.kv_put(BUCKET, "slot.0", codec.encode_value(record))
    async with listening(hook):
        channels = {"TICKBUS_ALERTS_OPS": f"json://127.0.0.1:{hook.port}/"}
        shell = Shell(build(Settings({}, channels)), bus)
        await shell.start()
        async with asyncio.timeout(90):
            while ("Notice", "given_up") not in shell.telemetry.counts:
                await asyncio.sleep(0.005)
        await shell.stop()
    assert f"{record.incident.alert_id} was never taken by channel ops" in caplog.text
    assert hook.bodies == []
    (kept,) = (await a_store(bus, "ops")).records.values()
    assert kept.deliveries["ops"].given_up


def test_a_channel_shows_its_name_and_scheme_alone() -> None:
    channel = Channel("ops", "json://u:s3cr3t@127.0.0.1/s3cr3t", Severity.INFO, 1.0)
    assert repr(channel) == "Channel(ops, json)"
