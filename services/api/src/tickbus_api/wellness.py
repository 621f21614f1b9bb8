"""Whether what the gateway needs answers, asked once however many want to know."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tickbus.bus import Bus

FRESH_S = 1.0
"""How long an answer counts: whoever may ask without a login must not load the books with it."""
BUS_S = 1.0


class Wellness:
    """Why the bus or the ledger cannot be used; "" for each that can be."""

    def __init__(
        self, bus: Callable[[], Awaitable[str]], ledger: Callable[[], Awaitable[str]]
    ) -> None:
        self._bus = bus
        self._ledger = ledger
        self._found = ("", "")
        self._asked_at_s = -FRESH_S
        self._asking = asyncio.Lock()

    async def problems(self) -> tuple[str, str]:
        """Of the bus and of the ledger, at most a second old."""
        async with self._asking:
            if time.monotonic() - self._asked_at_s >= FRESH_S:
                bus = await self._bus()
                ledger = "not asked: the bus is away" if bus else await self._ledger()
                self._found, self._asked_at_s = (bus, ledger), time.monotonic()
            return self._found


async def bus_problem(bus: Bus) -> str:
    """Why the bus cannot be used; "" when it can."""
    try:
        async with asyncio.timeout(BUS_S):
            await bus.last_sequence(again=False)
    except TimeoutError:
        return f"NATS did not answer within {BUS_S:g} s"
    except Exception as error:  # noqa: BLE001 - whatever the client raises, health tells
        return f"NATS does not answer: {str(error) or type(error).__name__}"
    return ""
