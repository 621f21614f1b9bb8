"""Asks a server again that did not answer in time: it stood still, or is about to come back."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import nats.errors

from tickbus.backoff import delays_s
from tickbus.bus.base import BusError

log = logging.getLogger("tickbus.bus")
T = TypeVar("T")

AGAIN_S = 30.0


async def asked_again(ask: Callable[[], Awaitable[T]], what: str) -> T:
    """What `ask` finds; it is repeated where it raises what nats-py does, which is said once.

    Raises BusError, with `what` was asked for, once that took AGAIN_S.
    """
    deadline, level = time.monotonic() + AGAIN_S, logging.WARNING
    for delay_s in delays_s(0.05, 2.0):
        try:
            return await ask()
        except (nats.errors.Error, TimeoutError) as error:
            problem = str(error) or type(error).__name__
        if time.monotonic() + delay_s > deadline:
            break
        log.log(level, "bus: no answer yet on %s: %s", what, problem)
        level = logging.DEBUG
        await asyncio.sleep(delay_s)
    raise BusError(f"no answer on {what} in {AGAIN_S:g} s: {problem}")
