"""Of several processes of one service one works; the others stand by, and one takes over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from tickbus import codec
from tickbus.bus import Bus, MemoryBus, NatsBus
from tickbus.events import OrderType, Side, SubmitOrder
from tickbus.events.orders import message_id
from tickbus.permissions import STRATEGY
from tickbus.runtime import ServiceSpec, Shell
from tickbus.runtime.lease import LeaseLost
from tickbus.runtime.seat import Seat
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.users import Users

pytestmark = pytest.mark.usefixtures("patient_bus")
TTL_S = 30.0
"""As long as the machine may stand still: who does not renew meanwhile loses no place."""
SHORT_TTL_S = 0.6
INTENT = "orders.intent.s"


class Notes:
    """A core that remembers which orders it was told of."""

    def __init__(self) -> None:
        self.orders: list[str] = []

    def handle(self, event: Any, /) -> tuple[()]:
        if isinstance(event, SubmitOrder):
            self.orders.append(event.client_order_id)
        return ()


class Place:
    """Where several processes of one service run."""

    def __init__(self, connect: Callable[[], Awaitable[Bus]], bus: Bus) -> None:
        self.connect = connect
        self.bus = bus

    async def process(self, ttl_s: float = TTL_S) -> tuple[Shell, Notes]:
        """One more of them, which may not be done with starting."""
        notes, bus = Notes(), await self.connect()
        shell = Shell(ServiceSpec(name=STRATEGY, core=notes, consume=(INTENT,)), bus)
        shell.seat = Seat(STRATEGY, ttl_s)
        return shell, notes

    async def say(self, n: int) -> str:
        order = SubmitOrder(
            n, n, f"s-r-{n}", "s", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal(1)
        )
        await self.bus.publish_durable(INTENT, codec.encode([order]), message_id(order))
        return order.client_order_id


@pytest.fixture(params=["memory", "nats"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "memory":
        memory = MemoryBus()

        async def same() -> Bus:
            return memory

        yield Place(same, memory)
        return
    users = Users()
    async with nats_server(users) as server:
        connected: list[NatsBus] = []

        async def connect(user: str = STRATEGY) -> NatsBus:
            bus = await NatsBus.connect(server.url, user, users.login(user))
            connected.append(bus)
            return bus

        risk = await connect("risk")
        door = await risk.keep_door()
        yield Place(connect, await connect())
        await door.stop()
        for bus in connected:
            await bus.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.01)


def stands_by(shell: Shell) -> bool:
    return shell.telemetry.gauges.get("standing_by") == 1


async def test_second_process_stands_by_until_the_first_has_left(place: Place) -> None:
    first, notes = await place.process()
    await first.start()
    await place.say(1)
    await until(lambda: notes.orders == ["s-r-1"])
    second, others = await place.process()
    starting = asyncio.create_task(second.start())
    await until(lambda: stands_by(second))
    assert second.waiting() == {}, "it is as it should be: the health check must not end it"
    await place.say(2)
    await until(lambda: len(notes.orders) == 2)
    assert not others.orders
    await first.stop()
    await asyncio.wait_for(starting, PATIENCE_S)
    await place.say(3)
    await until(lambda: others.orders == ["s-r-1", "s-r-2", "s-r-3"])
    assert first.failure is None
    assert second.telemetry.gauges["standing_by"] == 0
    assert len(notes.orders) == 2
    await second.stop()


async def test_who_takes_the_place_is_not_ready_before_it_has_begun(place: Place) -> None:
    shell, _ = await place.process()
    starting = asyncio.create_task(shell.start())
    while not starting.done():
        assert shell.waiting()
        await asyncio.sleep(0)
    assert shell.waiting() == {}
    await shell.stop()


async def test_process_that_stood_still_for_too_long_ends(place: Place) -> None:
    first, _ = await place.process(SHORT_TTL_S)
    await first.start()
    assert first.seat is not None
    lease = first.seat._lease
    renew = lease._renew

    async def late() -> None:
        await until(lambda: second.telemetry.gauges.get("standing_by") == 0)
        await renew()

    second, _ = await place.process(SHORT_TTL_S)
    lease._renew = late  # type: ignore[method-assign]
    await second.start()
    await until(lambda: first.failure is not None)
    assert isinstance(first.failure, LeaseLost)
    await first.stop()
    await second.stop()
    assert second.failure is None


async def test_process_that_waits_can_be_ended(place: Place) -> None:
    first, _ = await place.process()
    await first.start()
    second, others = await place.process()
    running = asyncio.create_task(second.run_until_stopped())
    await until(lambda: stands_by(second))
    second.stopping.set()
    await asyncio.wait_for(running, PATIENCE_S)
    await place.say(1)
    assert not others.orders
    assert first.failure is None
    await first.stop()
