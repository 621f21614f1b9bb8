"""What the shell offers to the edges of its service."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from tickbus.bus import Bus
from tickbus.clock import Clock
from tickbus.codec import Hop
from tickbus.events import Event

if TYPE_CHECKING:
    from tickbus.runtime.shell import Shell


class Context:
    """What an edge may use of the service it belongs to."""

    def __init__(self, shell: "Shell", name: str) -> None:
        self._shell = shell
        self._name = name
        self.clock: Clock = shell.clock
        self.bus: Bus = shell.bus
        self.log = logging.getLogger(f"tickbus.{shell.spec.name}")
        self.telemetry = shell.telemetry
        self.tracer = shell.tracer
        self.stopping = shell.stopping

    @property
    def failed(self) -> bool:
        """Whether the service ends by an error, and not because it was told to."""
        return self._shell.failure is not None

    async def emit(self, events: Sequence[Any], hops: tuple[Hop, ...] = ()) -> None:
        """Each event through the core; its outputs are published, given to sinks or set as timers.

        The first hop begins at the first event's `ts_recv`, when the edge received it.
        """
        await self._shell.run(events, hops)

    async def caught_up(self) -> None:
        """Return once the core has handled what the stream held when this process began.

        Raises BusError when the stream is silent for two minutes.
        """
        await self._shell.caught_up()

    async def publish(self, events: Sequence[Event], hops: tuple[Hop, ...] = ()) -> None:
        """Straight to the bus, past the core."""
        await self._shell.publish(events, hops)

    async def listen(self, subjects: Sequence[str]) -> None:
        """Have the core hear exactly `subjects`, besides what the service declares.

        Others than are heard now are subscribed to, those not wanted any more are dropped; nothing
        is lost of what stays. Raises ValueError for too many, BusError.
        """
        await self._shell.listening.listen(subjects)

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a task; an exception in it is a bug and ends the service with an error."""
        return self._shell.spawn(coroutine, name)

    def set_ready(self, ready: bool, waiting_for: str = "") -> None:
        """Say whether this edge does its job, and if not, what it waits for."""
        self._shell.set_waiting(self._name, "" if ready else waiting_for or self._name)

    def quarantine(self, source: str, payload: bytes, error: Exception) -> None:
        """Keep malformed input: counted, logged, stored for inspection."""
        self._shell.quarantine.add(source, payload, error)
