"""A replay over a bus: the same cores in the services' own shells, in the same virtual time.

Each recorded message, and each timer, waits until all that the one before it led to is handled. So
what is compared with a replay without a bus is the whole way: shells, wire format, bus, stream and
consumers; what is left out is what differs by nature: how long each hop takes.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from tickbus.captures import Captures
from tickbus.codec import Hop
from tickbus.config import Settings
from tickbus.events import Event, Heartbeat, StrategyDecision
from tickbus.runtime import Core, ServiceSpec
from tickbus.runtime.spec import Sink
from tickbus_book.service import build as book
from tickbus_cli.capture_feed import CaptureFeed
from tickbus_cli.replay_run import Replayer
from tickbus_cli.stage import Connect, Stage, connecting, of_the_core
from tickbus_execution.service import build as execution
from tickbus_feed.service import build as feed
from tickbus_risk.service import build as risk
from tickbus_strategy.control import Control
from tickbus_strategy.core import StrategyFailed
from tickbus_strategy.heartbeat import INTERVAL_S
from tickbus_strategy.refusing import NotOrdered
from tickbus_strategy.service import build as strategy

SECOND_NS = 1_000_000_000
BUILD: Mapping[str, Callable[[Settings], ServiceSpec]] = {
    "feed": feed, "execution": execution, "book": book, "risk": risk, "strategy": strategy,
}  # fmt: skip
"""In the order in which they start, which is that of the nodes of a `Replayer`."""


class BusReplay:
    """Runs the cores of a `Replayer` as services on the bus that `connect` gives each of them."""

    def __init__(self, replayer: Replayer, settings: Settings, connect: Connect) -> None:
        self._replayer = replayer
        self._settings = _settings_of(replayer, settings)
        self._stage = Stage(connect, lambda event: replayer.observe("bus", event))

    async def run(self, captures: Captures, wait: Callable[[int], None]) -> None:
        """Feed every message of `captures`. Raises BusError, and what broke a service."""
        replayer, stage = self._replayer, self._stage
        waiting: list[Event] = []
        capture = CaptureFeed(
            replayer.feed, replayer.adapter, lambda event, _: waiting.append(event)
        )
        try:
            for message in captures:
                now = message.ts_recv
                if not stage.shells:
                    replayer.begin(now)
                    stage.clock.advance_to(now)
                    await self._start()
                    capture.open_lines(now)
                replayer.count(message)
                wait(now)
                capture.take(message)
                for event in waiting:
                    await stage.feed("feed", event, now)
                waiting.clear()
                replayer.value_if_due(now)
            await stage.advance(replayer.ts_last)
            replayer.value(replayer.ts_last)
        finally:
            await stage.stop()

    async def _start(self) -> None:
        for name, core in self._replayer.cores.items():
            await self._stage.add(name, self._spec(name, core))
        await self._beat()

    def _beat(self) -> asyncio.Task[None]:
        # The strategies' sign of life, without which risk would cancel; by this clock, not the
        # wall's, of which no time passes.
        clock = self._stage.clock
        now = clock.now_ns()
        clock.call_at(now + round(INTERVAL_S * SECOND_NS), self._beat)
        failed = {failure.strategy_id for failure in self._replayer.failures}
        alive = [entry.id for entry in self._replayer.entries if entry.id not in failed]
        beats = [Heartbeat(now, now, strategy_id) for strategy_id in alive]
        return asyncio.create_task(self._stage.shells["strategy"].publish(beats, ()))

    def _spec(self, name: str, core: Core) -> ServiceSpec:
        # Edges reach outside or speak by the wall clock: here the capture is all there is. The
        # cores know the instruments already, as those of a replay without a bus.
        spec = BUILD[name](self._settings)
        if name == "feed":
            return of_the_core(spec, core, sinks=silent(spec))
        if name != "strategy":
            return of_the_core(spec, core)
        # Its own core, which starts and stops the strategies and says what it has to hear.
        for instrument in self._replayer.instruments:
            spec.core.handle(instrument)
        return strategies(spec, self._observed)

    async def _observed(self, event: Event, _: tuple[Hop, ...]) -> None:
        self._replayer.observe("strategy", event)


def silent(spec: ServiceSpec) -> dict[type, Sink]:
    """Its sinks, which do nothing: what a connection would do, the capture has the answers to."""
    return dict.fromkeys(spec.sinks, _nothing)


def strategies(spec: ServiceSpec, observed: Sink) -> ServiceSpec:
    """That of the strategies, whose own words `observed` is told."""
    own: tuple[type, ...] = (StrategyFailed, StrategyDecision, NotOrdered)
    edges = tuple(edge for edge in spec.edges if isinstance(edge, Control))
    sinks = {**spec.sinks, **dict.fromkeys(own, observed)}
    return of_the_core(spec, spec.core, sinks=sinks, edges=edges)


async def _nothing(_: Event, __: tuple[Hop, ...]) -> None:
    """Say nothing."""


def _settings_of(replayer: Replayer, settings: Settings) -> Settings:
    """The configuration as the services would have to be given it."""
    known = dict(settings.raw)
    known["venue"] = {
        **known["venue"], "name": replayer.venue, "adapter": replayer.adapter.name,
        "instruments": [instrument.instrument_id for instrument in replayer.instruments],
    }  # fmt: skip
    known["venues"] = []
    known["strategies"] = msgspec.to_builtins(replayer.entries)
    known["execution"] = {**(known.get("execution") or {}), "mode": "paper"}
    return replace(settings, raw=known)


async def run_over(
    bus: str, replayer: Replayer, settings: Settings, captures: Captures,
    wait: Callable[[int], None],
) -> None:  # fmt: skip
    """Replay over `memory` or `nats`."""
    async with connecting(bus) as connect:
        await BusReplay(replayer, settings, connect).run(captures, wait)
