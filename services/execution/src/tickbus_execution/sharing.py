"""What the processes at one account and address tell each other of what the venue still takes.

The hot path never waits for this: it is heard by watching the bucket and told in the background.
"""

import asyncio
import logging

import msgspec

from tickbus import codec
from tickbus.budget import BUCKET, WeightBudget
from tickbus.budget import Account as Spent
from tickbus.bus import BusError, Subscription
from tickbus.codec import MalformedMessage
from tickbus.runtime import Context
from tickbus_execution.guard import Guard
from tickbus_execution.rate import Window

SHARE_S = 1.0


class Told(msgspec.Struct, frozen=True, array_like=True):
    """The counts of orders that a process of the account heard from the venue."""

    windows: tuple[Window, ...] = ()


class Sharing:
    """Order counts under `orders.<account>`, request weight and silence under the budget's key."""

    def __init__(
        self, context: Context, guard: Guard, budget: WeightBudget, weight_key: str, account: str
    ) -> None:
        self._context = context
        self._guard = guard
        self._budget = budget
        self._weight_key = weight_key
        self._orders_key = f"orders.{account}"
        self._told = Told()
        self._subscription: Subscription | None = None
        self._log = logging.getLogger("tickbus.execution")

    async def run(self) -> None:
        """Hear the others and tell them, for ever; without a bus both have to wait."""
        while True:
            try:
                if self._subscription is None:
                    self._subscription = await self._context.bus.kv_watch(BUCKET, self._heard)
                await self._tell()
            except BusError as error:
                self._log.warning("limits of the venue are not shared: %s", error)
            await asyncio.sleep(SHARE_S)

    async def pause(self, seconds: float) -> None:
        """Nobody at this address asks for anything for `seconds`: the venue said so."""
        await self._budget.pause(seconds)

    async def _tell(self) -> None:
        limit, used = self._guard.weight()
        gauge = self._context.telemetry.gauge
        limit = limit or self._budget.limit
        gauge("rest_weight_left", max(0, limit - used))
        gauge("rest_weight_limit", limit)
        gauge("venue_silent_seconds", max(self._guard.silent_s, self._guard.banned_s))
        if used:
            await self._budget.learn_used(used)
        told = Told(self._guard.rate.shared())
        if told.windows and told != self._told:
            await self._context.bus.kv_put(BUCKET, self._orders_key, codec.encode_value(told))
            self._told = told

    async def _heard(self, key: str, value: bytes) -> None:
        try:
            if key == self._orders_key and value:
                self._guard.rate.adopt(codec.decode_value(value, Told).windows)
            elif key == self._weight_key and value:
                spent = codec.decode_value(value, Spent)
                left_ns = spent.silent_until_ns - self._context.clock.now_ns()
                if left_ns > 0:
                    self._guard.be_silent(left_ns / 1e9)
        except MalformedMessage as error:
            self._log.error("%s/%s cannot be read: %s", BUCKET, key, error)
