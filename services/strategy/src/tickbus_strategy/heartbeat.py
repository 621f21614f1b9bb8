"""Says every second of each strategy that it is alive, and once that its process leaves.

Risk cancels the orders of a strategy that falls silent, later where it was told of it. It runs on
the event loop that the strategies run on: one that computes for ever is silent.
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
        self._context: Context | None = None
        self._leaves = False

    async def start(self, context: Context) -> None:
        """Begin; the first word is said at once."""
        self._context = context
        context.spawn(self._speak(context), "heartbeat")

    async def stop(self) -> None:
        """Say that another process is to come, unless it is an error that ends this one."""
        if self._context is not None and not self._context.failed:
            self._leaves = True
            await self._say(self._context, leaves=True)

    async def _speak(self, context: Context) -> None:
        while True:
            await self._say(context, leaves=False)
            await asyncio.sleep(INTERVAL_S)

    async def _say(self, context: Context, leaves: bool) -> None:
        now = context.clock.now_ns()
        for strategy_id, hosted in list(self._lifecycle.hosted.items()):
            if self._leaves is not leaves:
                return  # nothing comes after the last word
            if hosted.phase is not StrategyPhase.FAILED:
                # One by one: each has a subject of its own. Without a bus it is dropped.
                await context.publish([Heartbeat(now, now, strategy_id, leaves)])
