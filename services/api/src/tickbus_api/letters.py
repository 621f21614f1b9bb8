"""What the bus keeps of messages that services gave up, read within bounds."""

import asyncio

from tickbus.bus import BusError
from tickbus.runtime.deadletters import DeadLetter, letters
from tickbus_api.gateway import Gateway
from tickbus_api.problems import unavailable

READ_TIMEOUT_S = 2.0


async def dead_letters(gateway: Gateway) -> list[DeadLetter]:
    """Every letter of every service, in the order of the stream. Raises Problem."""
    if gateway.context is None:
        raise unavailable("STARTING", "the gateway is starting", "repeat in a second")
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await letters(gateway.context.bus)
    except (BusError, TimeoutError) as error:
        raise unavailable(
            "BUS_UNAVAILABLE",
            f"the dead letters could not be read within {READ_TIMEOUT_S:g} s: {error}",
            "see GET /health, then repeat",
        ) from error
