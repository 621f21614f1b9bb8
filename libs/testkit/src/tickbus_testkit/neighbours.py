"""Plays all neighbours of one service at once: says what they would say, hears what it says.

Written against the bus alone, so that another implementation of a service is tested by the same
words.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from tickbus import codec, subjects
from tickbus.bus import Message, NatsBus
from tickbus.codec import Hop
from tickbus.events import Instrument
from tickbus.events.orders import message_id
from tickbus.login import Login

T = TypeVar("T")
WAIT_S = 30.0
QUIET_S = 0.4
HEARD = (
    "md.>", "book.>", "risk.>", "ledger.>", "orders.>", "quarantine.>", "control.heartbeat.*",
)  # fmt: skip
NONSENSE = b"\xc1 no envelope"


class Heard(NamedTuple):
    """One event as it came over the bus."""

    subject: str
    event: Any
    hops: tuple[Hop, ...]


class Neighbours:
    """A bus client that keeps everything it hears; made by `connect`."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.heard: list[Heard] = []
        self.quarantined: list[Message] = []

    @classmethod
    async def connect(cls, url: str, login: Login | None = None) -> "Neighbours":
        """Listen to everything."""
        self = cls(await NatsBus.connect(url, "neighbours", login))
        for subject in HEARD:
            await self.bus.subscribe(subject, self._keep)
        return self

    async def close(self) -> None:
        """Leave."""
        await self.bus.close()

    async def _keep(self, message: Message) -> None:
        if message.subject.startswith("quarantine."):
            self.quarantined.append(message)
            return
        try:
            envelope = codec.decode(message.payload)
        except codec.MalformedMessage:
            return  # said by `say_nonsense`
        self.heard += [Heard(message.subject, event, envelope.hops) for event in envelope.events]

    async def say(self, event: Any, service: str = "neighbour") -> None:
        """Publish as `service` would; on the order path under the event's message id."""
        now = time.time_ns()
        payload = codec.encode([event], (Hop(service, now, now),))
        if subjects.is_durable(event):
            await self.bus.publish_durable(subjects.of(event), payload, message_id(event))
        else:
            await self.bus.publish(subjects.of(event), payload)

    async def say_nonsense(self, subject: str) -> None:
        """Bytes that are no envelope."""
        await self.bus.publish(subject, NONSENSE)

    async def describe(self, instrument: Instrument) -> None:
        """As the feed does."""
        key = f"{instrument.venue}.{instrument.instrument_id}"
        await self.bus.kv_put("instruments", key, codec.encode_value(instrument))

    def all(self, kind: type[T], *where: Callable[[T], bool]) -> list[T]:
        """What was heard of a kind so far."""
        return [
            h.event
            for h in self.heard
            if isinstance(h.event, kind) and all(w(h.event) for w in where)
        ]

    async def hear(self, kind: type[T], *where: Callable[[T], bool], n: int = 1) -> T:
        """The `n`th event of a kind. Raises AssertionError that lists what came instead."""
        deadline = time.monotonic() + WAIT_S
        while len(found := self.all(kind, *where)) < n:
            if time.monotonic() > deadline:
                names = [type(h.event).__name__ for h in self.heard[-20:]]
                raise AssertionError(f"no {kind.__name__} number {n} in {WAIT_S:g} s; {names}")
            await asyncio.sleep(0.02)
        return found[n - 1]

    async def stays(self, kind: type[Any], n: int) -> None:
        """Nothing more of a kind comes for a moment."""
        await asyncio.sleep(QUIET_S)
        assert len(self.all(kind)) == n, self.all(kind)

    def way(self, event: Any) -> list[str]:
        """The services that the event came through."""
        (found,) = [h for h in self.heard if h.event is event]
        return [hop.service for hop in found.hops]

    def subject(self, event: Any) -> str:
        """Where the event was heard."""
        (found,) = [h for h in self.heard if h.event is event]
        return found.subject
