"""Markets that the bus does not take now are heard later."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import pytest

from tickbus.bus import BusError
from tickbus.runtime.telemetry import Telemetry
from tickbus_strategy import control
from tickbus_strategy.control import Control
from tickbus_strategy.hosting import Hearing


class AwayTwice:
    """A context whose bus is away for the first two times."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.telemetry = Telemetry("strategy")
        self.log = logging.getLogger("test")
        self.tasks: list[asyncio.Task[None]] = []

    async def listen(self, subjects: tuple[str, ...]) -> None:
        self.asked.append(subjects)
        if len(self.asked) < 3:
            raise BusError("away")

    def spawn(self, coroutine: Coroutine[Any, Any, None], _: str) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(coroutine))
        return self.tasks[-1]


def a_control(context: AwayTwice) -> Control:
    given: Any = context
    made = Control(*[None] * 2)  # type: ignore[arg-type]
    made._context = given
    return made


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "delays_s", lambda *_: iter([0.0] * 10))


async def test_it_is_tried_again_until_the_bus_is_back() -> None:
    context = AwayTwice()
    await a_control(context).hear(Hearing(1, 1, ("md.trade.sim.BTC-USDT",)), ())
    await asyncio.gather(*context.tasks)
    assert len(context.asked) == 3
    assert context.telemetry.errors["markets_not_heard"] == 1


async def test_what_is_not_wanted_any_more_is_not_tried_again() -> None:
    context = AwayTwice()
    hearing = a_control(context)
    await hearing.hear(Hearing(1, 1, ("md.trade.sim.BTC-USDT",)), ())
    await hearing.hear(Hearing(2, 2, ("md.trade.sim.ETH-USDT",)), ())
    await asyncio.gather(*context.tasks)
    assert [subjects[0][-8:] for subjects in context.asked] == ["BTC-USDT", "ETH-USDT", "ETH-USDT"]
