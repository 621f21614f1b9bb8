"""Knows when nothing is on its way any more on a bus, so that time can stand still until then."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from tickbus.bus import (
    Bus,
    BusError,
    Consumption,
    Handler,
    Kept,
    KeyHandler,
    Message,
    Responder,
    Stored,
    Subscription,
)
from tickbus.bus.base import matches_any

QUIET_TIMEOUT_S = 60.0
Tap = Callable[[bytes], None]


class Traffic:
    """Counts the messages that clients of one bus sent each other and that are not handled yet.

    All clients must be `Counted` by the same traffic. `tap` is told every payload, in the order in
    which they were published.
    """

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        self._listening: list[tuple[str, ...]] = []
        self._consuming: list[tuple[str, ...]] = []
        self._stored: list[str] = []
        self._sequences: set[int] = set()
        self._before = 0
        self._under_way: Counter[str] = Counter()
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def quiet(self) -> None:
        """Wait until all is handled. Raises BusError when it is not in 60 s: a message was lost."""
        try:
            async with asyncio.timeout(QUIET_TIMEOUT_S):
                await self._quiet.wait()
        except TimeoutError as error:
            missing = ", ".join(f"{n} on {subject}" for subject, n in self._under_way.items())
            raise BusError(f"not handled within {QUIET_TIMEOUT_S:g} s: {missing}") from error

    def listen(self, subject: str) -> None:
        """Somebody hears `subject` from now on."""
        self._listening.append((subject,))

    def consume(self, patterns: Sequence[str]) -> None:
        """Somebody reads these from the stream, from its beginning."""
        self._consuming.append(tuple(patterns))
        for subject in self._stored:
            self._add(subject, matches_any(patterns, subject))

    def sent(self, subject: str) -> None:
        """A message goes to who listens."""
        self._add(subject, sum(matches_any(patterns, subject) for patterns in self._listening))

    def store(self, subject: str) -> None:
        """A message goes to the stream and whoever reads it."""
        self._stored.append(subject)
        everybody = (*self._listening, *self._consuming)
        self._add(subject, sum(matches_any(patterns, subject) for patterns in everybody))

    async def begin(self, bus: Bus) -> None:
        """Note where the stream of `bus` ends before anything of ours is stored."""
        if not self._sequences:
            self._before = await bus.last_sequence()

    def note_stored(self, stored: Stored) -> bool:
        """Whether what is stored there is of this traffic, and was not noted before."""
        is_new = stored.sequence > self._before and stored.sequence not in self._sequences
        self._sequences.add(stored.sequence)
        return is_new

    def counted(self, handler: Handler) -> Handler:
        """`handler`, after which one message less is under way."""

        async def handle(message: Message) -> None:
            try:
                await handler(message)
            finally:
                self._add(message.subject, -1)

        return handle

    def _add(self, subject: str, number: int) -> None:
        self._under_way[subject] += number
        if not self._under_way[subject]:
            del self._under_way[subject]
        if self._under_way:
            self._quiet.clear()
        else:
            self._quiet.set()


class Counted:
    """A client of a bus whose messages are counted; all else is as the bus does it."""

    def __init__(self, bus: Bus, traffic: Traffic) -> None:
        self._bus = bus
        self._traffic = traffic

    async def publish(self, subject: str, payload: bytes) -> None:
        """At most once, to whoever listens now."""
        self._traffic.tap(payload)
        self._traffic.sent(subject)
        await self._bus.publish(subject, payload)

    async def publish_durable(self, subject: str, payload: bytes, message_id: str) -> Stored:
        """Stored once. Raises BusError for what was stored before: a replay begins empty."""
        self._traffic.tap(payload)
        self._traffic.store(subject)
        stored = await self._bus.publish_durable(subject, payload, message_id)
        # The bus itself says it again where the answer is late.
        if not self._traffic.note_stored(stored) and stored.duplicate:
            raise BusError(f"{message_id} was stored before: replay on a bus of its own")
        return stored

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """What is published from now on."""
        found = await self._bus.subscribe(subject, self._traffic.counted(handler))
        self._traffic.listen(subject)
        return found

    async def consume(
        self, durable: str, subjects: Sequence[str], handler: Handler, *,
        history: Handler | None = None, live: Callable[[], Awaitable[None]] | None = None,
        recall: Sequence[str] = (), after: int = 0,
    ) -> Consumption:  # fmt: skip
        """Durable, ordered delivery of all that was ever stored."""
        self._traffic.consume(subjects)
        return await self._bus.consume(
            durable, subjects, self._traffic.counted(handler),
            history=history, live=live, recall=recall, after=after,
        )  # fmt: skip

    async def read(self, sequence: int) -> Message:
        """One stored message."""
        return await self._bus.read(sequence)

    async def follow(
        self, subjects: Sequence[str], start_sequence: int, handler: Handler, *, window: int = 0
    ) -> Subscription:
        """Ordered delivery, not counted: it is for who looks on."""
        return await self._bus.follow(subjects, start_sequence, handler, window=window)

    async def last_sequence(self, *, again: bool = True) -> int:
        """The newest."""
        return await self._bus.last_sequence(again=again)

    async def look_back(self, subject: str, since_ns: int, after: int, limit: int) -> Kept:
        """What is still kept of a subject."""
        return await self._bus.look_back(subject, since_ns, after, limit)

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """The first answer."""
        return await self._bus.request(subject, payload, timeout_s)

    async def gather(self, subject: str, payload: bytes, wait_s: float) -> list[bytes]:
        """Every answer."""
        return await self._bus.gather(subject, payload, wait_s)

    async def respond(self, subject: str, responder: Responder) -> Subscription:
        """Answer requests."""
        return await self._bus.respond(subject, responder)

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        """Keep a value."""
        await self._bus.kv_put(bucket, key, value)

    async def kv_read(self, bucket: str, key: str) -> tuple[bytes, int]:
        """The last value."""
        return await self._bus.kv_read(bucket, key)

    async def kv_swap(self, bucket: str, key: str, value: bytes, revision: int) -> bool:
        """Keep a value if nobody changed it."""
        return await self._bus.kv_swap(bucket, key, value, revision)

    async def kv_watch(self, bucket: str, handler: KeyHandler) -> Subscription:
        """Every value."""
        return await self._bus.kv_watch(bucket, handler)

    async def close(self) -> None:
        """Disconnect."""
        await self._bus.close()
