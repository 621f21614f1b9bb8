"""Messages that a service cannot handle: counted, at last moved aside, never dropped silently.

A core that raises is a bug, and the service ends. It is restarted and gets the same message again;
how often that happened is kept in the bucket `deadletters`, one entry per service and message.
After so many failures as configured the message becomes a dead letter: an alarm on
`deadletter.<service>`, kept in the stream DEADLETTERS, and the service goes on behind it.
"""

import hashlib
import logging
import traceback
from enum import StrEnum

import msgspec

from tickbus import codec
from tickbus.bus import Bus, BusError, Message, Subscription
from tickbus.clock import Clock
from tickbus.codec import MalformedMessage
from tickbus.runtime.orderlog import about_message
from tickbus.runtime.telemetry import Telemetry

BUCKET = "deadletters"
DEAD_MAX = 1_000
"""Dead letters of one service. With more it is not a message that is broken but the service: it
then ends as it did before there were dead letters, until somebody has looked at them."""
ERROR_CHARS_MAX = 2_000
LATELY_NS = 300_000_000_000
"""For how long a failure is news to the process that comes behind the one that failed."""


class LetterState(StrEnum):
    """What became of a message that a service failed at."""

    FAILING = "FAILING"
    DEAD = "DEAD"
    REPLAYED = "REPLAYED"
    DROPPED = "DROPPED"


_SEEN_TO = (LetterState.REPLAYED, LetterState.DROPPED)


class DeadLetter(msgspec.Struct, frozen=True, array_like=True):
    """A message that `service` failed at `attempts` times, in whole.

    `sequence` is its place in ORDERS, where it stays. `trace_hash` is the same for the same place
    in the code. `replays` counts how often it was published again.
    """

    service: str
    durable: str
    subject: str
    sequence: int
    attempts: int
    error: str
    trace_hash: str
    ts_failed: int
    state: LetterState
    payload: bytes
    replays: int = 0

    @property
    def key(self) -> str:
        """Its name in the bucket."""
        return f"{self.durable}.{self.sequence}"


