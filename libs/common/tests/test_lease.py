"""At most one process acts under a lease, whoever was paused, killed or cut off."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tickbus import codec
from tickbus.bus import Bus, BusError, MemoryBus, NatsBus
from tickbus.ending import end
from tickbus.runtime import Lease, ServiceSpec, Shell
from tickbus.runtime import lease as leases
from tickbus.runtime.lease import BUCKET, LeaseLost, LeaseRecord, is_gone, process_name
from tickbus_testkit.brokers import nats_server

pytestmark = pytest.mark.usefixtures("patient_bus")
TTL_S = 0.6


class Nothing:
    def handle(self, event: Any, /) -> tuple[()]:
        return ()


class Clock:
    """A clock that also a test can move."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@pytest.fixture(params=["memory", "nats"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if request.param == "memory":
        yield MemoryBus()
        return
    async with nats_server() as server:
        nats = await NatsBus.connect(server.url, "test")
        yield nats
        await nats.close()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every process ran on a machine of its own."""
    monkeypatch.setattr(leases, "process_name", lambda pid: "")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def started(bus: Bus, lease: Lease) -> Shell:
    shell = Shell(ServiceSpec(name="execution", core=Nothing(), edges=(lease,)), bus)
    await shell.start()
    return shell


async def record_of(bus: Bus, lease: Lease) -> LeaseRecord:
    value, _ = await bus.kv_read(BUCKET, lease.name)
    return codec.decode_value(value, LeaseRecord)


async def test_first_takes_it_and_keeps_it(bus: Bus) -> None:
    now_s = 0.0
    lease = Lease("execution.sim", TTL_S, now_s=lambda: now_s)
    assert not lease.held
    shell = await started(bus, lease)
    assert await lease.until_held(30)
    for _ in range(5):
        now_s += TTL_S / 3  # what lies between two renewals, also where the machine stands still
        assert lease.held
        renewals = (await record_of(bus, lease)).renewals
        async with asyncio.timeout(30):
            while (await record_of(bus, lease)).renewals < renewals + 2:  # one began after that
                await asyncio.sleep(0.01)
    assert (lease.epoch, lease.held, shell.waiting()) == (1, True, {})
    await shell.stop()


async def test_released_lease_is_taken_at_once_under_the_next_epoch(
    bus: Bus, elsewhere: None
) -> None:
    first, second = Lease("execution.sim", 60.0), Lease("execution.sim", 60.0)
    shell = await started(bus, first)
    assert await first.until_held(30)
    other = await started(bus, second)
    await asyncio.sleep(0.3)
    assert not second.held
    assert "execution.sim" in str(other.waiting())
    await shell.stop()
    assert not first.held
    assert await second.until_held(30)
    assert second.epoch == 2
    await other.stop()


async def test_holder_that_stood_still_does_not_act_and_ends(
    bus: Bus, elsewhere: None, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    paused, other = Lease("x", TTL_S, now_s=clock), Lease("x", TTL_S)
    first = await started(bus, paused)
    assert await paused.until_held(30)
    # It is stopped between two renewals: its tasks do not run, the time goes on.
    assert await end([task for task in first._tasks if task.get_name().startswith("lease")], 30)
    clock.ahead_s = TTL_S
    assert not paused.held, "it looks at the clock before it acts, whatever it was told last"
    second = await started(bus, other)
    assert await other.until_held(30)
    first.spawn(paused._run(), "awake again")
    await until(lambda: first.failure is not None)
    assert isinstance(first.failure, LeaseLost)
    (said,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert "another process has the lease 'x' (epoch 2, ours was 1)" in said.getMessage()
    assert said.exc_info is None, "why is said, and no line of ours is at fault"
    assert not paused.held
    assert (paused.epoch, other.epoch) == (1, 2)
    await first.stop()
    record = await record_of(bus, other)
    assert (record.epoch, record.is_released) == (2, False), "the old one releases only its own"
    assert await other.until_held(30)
    await second.stop()


async def test_two_that_wait_never_both_have_it(bus: Bus, elsewhere: None) -> None:
    owner = Lease("x", TTL_S)
    shell = await started(bus, owner)
    assert await owner.until_held(30)
    waiting = [Lease("x", TTL_S) for _ in range(3)]
    shells = [await started(bus, lease) for lease in waiting]
    await shell.stop()
    await until(lambda: any(lease.held for lease in waiting))
    for _ in range(20):
        assert sum(lease.held for lease in waiting) <= 1
        await asyncio.sleep(TTL_S / 20)
    for each in shells:
        await each.stop()


async def test_without_the_bus_the_lease_runs_out_and_comes_back_with_it() -> None:
    class Away(MemoryBus):
        away = False

        async def kv_read(self, bucket: str, key: str) -> tuple[bytes, int]:
            if self.away:
                raise BusError("away")
            return await super().kv_read(bucket, key)

    bus = Away()
    lease = Lease("x", TTL_S)
    shell = await started(bus, lease)
    assert await lease.until_held(30)
    bus.away = True
    await until(lambda: not lease.held)
    await until(lambda: bool(shell.waiting()))
    assert not await lease.until_held(0.1), "whoever waits for it does so for a time"
    bus.away = False
    assert await lease.until_held(30)
    assert lease.epoch == 1, "nobody was in its place"
    await shell.stop()


async def test_a_record_that_cannot_be_read_is_said_with_its_remedy_which_works(
    bus: Bus, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "UNREADABLE_POLL_S", 0.05)
    await bus.kv_put(BUCKET, "execution.x", b"\xc1 of another version")
    now_s = 0.0
    lease = Lease("execution.x", TTL_S, now_s=lambda: now_s)
    shell = await started(bus, lease)

    def waits_for() -> str:
        return "; ".join(shell.waiting().values())

    await until(lambda: "the lease execution.x, which cannot be read" in waits_for())
    assert "delete" not in waits_for(), "it may be a moment only"
    now_s = leases.UNREADABLE_S + 1
    remedy = "delete the key execution.x of the bucket leases: `tickbus leases drop execution.x`"
    await until(lambda: remedy in waits_for())
    await asyncio.sleep(0.2)
    told = [r for r in caplog.records if r.levelname == "CRITICAL" and remedy in r.getMessage()]
    assert len(told) == 1, "once, not with each look"
    assert not lease.held
    await bus.kv_put(BUCKET, "execution.x", b"")  # what a deletion leaves behind it
    await until(lambda: lease.held)
    await until(lambda: not shell.waiting())
    await shell.stop()


async def test_many_who_miss_it_do_not_wait_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s, looks = 100.0, 0

    async def sleep(seconds: float) -> None:
        nonlocal now_s, looks
        now_s, looks = now_s + seconds, looks + 1

    monkeypatch.setattr(leases, "asyncio", SimpleNamespace(sleep=sleep))
    lease = Lease("x", TTL_S, now_s=lambda: now_s)
    for _ in range(3):  # at a start each waits: it is only being taken
        looks = 0
        assert not await lease.until_held(1.0)
        assert looks == pytest.approx(1.0 / leases.POLL_S, abs=1)
    lease.epoch, lease._valid_until_s = 1, now_s
    looks = 0
    assert not any([await lease.until_held(1.0) for _ in range(50)])
    assert looks == pytest.approx(1.0 / leases.POLL_S, abs=1), "only the first of them"
    lease._valid_until_s = now_s + 1
    assert await lease.until_held(1.0)
    now_s += 2
    looks = 0
    assert not await lease.until_held(1.0)
    assert looks, "away once more, and who is first waits again"


async def test_killed_process_of_this_machine_is_not_waited_for() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        name = process_name(child.pid)
        if not name:
            pytest.skip("this system does not tell processes apart")
        assert not is_gone(name)
        child.send_signal(signal.SIGSTOP)
        assert not is_gone(name), "one that only stands still may wake"
        child.kill()
        await until(lambda: is_gone(name))  # also before its parent has buried it
    finally:
        child.kill()
        child.wait()
    bus = MemoryBus()
    dead = LeaseRecord("somebody", 6, 40, 60.0, name)
    await bus.kv_put(BUCKET, "x", codec.encode_value(dead))
    lease = Lease("x", 60.0)
    shell = await started(bus, lease)
    assert await lease.until_held(30)
    assert lease.epoch == 7
    await shell.stop()


def test_process_of_another_machine_is_never_known_to_be_gone() -> None:
    ours = process_name(os.getpid())
    assert not is_gone(ours)
    assert not is_gone("")
    assert not is_gone("other-boot/pid:[1]/999999/1")
