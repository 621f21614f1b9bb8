"""Says every second of each strategy that it is alive.

Risk cancels the orders of a strategy that falls silent. It runs on the event loop that the
strategies run on: one that computes for ever is silent.
"""

import asyncio

from tickbus.events import Heartbeat, StrategyPhase
from tickbus.runtime import Context
from tickbus_strategy.lifecycle import Lifecycle

INTERVAL_S = 1.0


class HeartbeatEdge:
    """Speaks for all strategies of the process, except for those that had to be stopped."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    async def start(self, context: Context) -> None:
        """Begin; the first word is said at once."""
        context.spawn(self._speak(context), "heartbeat")

    async def stop(self) -> None:
        """Fall silent; the time-out of risk leaves room for a restart."""

    async def _speak(self, context: Context) -> None:
        while True:
            now = context.clock.now_ns()
            for strategy_id, hosted in list(self._lifecycle.hosted.items()):
                if hosted.phase is not StrategyPhase.FAILED:
                    # One by one: each has a subject of its own. Without a bus it is dropped.
                    await context.publish([Heartbeat(now, now, strategy_id)])
            await asyncio.sleep(INTERVAL_S)
