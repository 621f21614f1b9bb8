"""The services' shells on one bus, in virtual time: nothing goes on before all is handled."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tickbus import codec
from tickbus.bus import Bus, MemoryBus, NatsBus
from tickbus.clock import VirtualClock
from tickbus.config import PlatformConfig
from tickbus.events import Event
from tickbus.runtime import Core, ServiceSpec, Shell
from tickbus_cli.traffic import Counted, Traffic
from tickbus_embedded import EmbeddedNats

BUSES = ("memory", "nats")
Connect = Callable[[str], Any]


class Stage:
    """Shells that are told recorded events one by one, each with all that it leads to."""

    def __init__(self, connect: Connect, observe: Callable[[Event], None]) -> None:
        """`connect` gives each service a bus; `observe` is told every event on it, in order."""
        self.clock = VirtualClock()
        self.shells: dict[str, Shell] = {}
        self._connect = connect
        self._observe = observe
        self._traffic = Traffic(self._tell)
        self._buses: list[Bus] = []

    def _tell(self, payload: bytes) -> None:
        for event in codec.decode(payload).events:
            self._observe(event)

    async def add(self, name: str, spec: ServiceSpec) -> None:
        """Start a service. Those before it hear what it says from the beginning."""
        bus = await self._connect(name)
        self._buses.append(bus)
        await self._traffic.begin(bus)
        shell = Shell(
            spec, Counted(bus, self._traffic), clock=self.clock,
            platform=PlatformConfig(snapshot_every_s=0.0),
        )  # fmt: skip
        self.shells[name] = shell
        await shell.start()
        await bus.last_sequence()  # a server that answers has the subscriptions before it
        await self.quiet()

    async def feed(self, name: str, event: Event, now: int) -> None:
        """Tell one service something that no other said. Raises BusError, and what broke one."""
        await self.advance(now)
        await self.shells[name].run([event], ())
        await self.advance(now)

    async def advance(self, until_ns: int) -> None:
        """Let everything due by then happen, one by one, each with all that it leads to."""
        await self.quiet()
        while (call := self.clock.next_due(until_ns)) is not None:
            fired = call()
            if isinstance(fired, asyncio.Task):
                await fired
            await self.quiet()
        self.clock.advance_to(until_ns)

    async def quiet(self) -> None:
        """Wait until nothing is on its way. Raises BusError, and what broke a service."""
        try:
            await self._traffic.quiet()
        finally:
            for shell in self.shells.values():
                if shell.failure is not None:
                    raise shell.failure  # which is why it went on with nothing

    async def stop(self) -> None:
        """End every service, then its connection."""
        for shell in self.shells.values():
            await shell.stop()
        for bus in self._buses:
            await bus.close()


def of_the_core(spec: ServiceSpec, core: Core, **more: Any) -> ServiceSpec:
    """A service's declaration with `core`, and without what reaches outside or needs a restart."""
    without: dict[str, Any] = {
        "edges": (), "watch": (), "responders": {}, "twin": None, "load": None, "rehearse": None,
    }  # fmt: skip
    return replace(spec, core=core, **(without | more))


@asynccontextmanager
async def connecting(bus: str) -> AsyncIterator[Connect]:
    """What connects a service to a new bus: `memory` or `nats`."""
    if bus == "memory":
        shared = MemoryBus()

        async def same(_: str) -> Bus:
            return shared

        yield same
        return
    with tempfile.TemporaryDirectory(prefix="tickbus-replay-") as directory:
        async with EmbeddedNats(Path(directory)) as server:
            yield partial(_over_nats, server.url)


async def _over_nats(url: str, name: str) -> Bus:
    return await NatsBus.connect(url, f"tickbus-{name}")
