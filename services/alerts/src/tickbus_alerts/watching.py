"""Looks at what does not come by itself: whether every service is there, and dead letters."""

import asyncio

from tickbus import codec, subjects
from tickbus.bus import BusError, Subscription
from tickbus.codec import MalformedMessage
from tickbus.events import ServiceStatus
from tickbus.runtime import Context
from tickbus.runtime.deadletters import BUCKET, DeadLetter, LetterState
from tickbus_alerts.events import LetterSeen, ServicesSeen, ServiceWord

ANSWER_S = 1.0
"""How long the services have to answer."""
REASON_CHARS_MAX = 200


class Watching:
    """The edge that asks all services every `ask_every_s`, and follows the dead letters."""

    def __init__(self, ask_every_s: float) -> None:
        self._ask_every_s = ask_every_s
        self._letters: Subscription | None = None

    async def start(self, context: Context) -> None:
        """Begin to look. Raises BusError."""

        async def take(_: str, value: bytes) -> None:
            await self._letter(value, context)

        self._letters = await context.bus.kv_watch(BUCKET, take)
        context.spawn(self._ask(context), "services")

    async def stop(self) -> None:
        """Look no more."""
        if self._letters is not None:
            await self._letters.stop()

    async def _letter(self, value: bytes, context: Context) -> None:
        try:
            letter = codec.decode_value(value, DeadLetter)
        except MalformedMessage as error:
            context.quarantine(BUCKET, value, error)
            return
        if letter.state is LetterState.FAILING:
            return
        now = context.clock.now_ns()
        seen = LetterSeen(
            now, now, letter.service, letter.key, letter.subject, letter.error,
            letter.state is LetterState.DEAD,
        )  # fmt: skip
        await context.emit([seen])

    async def _ask(self, context: Context) -> None:
        while True:
            await asyncio.sleep(self._ask_every_s)
            try:
                answers = await context.bus.gather(subjects.STATUS, b"", ANSWER_S)
            except BusError as error:
                # Without a bus nobody can answer: that says nothing of the services.
                context.log.debug("services cannot be asked: %s", error)
                continue
            now = context.clock.now_ns()
            if words := words_of(answers, context):
                await context.emit([ServicesSeen(now, now, words)])


def words_of(answers: list[bytes], context: Context) -> tuple[ServiceWord, ...]:
    """One word per service and venue: where several processes share the work, the best one's."""
    found: dict[str, ServiceWord] = {}
    for payload in answers:
        try:
            status = codec.decode_value(payload, ServiceStatus)
        except MalformedMessage as error:
            context.quarantine(subjects.STATUS, payload, error)
            continue
        name = f"{status.service}-{status.venue}" if status.venue else status.service
        before = found.get(name)
        if before is None or status.ready > before.is_ready:
            reason = f"waits for {status.waiting_for[:REASON_CHARS_MAX]}"
            found[name] = ServiceWord(name, status.ready, "" if status.ready else reason)
    return tuple(found.values())
