"""What a bus promises, whatever carries it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol


class Message(NamedTuple):
    """One message; `sequence` is its place in the ORDERS stream, 0 for what is not durable."""

    subject: str
    payload: bytes
    sequence: int = 0


class Kept(NamedTuple):
    """Messages of a subject that the bus keeps for a while, oldest first; `more` when some follow.

    `sequence` of each is its place in the stream that keeps them.
    """

    messages: list[Message]
    more: bool


Handler = Callable[[Message], Awaitable[None]]
KeyHandler = Callable[[str, bytes], Awaitable[None]]
Responder = Callable[[bytes], Awaitable[bytes | None]]
"""Gives the answer to a request, or None to leave it to another responder."""


class Stored(NamedTuple):
    """Where a message is in the ORDERS stream; `duplicate` when an earlier one has its id."""

    sequence: int
    duplicate: bool = False


class BusError(Exception):
    """The bus could not do what was asked; the text names the subject and the remedy."""


class BusRefused(BusError):
    """The server does not know the user or the password; the text says what to set."""


class BusDenied(BusError):
    """This user may not publish there; the text names user and subject."""


class RequestTimeout(BusError):
    """Nobody answered a request in time."""


class Subscription(Protocol):
    """A running delivery of messages to a handler."""

    async def stop(self) -> None:
        """Deliver nothing more; what is being handled is finished first."""
        ...


class Consumption(Subscription, Protocol):
    """A running delivery from the ORDERS stream."""

    async def caught_up(self) -> None:
        """Return once what was stored at the beginning is handled. Raises BusError on silence."""
        ...


class Bus(Protocol):
    """Publish, subscribe, durable streams, request/reply and buckets of last values.

    Handlers of one subscription run one at a time, in order; they must not raise.
    """

    async def publish(self, subject: str, payload: bytes) -> None:
        """At most once, to whoever listens now. Raises BusError when it cannot even be buffered."""
        ...

    async def publish_durable(self, subject: str, payload: bytes, message_id: str) -> Stored:
        """Stored once per `message_id` in the ORDERS stream before it returns.

        Retried with back-off while the bus is away; raises BusError when the time-out passes.
        """
        ...

    async def read(self, sequence: int) -> Message:
        """The message at `sequence` of the ORDERS stream. Raises BusError when it is not there."""
        ...

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """What is published from now on, at most once; `*` and `>` are wildcards."""
        ...

    async def consume(
        self,
        durable: str,
        subjects: Sequence[str],
        handler: Handler,
        *,
        history: Handler | None = None,
        live: Callable[[], Awaitable[None]] | None = None,
        recall: Sequence[str] = (),
        after: int = 0,
    ) -> Consumption:
        """Durable, ordered delivery from the ORDERS stream, acknowledged when `handler` returns.

        `history` first gets, in order, every matching message acknowledged before, and all there is
        of the subjects in `recall`, those that the consumer itself writes; then `live` is called
        once; then `handler` gets the rest of `subjects`, from the first unacknowledged message on.
        One process at a time consumes a durable: a new one takes over and the old one gets no more.
        What is at or before the sequence `after` was handled, whatever was acknowledged, and is
        known already: history begins behind it.
        """
        ...

    async def follow(
        self, subjects: Sequence[str], start_sequence: int, handler: Handler, *, window: int = 0
    ) -> Subscription:
        """Ordered delivery of the ORDERS stream from `start_sequence` on, keeping no place in it.

        With `window` at most so many messages are on their way at once, so that a long read does
        not stand before what else comes over this connection.
        """
        ...

    async def last_sequence(self, *, again: bool = True) -> int:
        """The sequence of the newest message in the ORDERS stream, 0 when empty.

        A server that does not answer is asked `again` for half a minute; then this raises BusError.
        Who only looks whether one answers asks once, and is told by whatever the client raises.
        """
        ...

    async def look_back(self, subject: str, since_ns: int, after: int, limit: int) -> Kept:
        """Up to `limit` decisions that the stream DECISIONS still has on `subject`, oldest first.

        From those stored at `since_ns` (UTC) on, or where `after` is not 0 behind that sequence.
        Raises BusError.
        """
        ...

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """The first answer. Raises RequestTimeout."""
        ...

    async def gather(self, subject: str, payload: bytes, wait_s: float) -> list[bytes]:
        """Every answer that comes within `wait_s` seconds."""
        ...

    async def respond(self, subject: str, responder: Responder) -> Subscription:
        """Answer each request on `subject` with what `responder` returns."""
        ...

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        """Keep `value` as the last value of `key`."""
        ...

    async def kv_read(self, bucket: str, key: str) -> tuple[bytes, int]:
        """The last value of `key` and its revision; (b"", 0) when there is none."""
        ...

    async def kv_swap(self, bucket: str, key: str, value: bytes, revision: int) -> bool:
        """Keep `value` if the last one still is that of `revision`; False when it is not."""
        ...

    async def kv_watch(self, bucket: str, handler: KeyHandler) -> Subscription:
        """Every current value (before it returns), then each change."""
        ...

    async def close(self) -> None:
        """Flush what is buffered and disconnect."""
        ...


def matches(pattern: str, subject: str) -> bool:
    """Whether `subject` matches `pattern` by the rules of NATS (`*` one token, `>` the rest)."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return len(given) > index
        if index >= len(given) or part not in ("*", given[index]):
            return False
    return len(wanted) == len(given)


def matches_any(patterns: Sequence[str], subject: str) -> bool:
    """Whether `subject` matches one of `patterns`."""
    return any(matches(pattern, subject) for pattern in patterns)
