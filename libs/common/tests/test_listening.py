"""A service hears other subjects while it runs: nothing of what stays is lost or cut off."""

import asyncio
from typing import Any

import pytest

from tickbus import codec
from tickbus.bus import MemoryBus
from tickbus.events import Side, Trade
from tickbus.runtime import Context, ServiceSpec, Shell
from tickbus.runtime.listening import SUBJECTS_MAX


class Hearing:
    """Remembers the instruments of the trades it is told of."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def handle(self, event: Any, /) -> tuple[()]:
        if isinstance(event, Trade):
            self.heard.append(f"{event.instrument_id}/{event.trade_id}")
        return ()


async def say(bus: MemoryBus, name: str, number: int) -> None:
    trade = Trade(1, 1, "sim", name, str(number), 1.0, 1.0, Side.BUY)
    await bus.publish(f"md.trade.sim.{name}", codec.encode([trade]))


async def test_what_stays_loses_nothing_while_the_rest_changes() -> None:
    bus, core = MemoryBus(), Hearing()
    shell = Shell(ServiceSpec(name="x", core=core), bus)
    context = Context(shell, "x")
    await shell.start()
    await context.listen(["md.trade.sim.A"])
    for number in range(50):
        await say(bus, "A", number)
        await context.listen(["md.trade.sim.A", *(["md.trade.sim.B"] if number % 2 else [])])
        await say(bus, "B", number)
        await bus.settle()
    assert [h for h in core.heard if h.startswith("A")] == [f"A/{n}" for n in range(50)]
    assert [h for h in core.heard if h.startswith("B")] == [f"B/{n}" for n in range(1, 50, 2)]
    await shell.stop()
    await say(bus, "A", 99)
    assert "A/99" not in core.heard


async def test_dropping_a_subject_lets_what_is_being_handled_end() -> None:
    bus, ended = MemoryBus(), list[str]()
    goes_on = asyncio.Event()

    class Slow:
        def handle(self, event: Any, /) -> Any:
            return (event,) if isinstance(event, Trade) else ()

    async def sink(event: Trade, _: Any) -> None:
        await goes_on.wait()
        ended.append(event.trade_id)

    shell = Shell(ServiceSpec(name="x", core=Slow(), sinks={Trade: sink}), bus)
    await shell.start()
    context = Context(shell, "x")
    await context.listen(["md.trade.sim.A"])
    await say(bus, "A", 1)
    await say(bus, "A", 2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await context.listen([])
    goes_on.set()
    async with asyncio.timeout(30):
        while not ended:
            await asyncio.sleep(0)
    await shell.stop()
    assert ended == ["1"]


async def test_more_subjects_than_the_bound_are_refused_and_what_is_heard_stays() -> None:
    bus = MemoryBus()
    shell = Shell(ServiceSpec(name="x", core=Hearing()), bus)
    await shell.start()
    await shell.listening.listen(["md.trade.sim.A"])
    with pytest.raises(ValueError, match="fewer markets"):
        await shell.listening.listen([f"md.trade.sim.{n}" for n in range(SUBJECTS_MAX + 1)])
    assert shell.listening.heard == ("md.trade.sim.A",)
    await shell.stop()
