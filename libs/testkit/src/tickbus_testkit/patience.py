"""Time for a bus, on a machine that tests share: it may stand still for seconds anywhere."""

import asyncio

import pytest

from tickbus import subjects
from tickbus.bus import Bus, MemoryBus, NatsBus, looking
from tickbus.bus import door as doors
from tickbus.bus import nats as on_nats
from tickbus.bus.reader import floor_of
from tickbus.runtime import lease, shell

PATIENCE_S = 90
"""For whatever is there and will answer: no limit of a test is shorter without a reason."""


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give time to what waits for a server that is there, and to services that stop.

    What is repeated when no answer came in time stays as it is.
    """
    for place, name in (
        (on_nats, "CONNECT_TIMEOUT_S"),
        (on_nats, "API_TIMEOUT_S"),
        (looking, "TIMEOUT_S"),
        (doors, "PATIENCE_S"),
        (lease, "RELEASE_S"),
        (shell, "STOP_TIMEOUT_S"),
    ):
        monkeypatch.setattr(place, name, PATIENCE_S)


async def acknowledged(bus: Bus, durable: str, sequence: int) -> None:
    """Return once the bus has all acknowledgements of a durable up to `sequence` of ORDERS.

    They are sent a little later than what they are for is handled, and taken later still.
    """
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await _floor(bus, durable) >= sequence:
                return
            await asyncio.sleep(0.01)


async def _floor(bus: Bus, durable: str) -> int:
    if isinstance(bus, MemoryBus):
        return bus._floors.get(durable, 0)
    assert isinstance(bus, NatsBus)
    return await floor_of(bus._consumers, subjects.ORDERS_STREAM, durable)
