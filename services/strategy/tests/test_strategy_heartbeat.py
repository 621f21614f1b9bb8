"""A strategy says that it is alive, until it is stopped or fails."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tickbus import codec, subjects
from tickbus.bus import MemoryBus, Message
from tickbus.config import Settings
from tickbus.events import Heartbeat, StrategyPhase
from tickbus.runtime import Shell
from tickbus_strategy import heartbeat
from tickbus_strategy.service import build

STRATEGIES = [
    {"id": "calm", "kind": "ping-pong", "instruments": ["BTC-USDT"]},
    {"id": "wild", "kind": "momentum", "instruments": ["BTC-USDT"]},
]
VENUE: dict[str, Any] = {
    "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
    "instruments": ["BTC-USDT"], "fees": {"maker": "0.001", "taker": "0.001"},
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("patient_bus")


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("failed", [False, True])
async def test_the_last_word_says_that_another_process_comes_unless_this_one_failed(
    failed: bool,
) -> None:
    bus, heard = MemoryBus(), list[Heartbeat]()

    async def hear(message: Message) -> None:
        events = codec.decode(message.payload).events
        heard.extend(event for event in events if isinstance(event, Heartbeat))

    await bus.subscribe(subjects.HEARTBEATS_ALL, hear)
    shell = Shell(build(Settings({"strategies": STRATEGIES, "venue": VENUE})), bus)
    await shell.start()
    await until(lambda: {"calm", "wild"} <= {event.strategy_id for event in heard})
    if failed:
        shell.fail(RuntimeError("a bug"), "a test")
    await shell.stop()
    await bus.settle()
    last = {event.strategy_id: event.leaves for event in heard}
    assert last == {"calm": not failed, "wild": not failed}
    await bus.close()


async def test_every_strategy_is_heard_but_the_one_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL_S", 0.01)
    bus, heard = MemoryBus(), list[str]()

    async def hear(message: Message) -> None:
        events = codec.decode(message.payload).events
        heard.extend(event.strategy_id for event in events if isinstance(event, Heartbeat))

    await bus.subscribe(subjects.HEARTBEATS_ALL, hear)
    shell = Shell(build(Settings({"strategies": STRATEGIES, "venue": VENUE})), bus)
    await shell.start()
    try:
        await until(lambda: {"calm", "wild"} <= set(heard))
        lifecycle: Any = shell.spec.core
        lifecycle.hosted["wild"].phase = StrategyPhase.FAILED
        await until(lambda: heard[-4:] == ["calm"] * 4)  # some of the other's were on their way
    finally:
        await shell.stop()
        await bus.close()
