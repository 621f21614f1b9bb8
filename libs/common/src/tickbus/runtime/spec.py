"""What a service declares of itself; the shell does the rest."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tickbus.bus import Bus, Responder
from tickbus.codec import Hop
from tickbus.events import Event, SubmitOrder
from tickbus.runtime.snapshots import Remembering
from tickbus.runtime.telemetry import Reading

if TYPE_CHECKING:
    from tickbus.runtime.context import Context

Rehearse = Callable[[SubmitOrder], Event | None]
Sink = Callable[[Any, tuple[Hop, ...]], Awaitable[None]]


class Core(Protocol):
    """Pure logic: an event in, events out; it awaits, reads and publishes nothing."""

    def handle(self, event: Any, /) -> Sequence[Event]:
        """What follows from `event`; () for an event it does not know or care about."""
        ...


class Edge(Protocol):
    """A service's own IO: a venue connection, a database writer, an HTTP server."""

    async def start(self, context: "Context") -> None:
        """Begin, and return soon: long work goes to `context.spawn`."""
        ...

    async def stop(self) -> None:
        """Finish what must be finished within a few seconds, and close."""
        ...


@dataclass(frozen=True, kw_only=True)
class ServiceSpec:
    """The declaration of a service.

    `subscribe`: core NATS subjects whose events go to the core. `consume`: subjects of the ORDERS
    stream, one ordered durable consumer, acknowledged after the outputs are published. `recover`:
    fold the acknowledged history through the core first, outputs dropped, then `Recovered`.
    `recall`: subjects that the service itself writes; they are folded with the history and do not
    come back while it runs, except where the stream kept an earlier word under the same id.
    `watch`: buckets (`instruments`, `control`) whose values go to the core. `sinks`: output types
    that a local coroutine takes instead of the bus. `responders`: request subjects. `durable`: the
    consumer's name, by default the service's. `wants`: whether a message on a subject is to be read
    at all. `load`: reads from the bus what the core has to know before it is told anything.
    `rehearse`: what it does with an order that is not meant, up to what it would say; changes and
    sends nothing. `stands_by`: of several processes with one `durable` all but one wait until it is
    gone. `twin`: makes a second core like `core`, for snapshots; both then are `Remembering`, and a
    restart reads only what is behind the newest snapshot. `measure` reads numbers off the core for
    who scrapes; it is given the time (ns UTC).
    """

    name: str
    core: Core
    subscribe: tuple[str, ...] = ()
    consume: tuple[str, ...] = ()
    recall: tuple[str, ...] = ()
    recover: bool = True
    watch: tuple[str, ...] = ()
    sinks: Mapping[type, Sink] = field(default_factory=dict)
    responders: Mapping[str, Responder] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()
    durable: str = ""
    stands_by: bool = False
    wants: Callable[[str], bool] | None = None
    rehearse: Rehearse | None = None
    twin: Callable[[], Remembering] | None = None
    load: Callable[[Bus], Awaitable[None]] | None = None
    measure: Callable[[int], Iterable[Reading]] | None = None
