"""Two processes at one account and address: what one hears from the venue, the other knows."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tickbus.budget import WeightBudget
from tickbus.bus import BusError, MemoryBus
from tickbus.clock import WallClock
from tickbus.runtime import Telemetry
from tickbus_execution.guard import Guard
from tickbus_execution.rate import VenueRate
from tickbus_execution.sharing import Sharing
from tickbus_execution.wire import RateLimit


class AProcess:
    """What a process knows of the venue's limits, and the part that shares it."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.clock = WallClock()
        self.telemetry = Telemetry("execution")
        self.rate = VenueRate()
        self.guard = Guard(self.rate, time.monotonic, lambda: 1_000_000)
        self.budget = WeightBudget(bus, self.clock, "venue.default", 6000)
        context: Any = self
        self.sharing = Sharing(context, self.guard, self.budget, "venue.default", "main")
        self.task: asyncio.Task[None] | None = None

    def start(self) -> "AProcess":
        self.task = asyncio.create_task(self.sharing.run())
        return self

    def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()


async def until(look: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not look():
            await asyncio.sleep(0.01)


async def test_count_of_orders_silence_and_weight_are_known_to_the_other() -> None:
    bus = MemoryBus()
    one, two = AProcess(bus).start(), AProcess(bus).start()
    one.rate.learn(
        [
            RateLimit("ORDERS", "SECOND", 10, 50, 49),
            RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 6000, 4000),
        ],
        1_000_000,
    )
    await until(two.rate.shared)
    assert two.rate.take(1_000_000, reduces=False) == "limit=45 of 50 orders per 10 s, value=49"
    assert one.telemetry.gauges["rest_weight_left"] == 2000
    assert one.telemetry.gauges["rest_weight_limit"] == 6000
    await one.sharing.pause(300)
    await until(lambda: two.guard.silent_s)
    assert 100 < two.guard.silent_s <= 300
    for process in (one, two):
        process.stop()


async def test_without_a_bus_each_goes_on_with_what_it_knows() -> None:
    class Gone(MemoryBus):
        lost = True

        async def kv_watch(self, *arguments: Any) -> Any:
            if self.lost:
                raise BusError("gone")
            return await super().kv_watch(*arguments)

    bus = Gone()
    process = AProcess(bus).start()
    process.rate.learn([RateLimit("ORDERS", "SECOND", 10, 50, 5)], 1_000_000)
    await asyncio.sleep(0.1)
    assert process.task is not None
    assert not process.task.done()
    assert process.rate.take(1_000_000, reduces=False) == ""
    bus.lost = False
    other = AProcess(bus).start()
    await until(other.rate.shared)
    for each in (process, other):
        each.stop()
