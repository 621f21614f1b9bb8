"""The road of reports from the venue to the core: in order, bounded, held back while comparing."""

import asyncio
from collections.abc import Callable

from tickbus.events import Event
from tickbus.runtime import Context

EVENTS_MAX = 10_000
"""Reports waiting for the core; past that the session is dropped, and the next one reconciles."""


class Reports:
    """Reports for the core; `drop_session` is called where some had to be thrown away."""

    def __init__(self, context: Context, drop_session: Callable[[], None]) -> None:
        self._context = context
        self._drop_session = drop_session
        self._buffering = False
        self._buffer: list[Event] = []
        self._queue: asyncio.Queue[list[Event]] = asyncio.Queue(EVENTS_MAX)
        self.quarantine = context.quarantine

    def put(self, events: list[Event]) -> None:
        """Tell the core, after all it was told before."""
        if not events:
            return
        try:
            self._queue.put_nowait(events)
        except asyncio.QueueFull:
            self._dropped()

    def put_heard(self, events: list[Event]) -> None:
        """As `put`, of what the user stream said: held back while the account is compared."""
        if not self._buffering:
            self.put(events)
        elif len(self._buffer) + len(events) > EVENTS_MAX:
            self._dropped()
        else:
            self._buffer += events

    def hold(self) -> None:
        """Keep what is heard until `release`."""
        self._buffering = True

    def release(self) -> None:
        """Tell what was kept."""
        self._buffering = False
        buffered, self._buffer = self._buffer, []
        self.put(buffered)

    async def run(self) -> None:
        """Deliver, for ever."""
        while True:
            await self._context.emit(await self._queue.get())

    def _dropped(self) -> None:
        self._context.telemetry.error("reports_dropped")
        self._drop_session()
