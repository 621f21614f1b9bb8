"""Says every second of each strategy that it is alive.

Risk cancels the orders of a strategy that falls silent. It runs on the event loop that the
strategies run on: one that computes for ever is silent.
"""

import asyncio
from collections.abc import Sequence

from tickbus.events import Heartbeat
from tickbus.runtime import Context
from tickbus_strategy.core import StrategyCore

INTERVAL_S = 1.0


class HeartbeatEdge:
    """Speaks for `strategy_ids`, except for those that `core` had to stop."""

    def __init__(self, core: StrategyCore, strategy_ids: Sequence[str]) -> None:
        self._core = core
        self._strategy_ids = tuple(strategy_ids)

    async def start(self, context: Context) -> None:
        """Begin; the first word is said at once."""
        context.spawn(self._speak(context), "heartbeat")

    async def stop(self) -> None:
        """Fall silent; the time-out of risk leaves room for a restart."""

    async def _speak(self, context: Context) -> None:
        while True:
            now = context.clock.now_ns()
            for strategy_id in self._strategy_ids:
                if strategy_id not in self._core.failed:
                    # One by one: each has a subject of its own. Without a bus it is dropped.
                    await context.publish([Heartbeat(now, now, strategy_id)])
            await asyncio.sleep(INTERVAL_S)
