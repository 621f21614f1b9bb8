"""The record of what people do: every action becomes an event in the stream, none is waited for."""

import asyncio
import logging

from tickbus.backoff import delays_s
from tickbus.bus import BusError
from tickbus.events import UserActed
from tickbus.runtime import Context

WAITING_MAX = 10_000
STOP_S = 2.0

_log = logging.getLogger("tickbus.api.access")


class Recorder:
    """Stores actions in order, behind the answers; says when it is full."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[UserActed] = asyncio.Queue(WAITING_MAX)
        self._context: Context | None = None

    def start(self, context: Context) -> None:
        """Store what is recorded from now on."""
        self._context = context
        context.spawn(self._store_all(context), "record of actions")

    async def stop(self, patience_s: float = STOP_S) -> None:
        """Wait a moment for what is not stored yet."""
        try:
            async with asyncio.timeout(patience_s):
                await self._waiting.join()
        except TimeoutError:
            _log.error("%d actions are not on record: the bus is away", self._waiting.qsize())

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be put on record now: then only what stops trading is done."""
        return self._waiting.full()

    def add(self, acted: UserActed) -> None:
        """Put on record; what finds it full is in the log alone, and counted."""
        try:
            self._waiting.put_nowait(acted)
        except asyncio.QueueFull:
            _log.error("not on record, the bus is away: %s by %s", acted.action, acted.user)
            if self._context is not None:
                self._context.telemetry.error("action_not_recorded")

    async def _store_all(self, context: Context) -> None:
        while True:
            acted = await self._waiting.get()
            for delay_s in delays_s():
                try:
                    await context.publish([acted])
                    break
                except BusError as error:
                    _log.warning("an action is not on record yet: %s", error)
                    await asyncio.sleep(delay_s)
            self._waiting.task_done()
