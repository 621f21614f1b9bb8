"""The bus in memory: the same promises within one process, for tests and colocated services."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from tickbus import subjects as names
from tickbus.bus.base import (
    BusError,
    Consumption,
    Handler,
    Kept,
    KeyHandler,
    Message,
    RequestTimeout,
    Responder,
    Stored,
    Subscription,
    matches,
    matches_any,
)

QUEUE_MESSAGES_MAX = 100_000
DECISIONS_MAX = 10_000
"""What strategies decided is kept for who looks back; past that the oldest is forgotten."""
SETTLE_S = 60.0
"""What is still queued then is a hang: a machine that tests share may stand still for long."""


class _Delivery:
    """One subscription: a bounded queue and the task that empties it."""

    def __init__(self, patterns: Sequence[str], handler: Handler, done: Callable[[], None]) -> None:
        self.patterns = tuple(patterns)
        self.dropped = 0
        self._handler = handler
        self._done = done
        self._queue: asyncio.Queue[Message] = asyncio.Queue(QUEUE_MESSAGES_MAX)
        self._task = asyncio.create_task(self._run())

    def wants(self, subject: str) -> bool:
        return matches_any(self.patterns, subject)

    def offer(self, message: Message) -> None:
        # At most once: a subscriber 100,000 messages behind loses the newest, and that is counted.
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.dropped += 1

    async def put(self, message: Message) -> None:
        # The order path must not lose: the publisher waits instead.
        await self._queue.put(message)

    async def idle(self) -> None:
        await self._queue.join()

    async def caught_up(self) -> None:
        """What was stored at the beginning is handled."""
        await self._queue.join()

    async def _run(self) -> None:
        while True:
            message = await self._queue.get()
            try:
                await self._handler(message)
            finally:
                self._queue.task_done()

    async def stop(self) -> None:
        """Deliver nothing more."""
        self._done()
        self._task.cancel()
        if self._task is not asyncio.current_task():
            with contextlib.suppress(asyncio.CancelledError):
                await self._task


class _Watch:
    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done

    async def stop(self) -> None:
        """Deliver nothing more."""
        self._done()


class MemoryBus:
    """A bus within one process; everything is lost with it."""

    def __init__(self) -> None:
        self._deliveries: list[_Delivery] = []
        self._durables: dict[str, _Delivery] = {}
        self._followers: list[_Delivery] = []
        self._stream: list[Message] = []
        self._ids: dict[str, int] = {}
        self._kept: deque[tuple[int, Message]] = deque(maxlen=DECISIONS_MAX)
        self._kept_last = 0
        self._floors: dict[str, int] = {}
        self._responders: list[tuple[str, Responder]] = []
        self._buckets: dict[str, dict[str, bytes]] = {}
        self._revisions: dict[tuple[str, str], int] = {}
        self._watches: list[tuple[str, KeyHandler]] = []

    async def publish(self, subject: str, payload: bytes) -> None:
        """At most once, to whoever listens now."""
        message = Message(subject, payload)
        if matches(names.DECISIONS_ALL, subject):
            self._kept_last += 1
            self._kept.append((time.time_ns(), Message(subject, payload, self._kept_last)))
        for delivery in list(self._deliveries):
            if delivery.wants(subject):
                delivery.offer(message)

    async def look_back(self, subject: str, since_ns: int, after: int, limit: int) -> Kept:
        """What is still kept of a subject; see `Bus.look_back`."""
        found = [
            message
            for stored_ns, message in self._kept
            if message.subject == subject
            and (message.sequence > after if after else stored_ns >= since_ns)
        ]
        return Kept(found[:limit], len(found) > limit)

    async def publish_durable(self, subject: str, payload: bytes, message_id: str) -> Stored:
        """Stored once per `message_id`."""
        if message_id in self._ids:
            return Stored(self._ids[message_id], duplicate=True)
        sequence = len(self._stream) + 1
        message = Message(subject, payload, sequence)
        self._stream.append(message)
        self._ids[message_id] = sequence
        for delivery in [*self._deliveries]:
            if delivery.wants(subject):
                delivery.offer(message)
        for delivery in [*self._durables.values(), *self._followers]:
            if delivery.wants(subject):
                await delivery.put(message)
        return Stored(sequence)

    async def read(self, sequence: int) -> Message:
        """The message at `sequence`."""
        if not 0 < sequence <= len(self._stream):
            raise BusError(f"nothing is stored at sequence {sequence}")
        return self._stream[sequence - 1]

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """What is published from now on."""
        delivery = _Delivery([subject], handler, lambda: self._deliveries.remove(delivery))
        self._deliveries.append(delivery)
        return delivery

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
        """Durable, ordered delivery; see `Bus.consume`."""
        if durable in self._durables:
            await self._durables[durable].stop()

        async def handle(message: Message) -> None:
            await handler(message)
            self._floors[durable] = message.sequence

        floor = self._floors[durable] = max(self._floors.get(durable, 0), after)
        for message in self._stream[after:]:
            acknowledged = message.sequence <= floor and matches_any(subjects, message.subject)
            if history is not None and (acknowledged or matches_any(recall, message.subject)):
                await history(message)
        if live is not None:
            await live()
        delivery = _Delivery(subjects, handle, lambda: self._forget(durable, delivery))
        # What was stored while history was read belongs to the rest.
        for message in self._stream:
            if message.sequence > floor and delivery.wants(message.subject):
                delivery.offer(message)
        self._durables[durable] = delivery
        return delivery

    def _forget(self, durable: str, delivery: _Delivery) -> None:
        if self._durables.get(durable) is delivery:
            del self._durables[durable]

    async def follow(
        self, subjects: Sequence[str], start_sequence: int, handler: Handler, *, window: int = 0
    ) -> Subscription:
        """Ordered delivery from `start_sequence` on."""
        delivery = _Delivery(subjects, handler, lambda: self._followers.remove(delivery))
        for message in self._stream[max(0, start_sequence - 1) :]:
            if delivery.wants(message.subject):
                delivery.offer(message)
        self._followers.append(delivery)
        return delivery

    async def last_sequence(self, *, again: bool = True) -> int:
        """The sequence of the newest stored message."""
        return len(self._stream)

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """The first answer. Raises RequestTimeout."""
        for pattern, responder in self._responders:
            if matches(pattern, subject):
                try:
                    answer = await asyncio.wait_for(responder(payload), timeout_s)
                except TimeoutError:
                    break
                if answer is not None:
                    return answer
        raise RequestTimeout(f"nobody answered on {subject!r} within {timeout_s:g} s")

    async def gather(self, subject: str, payload: bytes, wait_s: float) -> list[bytes]:
        """Every answer that comes within `wait_s` seconds."""
        calls: list[Coroutine[Any, Any, bytes | None]] = [
            self._call(responder, payload)
            for pattern, responder in self._responders
            if matches(pattern, subject)
        ]
        tasks = [asyncio.create_task(call) for call in calls]
        if not tasks:
            return []
        done, late = await asyncio.wait(tasks, timeout=wait_s)
        for task in late:
            task.cancel()
        answers = (task.result() for task in tasks if task in done and not task.exception())
        return [answer for answer in answers if answer is not None]

    @staticmethod
    async def _call(responder: Responder, payload: bytes) -> bytes | None:
        return await responder(payload)

    async def respond(self, subject: str, responder: Responder) -> Subscription:
        """Answer each request on `subject`."""
        entry = (subject, responder)
        self._responders.append(entry)
        return _Watch(lambda: self._responders.remove(entry))

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        """Keep `value` as the last value of `key`."""
        self._buckets.setdefault(bucket, {})[key] = value
        self._revisions[bucket, key] = self._revisions.get((bucket, key), 0) + 1
        for watched, handler in list(self._watches):
            if watched == bucket:
                await handler(key, value)

    async def kv_read(self, bucket: str, key: str) -> tuple[bytes, int]:
        """The last value of `key` and its revision; (b"", 0) when there is none."""
        value = self._buckets.get(bucket, {}).get(key, b"")
        return value, self._revisions.get((bucket, key), 0)

    async def kv_swap(self, bucket: str, key: str, value: bytes, revision: int) -> bool:
        """Keep `value` if the last one still is that of `revision`; False when it is not."""
        if self._revisions.get((bucket, key), 0) != revision:
            return False
        await self.kv_put(bucket, key, value)
        return True

    async def kv_watch(self, bucket: str, handler: KeyHandler) -> Subscription:
        """Every current value, then each change."""
        entry = (bucket, handler)
        self._watches.append(entry)
        for key, value in list(self._buckets.get(bucket, {}).items()):
            await handler(key, value)
        return _Watch(lambda: self._watches.remove(entry))

    async def close(self) -> None:
        """Stop every delivery."""
        for delivery in [*self._deliveries, *self._durables.values(), *self._followers]:
            await delivery.stop()

    async def settle(self) -> None:
        """Wait, for tests, until nothing is queued or being handled. BusError after SETTLE_S."""
        try:
            async with asyncio.timeout(SETTLE_S):
                for _ in range(3):
                    for delivery in [
                        *self._deliveries,
                        *self._durables.values(),
                        *self._followers,
                    ]:
                        await delivery.idle()
                    await asyncio.sleep(0)
        except TimeoutError as error:
            raise BusError(f"the bus did not come to rest within {SETTLE_S:g} s") from error
