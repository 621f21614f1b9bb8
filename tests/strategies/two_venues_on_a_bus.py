"""Runs the cores of two venues in the services' own shells over a bus, in the same virtual time."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from two_venues import BothRun, Place, _Both

from tickbus.codec import Hop
from tickbus.config import VENUE_VARIABLE
from tickbus.events import Event, FeeSchedule, Heartbeat
from tickbus.runtime import Core, ServiceSpec
from tickbus_cli.replay_bus import BUILD, SECOND_NS, silent, strategies
from tickbus_cli.stage import Connect, Stage, connecting, of_the_core
from tickbus_strategy.heartbeat import INTERVAL_S


async def run_over(
    bus: str, places: Sequence[Place], kind: type, fees: FeeSchedule, params: dict[str, Any]
) -> BothRun:
    """As `two_venues.run`, over `memory` or `nats`: each venue has its own feed and execution."""
    async with connecting(bus) as connect:
        return await _BothOnBus(places, kind, fees, params, connect).play()


class _BothOnBus(_Both):
    """The same cores, each in its service."""

    def __init__(
        self, places: Sequence[Place], kind: type, fees: FeeSchedule, params: dict[str, Any],
        connect: Connect,
    ) -> None:  # fmt: skip
        super().__init__(places, kind, fees, params)
        self._stage = Stage(connect, self.log.append)
        self._waiting: list[tuple[str, Event]] = []

    def _feeder(self, node: str) -> Any:
        def feed(event: Event, now: int) -> None:
            self._waiting.append((node, event))

        return feed

    async def play(self) -> BothRun:
        """Every message of both venues, by their times."""
        stage = self._stage
        try:
            now = 0
            for message, name in self.messages():
                now = max(now, message.ts_recv)
                if not stage.shells:
                    await self._start(now)
                self.captures[name].take(message)
                await self._feed(now)
            await stage.advance(now)
        finally:
            await stage.stop()
        return self.found

    async def _feed(self, now: int) -> None:
        for node, event in self._waiting:
            await self._stage.feed(node, event, now)
        self._waiting.clear()

    async def _start(self, now: int) -> None:
        self._stage.clock.advance_to(now)
        for node in self.nodes:
            await self._stage.add(node.name, self._spec(node.name, node.core))
        await self._beat()
        for capture in self.captures.values():
            capture.open_lines(now)
        await self._feed(now)

    def _beat(self) -> asyncio.Task[None]:
        clock = self._stage.clock
        now = clock.now_ns()
        clock.call_at(now + round(INTERVAL_S * SECOND_NS), self._beat)
        alive = [Heartbeat(now, now, "s")]
        return asyncio.create_task(self._stage.shells["strategy"].publish(alive, ()))

    def _spec(self, node: str, core: Core) -> ServiceSpec:
        service, _, venue = node.partition("-")
        settings = self.settings
        if venue:
            environment = {**settings.environment, VENUE_VARIABLE: venue}
            settings = replace(settings, environment=environment)
        spec = BUILD[service](settings)
        if service == "feed":
            return of_the_core(spec, core, sinks=silent(spec))
        if service != "strategy":
            return of_the_core(spec, core)
        for place in self.places:
            spec.core.handle(place.instrument)
        return strategies(spec, self._observed)

    async def _observed(self, event: Event, _: tuple[Hop, ...]) -> None:
        self.log.append(event)