class DeadLetters:
    """What one service failed at; loaded before it reads the stream."""

    def __init__(
        self, service: str, durable: str, bus: Bus, deliveries_max: int, telemetry: Telemetry,
        clock: Clock, log: logging.Logger,
    ) -> None:  # fmt: skip
        self._service = service
        self._durable = durable
        self._bus = bus
        self._deliveries_max = deliveries_max
        self._telemetry = telemetry
        self._clock = clock
        self._log = log
        self._letters: dict[int, DeadLetter] = {}

    async def load(self) -> Subscription:
        """Learn what earlier processes failed at, and then what people do about it.

        Raises BusError.
        """
        loaded = False

        async def take(_: str, value: bytes) -> None:
            letter = _read(value)
            if letter is None or letter.durable != self._durable:
                return
            # Later, what this process keeps itself comes back here, and may be older than it knows.
            if not loaded or letter.state in _SEEN_TO:
                self._letters[letter.sequence] = letter
            if loaded:
                self._gauge()

        watch = await self._bus.kv_watch(BUCKET, take)
        loaded = True
        self._gauge()
        # Who failed counted it, too, and ended before anybody could look at its numbers.
        if failed := sum(self._failed_lately(letter) for letter in self._letters.values()):
            self._telemetry.error("bug", failed)
        return watch

    def _failed_lately(self, letter: DeadLetter) -> bool:
        age_ns = self._clock.now_ns() - letter.ts_failed
        return letter.state is LetterState.FAILING and age_ns < LATELY_NS

    def is_dead(self, message: Message) -> bool:
        """Whether the message is to be passed over, for good."""
        letter = self._of(message)
        return letter is not None and letter.state is not LetterState.FAILING

    def is_due(self, message: Message) -> bool:
        """Whether the message has failed too often and is to be buried now."""
        letter = self._of(message)
        if letter is None or letter.state is not LetterState.FAILING:
            return False
        return letter.attempts >= self._deliveries_max and self._dead_count() < DEAD_MAX

    async def note(self, message: Message, error: BaseException) -> None:
        """The core raised at `message`: remember it for the next process. Never raises."""
        earlier = self._of(message)
        attempts = 1 + (earlier.attempts if earlier else 0)
        text = f"{type(error).__name__}: {error}"[:ERROR_CHARS_MAX]
        letter = DeadLetter(
            self._service, self._durable, message.subject, message.sequence, attempts, text,
            _trace_hash(error), self._clock.now_ns(), LetterState.FAILING, message.payload,
        )  # fmt: skip
        try:
            await self._keep(letter)
        except BusError as problem:
            ids = about_message(message.payload)
            self._log.error("this failure is not counted: %s", problem, extra=ids)

    async def bury(self, message: Message) -> DeadLetter:
        """Move the message aside, with an alarm. Raises BusError."""
        letter = msgspec.structs.replace(
            self._letters[message.sequence], state=LetterState.DEAD, ts_failed=self._clock.now_ns()
        )
        await self._bus.publish_durable(
            f"deadletter.{self._service}", codec.encode_value(letter), f"deadletter:{letter.key}"
        )
        await self._keep(letter)
        self._telemetry.error("dead_letters")
        fields = {
            "subject": letter.subject, "sequence": letter.sequence, "error": letter.error,
            "attempts": letter.attempts, "trace_hash": letter.trace_hash,
            **about_message(letter.payload).get("fields", {}),
        }  # fmt: skip
        self._log.critical(
            "a message became a dead letter: see `tickbus dead-letters`", extra={"fields": fields}
        )
        self._gauge()
        return letter

    def _of(self, message: Message) -> DeadLetter | None:
        letter = self._letters.get(message.sequence)
        # A stream that was restored from a backup gives its later numbers once more.
        is_same = letter is not None and letter.payload == message.payload
        return letter if is_same else None

    async def _keep(self, letter: DeadLetter) -> None:
        self._letters[letter.sequence] = letter
        await self._bus.kv_put(BUCKET, letter.key, codec.encode_value(letter))

    def _dead_count(self) -> int:
        return sum(letter.state is LetterState.DEAD for letter in self._letters.values())

    def _gauge(self) -> None:
        self._telemetry.gauge("dead_letters", self._dead_count())


def _trace_hash(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = "|".join(f"{frame.filename.rpartition('/')[2]}:{frame.name}" for frame in frames)
    return hashlib.sha256(f"{type(error).__name__}|{place}".encode()).hexdigest()[:12]


async def letters(bus: Bus) -> list[DeadLetter]:
    """Every entry of every service, in the order of the stream. Raises BusError."""
    found: list[DeadLetter] = []

    async def take(_: str, value: bytes) -> None:
        letter = _read(value)
        if letter is not None:
            found.append(letter)

    watch = await bus.kv_watch(BUCKET, take)
    await watch.stop()
    return sorted(found, key=lambda letter: (letter.sequence, letter.durable))


def _read(value: bytes) -> DeadLetter | None:
    try:
        return codec.decode_value(value, DeadLetter)
    except MalformedMessage:
        logging.getLogger("tickbus.bus").warning("an entry of %s cannot be read", BUCKET)
        return None


async def replay(bus: Bus, letter: DeadLetter) -> int:
    """Publish the original once more, as a new message; its sequence. Raises BusError.

    Everybody who reads its subject gets it again, which idempotent cores take as a repeat.
    """
    number = letter.replays + 1
    stored = await bus.publish_durable(
        letter.subject, letter.payload, f"replay:{letter.key}:{number}"
    )
    replayed = msgspec.structs.replace(letter, state=LetterState.REPLAYED, replays=number)
    await bus.kv_put(BUCKET, letter.key, codec.encode_value(replayed))
    return stored.sequence


async def drop(bus: Bus, letter: DeadLetter) -> None:
    """Note that nothing more is to be done about it. Raises BusError."""
    dropped = msgspec.structs.replace(letter, state=LetterState.DROPPED)
    await bus.kv_put(BUCKET, letter.key, codec.encode_value(dropped))
