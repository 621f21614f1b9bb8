"""At most one process acts under a lease, whoever was paused, killed or cut off."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tickbus import codec
from tickbus.bus import Bus, BusError, MemoryBus, NatsBus
from tickbus.runtime import Lease, ServiceSpec, Shell
from tickbus.runtime import lease as leases
from tickbus.runtime.lease import BUCKET, LeaseLost, LeaseRecord, is_gone, process_name
from tickbus_testkit.brokers import nats_server

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
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def started(bus: Bus, lease: Lease) -> Shell:
    shell = Shell(ServiceSpec(name="execution", core=Nothing(), edges=(lease,)), bus)
    await shell.start()
    return shell


async def test_first_takes_it_and_keeps_it(bus: Bus) -> None:
    lease = Lease("execution.sim", TTL_S)
    assert not lease.held
    shell = await started(bus, lease)
    await asyncio.wait_for(lease.until_held(), 5)
    held = []
    for _ in range(30):
        await asyncio.sleep(TTL_S / 10)
        held.append(lease.held)
    assert all(held)
    assert (lease.epoch, shell.waiting()) == (1, {})
    await shell.stop()


async def test_released_lease_is_taken_at_once_under_the_next_epoch(
    bus: Bus, elsewhere: None
) -> None:
    first, second = Lease("execution.sim", 60.0), Lease("execution.sim", 60.0)
    shell = await started(bus, first)
    await asyncio.wait_for(first.until_held(), 5)
    other = await started(bus, second)
    await asyncio.sleep(0.3)
    assert not second.held
    assert "execution.sim" in str(other.waiting())
    await shell.stop()
    assert not first.held
    await asyncio.wait_for(second.until_held(), 5)
    assert second.epoch == 2
    await other.stop()


async def test_holder_that_stood_still_does_not_act_and_ends(bus: Bus, elsewhere: None) -> None:
    clock = Clock()
    paused, other = Lease("x", TTL_S, now_s=clock), Lease("x", TTL_S)
    first = await started(bus, paused)
    await asyncio.wait_for(paused.until_held(), 5)
    # It is stopped between two renewals: its tasks do not run, the time goes on.
    for task in list(first._tasks):
        if task.get_name().startswith("lease"):
            task.cancel()
    clock.ahead_s = TTL_S
    assert not paused.held, "it looks at the clock before it acts, whatever it was told last"
    second = await started(bus, other)
    await asyncio.wait_for(other.until_held(), 5)
    first.spawn(paused._run(), "awake again")
    await until(lambda: first.failure is not None)
    assert isinstance(first.failure, LeaseLost)
    assert not paused.held
    assert (paused.epoch, other.epoch) == (1, 2)
    await first.stop()
    assert other.held, "the end of the old one does not release what the new one has"
    await second.stop()


async def test_two_that_wait_never_both_have_it(bus: Bus, elsewhere: None) -> None:
    owner = Lease("x", TTL_S)
    shell = await started(bus, owner)
    await asyncio.wait_for(owner.until_held(), 5)
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
    await asyncio.wait_for(lease.until_held(), 5)
    bus.away = True
    await until(lambda: not lease.held)
    await until(lambda: bool(shell.waiting()))
    bus.away = False
    await asyncio.wait_for(lease.until_held(), 5)
    assert lease.epoch == 1, "nobody was in its place"
    await shell.stop()


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
    await asyncio.wait_for(lease.until_held(), 5)
    assert lease.epoch == 7
    await shell.stop()


def test_process_of_another_machine_is_never_known_to_be_gone() -> None:
    ours = process_name(os.getpid())
    assert not is_gone(ours)
    assert not is_gone("")
    assert not is_gone("other-boot/pid:[1]/999999/1")
