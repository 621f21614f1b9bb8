"""A core is told which messages no earlier process was given, by their place in the stream."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from tickbus import codec
from tickbus.bus import Bus, MemoryBus, NatsBus
from tickbus.events import CaughtUp, Event, OrderType, Recovered, Side, SubmitOrder
from tickbus.events.orders import message_id
from tickbus.runtime import ServiceSpec, Shell
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.patience import PATIENCE_S, acknowledged

pytestmark = pytest.mark.usefixtures("patient_bus")


class Told:
    """Keeps what it was told, in short."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def handle(self, event: Any, /) -> Sequence[Event]:
        match event:
            case Recovered():
                self.told.append(f"live backlog={event.backlog}")
            case CaughtUp():
                self.told.append("caught up")
            case SubmitOrder():
                self.told.append(event.client_order_id)
        return ()


@pytest.fixture(params=["memory", "nats"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if request.param == "memory":
        yield MemoryBus()
        return
    async with nats_server() as server:
        nats = await NatsBus.connect(server.url, "test")
        yield nats
        await nats.close()


async def want(bus: Bus, *numbers: int) -> None:
    for n in numbers:
        order = SubmitOrder(
            1, 2, f"s-r-{n}", "s", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal(n)
        )
        await bus.publish_durable("orders.intent.s", codec.encode([order]), message_id(order))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def a_process(bus: Bus) -> tuple[Told, Shell]:
    core = Told()
    shell = Shell(ServiceSpec(name="execution", core=core, consume=("orders.intent.*",)), bus)
    await shell.start()
    return core, shell


async def test_what_was_stored_before_this_process_read_is_told_from_what_came_after(
    bus: Bus,
) -> None:
    await want(bus, 1, 2)
    core, shell = await a_process(bus)
    await until(lambda: "s-r-2" in core.told)
    assert core.told == ["live backlog=True", "s-r-1", "s-r-2"]
    await want(bus, 3, 4)
    await until(lambda: "s-r-4" in core.told)
    assert core.told[3:] == ["caught up", "s-r-3", "s-r-4"], "told once, and before"
    await shell.stop()


async def test_each_process_is_told_anew(bus: Bus) -> None:
    first, shell = await a_process(bus)
    await want(bus, 1)
    await until(lambda: "s-r-1" in first.told)
    assert first.told == ["live backlog=True", "caught up", "s-r-1"]
    await acknowledged(bus, "execution", 1)
    await shell.stop()
    await want(bus, 2)
    second, shell = await a_process(bus)
    await until(lambda: "s-r-2" in second.told)
    await want(bus, 3)
    await until(lambda: "s-r-3" in second.told)
    assert second.told == ["s-r-1", "live backlog=True", "s-r-2", "caught up", "s-r-3"]
    await shell.stop()


async def test_service_without_a_place_in_the_stream_has_no_backlog() -> None:
    core = Told()
    shell = Shell(ServiceSpec(name="book", core=core), MemoryBus())
    await shell.start()
    assert core.told == ["live backlog=False"]
    await shell.stop()
