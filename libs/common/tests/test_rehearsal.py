"""Orders that are not meant: they keep the way warm, and nobody else ever hears of them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from tickbus import subjects
from tickbus.bus import MemoryBus, Message
from tickbus.events import Event, OrderApproved, SubmitOrder
from tickbus.runtime import ServiceSpec, Shell
from tickbus.runtime.rehearsal import Rehearsal
from tickbus.seal import Seal


class Nothing:
    """A core that must not be asked."""

    def handle(self, event: Any, /) -> Sequence[Event]:
        assert not isinstance(event, SubmitOrder)
        return ()


async def rehearsing(rehearse: Any, until: Any) -> tuple[Shell, list[str]]:
    bus = MemoryBus()
    heard: list[str] = []

    async def hear(message: Message) -> None:
        heard.append(message.subject)

    await bus.subscribe(">", hear)
    edge = Rehearsal("risk", "7", rehearse, 0.001, "sim", "BTC-USDT")
    shell = Shell(ServiceSpec(name="risk", core=Nothing(), edges=(edge,)), bus)
    await shell.start()
    async with asyncio.timeout(30):
        while not until(shell):
            await asyncio.sleep(0.005)
    await shell.stop()
    return shell, heard


async def test_rehearsal_says_nothing_to_anybody_else() -> None:
    seen: list[SubmitOrder] = []

    def approve(order: SubmitOrder) -> Event:
        seen.append(order)
        return OrderApproved(order.ts_event, order.ts_recv, order)

    shell, heard = await rehearsing(approve, lambda _: len(seen) > 3)
    assert set(heard) == {"rehearsal.risk.7"}
    assert shell.telemetry.counts["SubmitOrder", "rehearsed"] == len(seen)
    assert shell.failure is None
    assert (seen[0].venue, seen[0].instrument_id) == ("sim", "BTC-USDT")


async def test_rehearsal_that_fails_is_counted_and_not_repeated() -> None:
    calls = 0

    def fail(_: SubmitOrder) -> None:
        nonlocal calls
        calls += 1
        raise ZeroDivisionError

    shell, _ = await rehearsing(fail, lambda s: s.telemetry.errors.get("rehearsal_failed"))
    assert calls == 1
    assert shell.failure is None, "trading goes on"


async def test_foreign_bytes_on_its_subject_are_kept_for_inspection() -> None:
    bus = MemoryBus()
    edge = Rehearsal("risk", "7", lambda _: None, 3600, "sim", "BTC-USDT")
    shell = Shell(ServiceSpec(name="risk", core=Nothing(), edges=(edge,)), bus)
    await shell.start()
    await bus.publish("rehearsal.risk.7", b"\xff")
    async with asyncio.timeout(30):
        while not shell.telemetry.errors.get("malformed"):
            await asyncio.sleep(0.005)
    await shell.stop()
    assert shell.failure is None


async def test_an_approval_is_rehearsed_with_its_proof() -> None:
    seal, payloads = Seal("x" * 16), list[bytes]()
    seen: list[SubmitOrder] = []
    bus = MemoryBus()

    async def hear(message: Message) -> None:
        payloads.append(message.payload)

    await bus.subscribe("rehearsal.execution.0", hear)
    edge = Rehearsal(
        "execution", "0", seen.append, 0.001, "sim", "BTC-USDT", seal, of_approvals=True
    )
    shell = Shell(ServiceSpec(name="execution", core=Nothing(), edges=(edge,)), bus, seal=seal)
    await shell.start()
    async with asyncio.timeout(30):
        while len(seen) < 3:
            await asyncio.sleep(0.005)
    await shell.stop()
    assert seal.holds(subjects.approved("sim"), payloads[0])
    assert isinstance(seen[0], SubmitOrder)
