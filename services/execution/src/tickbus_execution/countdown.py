"""The venue's dead man's switch: it cancels everything in a symbol unless it hears from us."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from tickbus_execution.calls import Calls, Spawn, VenueRefused
from tickbus_execution.guard import Guard
from tickbus_execution.protocol import VenueProtocol
from tickbus_execution.wire import UNREADABLE

REFRESHES = 3
"""How often within its time the countdown is begun anew: two may get lost."""
LAST_S = 3.0
"""How long the end of the process waits for it to be begun anew once more."""


class Countdown:
    """Armed per symbol before its first order, refreshed as long as this process lives.

    One that was not refreshed for its whole time is armed no more: the venue has cancelled, and
    the next order waits for it to be armed again.

    `after_s` 0: never. `on_armed` is told whether the venue took it, `on_error` of what went wrong:
    a refresh that fails is tried again a third of the time later, and if none gets through the
    venue does what it is armed for.
    """

    def __init__(
        self, protocol: VenueProtocol, calls: Calls, after_s: float,
        spawn: Spawn,
        guard: Guard, on_armed: Callable[[str, bool], None], on_error: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._protocol = protocol
        self._calls = calls
        self._after_s = after_s if protocol.has_countdown else 0.0
        self._spawn = spawn
        self._guard = guard
        self._on_armed = on_armed
        self._on_error = on_error
        self._told_at: dict[str, float] = {}
        self._arming: set[str] = set()
        self._log = logging.getLogger("tickbus.execution")

    def is_armed(self, symbol: str) -> bool:
        """Whether an order in `symbol` may be sent."""
        told_at = self._told_at.get(symbol, float("-inf"))
        return not self._after_s or time.monotonic() - told_at < self._after_s

    @property
    def armed(self) -> int:
        """How many symbols are armed."""
        return sum(map(self.is_armed, self._told_at))

    def arm(self, symbol: str) -> None:
        """Arm in the background, once."""
        if self.is_armed(symbol) or symbol in self._arming:
            return
        self._arming.add(symbol)
        self._spawn(self._arm(symbol), f"countdown {symbol}")

    async def _arm(self, symbol: str) -> None:
        try:
            taken = await self._tell(symbol)
            if taken:
                self._log.info("%s: armed to cancel after %g s of silence", symbol, self._after_s)
        finally:
            self._arming.discard(symbol)
        self._on_armed(symbol, taken)

    async def _tell(self, symbol: str) -> bool:
        if self._guard.banned_s:
            return False  # nothing gets through, and each request would make the ban longer
        ask = self._protocol.countdown(symbol, round(self._after_s * 1000))
        began = time.monotonic()
        try:
            await self._calls.call(ask)
        except (VenueRefused, TimeoutError, ConnectionError, *UNREADABLE) as error:
            self._on_error("countdown_failed")
            self._log.error("the countdown of %s could not be set: %s", symbol, error)
            return False
        self._told_at[symbol] = began
        return True

    async def run(self) -> None:
        """Refresh, for ever."""
        while self._after_s:
            await asyncio.sleep(self._after_s / REFRESHES)
            await self._refresh(list(self._told_at))

    async def last(self) -> None:
        """Begin all anew for the last time: whoever comes next has the whole of it to come."""
        with contextlib.suppress(TimeoutError):  # then the venue has what is left of the time
            async with asyncio.timeout(LAST_S):
                await self._refresh([symbol for symbol in self._told_at if self.is_armed(symbol)])

    async def _refresh(self, symbols: list[str]) -> None:
        await asyncio.gather(*(self._tell(symbol) for symbol in symbols))
