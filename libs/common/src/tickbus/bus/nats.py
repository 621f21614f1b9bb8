"""The bus over NATS: core NATS for market data, the JetStream stream ORDERS for the order path."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import StreamInfo

from tickbus import permissions
from tickbus import subjects as names
from tickbus.backoff import delays_s
from tickbus.bus.again import asked_again
from tickbus.bus.base import (
    BusDenied,
    BusError,
    Handler,
    Kept,
    KeyHandler,
    Message,
    RequestTimeout,
    Responder,
    Stored,
    matches_any,
)
from tickbus.bus.connecting import denied_subject, is_refusal, options, unless_refused
from tickbus.bus.consumers import Consumers, OwnConsumers
from tickbus.bus.direct import Delivery, DirectLane, DirectSubscription
from tickbus.bus.door import Door, Doorkeeper
from tickbus.bus.keys import escape, unescape
from tickbus.bus.looking import look_back
from tickbus.bus.reader import StreamReader, floor_of
from tickbus.bus.streams import ensure_bucket, ensure_streams
from tickbus.login import Login, servers

log = logging.getLogger("tickbus.bus")

CONNECT_TIMEOUT_S = 5.0
API_TIMEOUT_S = 5.0
DURABLE_TIMEOUT_S = 30.0
REQUEST_TIMEOUT_S = 2.0
WRONG_LAST_SEQUENCE = (10071, 10164)
"""The server's codes for a value that somebody changed meanwhile, and is just changing."""
HISTORY_WINDOW = 10_000
"""Of a history so much is on its way at once; with more the server would drop a slow reader."""
STATE_AGE_S_MAX = 60.0
"""What was known of the stream longer ago is not told any more."""
SUBSCRIPTION_MESSAGES_MAX = 200_000
SUBSCRIPTION_BYTES_MAX = 256 * 1024 * 1024


class _PubAck(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None


_puback = msgspec.json.Decoder(_PubAck)


class _Plain:
    """A core NATS subscription by way of nats-py's own queue, for what is seldom."""

    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription

    async def stop(self) -> None:
        """Deliver nothing more; what is being handled is finished first."""
        with contextlib.suppress(nats.errors.Error):
            await self._subscription.unsubscribe()


class NatsBus:
    """A connection to NATS; made by `NatsBus.connect`."""

    def __init__(self, lane: DirectLane, user: str = "", replicas: int = 1) -> None:
        self._lane = lane
        self._replicas = replicas
        self._client = lane.client
        self._user = user
        self._js: JetStreamContext = lane.client.jetstream(timeout=API_TIMEOUT_S)
        self._door = Door(lane.client, user) if permissions.is_strategy(user) else None
        self._consumers: Consumers = self._door or OwnConsumers(lane.client, self._js)
        self._buckets: set[str] = set()
        self._acks: dict[str, tuple[str, asyncio.Future[Delivery]]] = {}
        self._acks_inbox = b""
        self._number = self._retries = 0
        self._state: tuple[float, StreamInfo] | None = None
        self._closing = False
        self.on_slow: Callable[[str], None] = lambda subject: None
        """Called with the subject on which this process lost messages by being too slow."""
        self.on_taken_over: Callable[[str], None] = lambda durable: None
        """Called with the durable that a newer process reads now; this one must do nothing more."""
        self.on_denied: Callable[[str], None] = lambda subject: None
        """Called with the subject that the server did not let this user publish or hear."""

    @classmethod
    async def connect(
        cls, url: str, name: str, login: Login | None = None, *,
        timeout_s: float | None = None, replicas: int = 1,
    ) -> "NatsBus":  # fmt: skip
        """Connect once and make sure that the streams exist. Raises BusError.

        `url`: of one server, or of several of a cluster with commas between; any of them will do.
        `timeout_s`: CONNECT_TIMEOUT_S without one.
        `replicas`: on how many servers of a cluster the streams that it makes are kept.
        BusRefused for a user or password that the server does not know. After that the connection
        heals by itself, for ever: a service whose bus is away waits.
        """
        known = servers(url)
        if not known or not all(each.startswith(("nats://", "tls://")) for each in known):
            raise BusError(
                f"cannot connect to {url!r}: give it as nats://HOST:PORT or tls://…, several of"
                " one cluster with commas between"
            )
        bus: NatsBus | None = None
        refused = asyncio.Event()

        async def on_error(error: Exception) -> None:
            if is_refusal(error):
                refused.set()
            if bus is not None:  # before that, whoever connects says what is wrong
                bus._on_error(error)

        async def on_disconnect() -> None:
            if bus is None or not bus._closing:
                log.warning("bus: connection to %s lost, reconnecting", url)

        async def on_reconnect() -> None:
            log.warning("bus: connected to %s again", url)

        lane, user = DirectLane(), login.user if login else ""
        connecting = lane.client.connect(
            known,
            name=name,
            error_cb=on_error,
            disconnected_cb=on_disconnect,
            reconnected_cb=on_reconnect,
            **options(login),
        )
        patience_s = CONNECT_TIMEOUT_S if timeout_s is None else timeout_s
        await unless_refused(connecting, refused, url, user, patience_s)
        bus = cls(lane, user, replicas)
        try:
            if bus._door is None:
                await ensure_streams(bus._js, replicas)
            await bus._listen_for_acks()
        except Exception:
            await lane.client.close()
            raise
        return bus

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, nats.errors.SlowConsumerError):
            self.on_slow(error.subject)
            return
        denied = denied_subject(error)
        if denied is None:
            log.warning("bus: %s", str(error) or type(error).__name__)
            return
        log.error("bus: user %r: %s (docs/security.md)", self._user, error)
        self.on_denied(denied)
        for asked, waiting in list(self._acks.values()):
            if asked.lower() == denied and not waiting.done():
                text = f"user {self._user!r} may not publish on {asked!r}: see docs/security.md"
                waiting.set_exception(BusDenied(text))

    async def keep_door(self) -> _Plain:
        """Answer the strategies, who may not use the streams themselves; see `tickbus.bus.door`."""
        for bucket in ("instruments", "strategies", *permissions.OF_ALL):
            ask = partial(self._bucket, bucket)  # strategies may make none
            await asked_again(ask, f"the bucket {bucket}")
        return _Plain(await Doorkeeper(self._client, self._js).open())

    async def _listen_for_acks(self) -> None:
        inbox = self._client.new_inbox()
        self._acks_inbox = inbox.encode()
        await self._lane.take(f"{inbox}.*", self._on_ack)

    def _on_ack(self, delivery: Delivery) -> None:
        _, waiting = self._acks.pop(delivery.subject.rpartition(".")[2], ("", None))
        if waiting is not None and not waiting.done():
            waiting.set_result(delivery)

    async def publish(self, subject: str, payload: bytes) -> None:
        """At most once, to whoever listens now."""
        try:
            await self._lane.publish(subject, payload)
        except nats.errors.Error as error:
            raise BusError(f"cannot publish on {subject!r}: {error}") from error

    async def publish_durable(self, subject: str, payload: bytes, message_id: str) -> Stored:
        """Stored once per `message_id`; see `Bus.publish_durable`."""
        deadline, delays = time.monotonic() + DURABLE_TIMEOUT_S, None
        while True:
            try:
                answer = await self._ask_to_store(subject, payload, message_id)
                ack = _puback.decode(answer.payload) if answer.payload else _PubAck()
                if ack.seq:
                    return Stored(ack.seq, ack.duplicate)
                problem = str((ack.error or {}).get("description", "no stream takes it"))
            except (nats.errors.Error, TimeoutError) as error:
                problem = str(error) or type(error).__name__
            delays = delays or delays_s(0.05, 2.0)
            delay_s = next(delays)
            if time.monotonic() + delay_s > deadline:
                raise BusError(
                    f"{subject!r} ({message_id}) could not be stored in {DURABLE_TIMEOUT_S:g} s: "
                    f"{problem}"
                )
            log.warning("bus: %s (%s) not stored yet: %s", subject, message_id, problem)
            self._retries += 1
            await asyncio.sleep(delay_s)

    async def _ask_to_store(self, subject: str, payload: bytes, message_id: str) -> Delivery:
        self._number += 1
        token = str(self._number)
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[Delivery] = loop.create_future()
        self._acks[token] = (subject, stored)
        reply = b"%s.%s" % (self._acks_inbox, token.encode())
        timer: asyncio.TimerHandle | None = None
        try:
            await self._lane.publish(subject, payload, reply, message_id)
            timer = loop.call_later(REQUEST_TIMEOUT_S, _expire, stored)
            return await stored
        finally:
            self._acks.pop(token, None)
            if timer is not None:
                timer.cancel()

    async def read(self, sequence: int) -> Message:
        """The message at `sequence` of the ORDERS stream."""
        if self._door is not None:
            at_door = await self._door.read(sequence)
            return Message(at_door.subject, at_door.payload, sequence)
        try:
            found = await self._js.get_msg(names.ORDERS_STREAM, sequence)
        except (nats.errors.Error, TimeoutError) as error:
            raise BusError(f"cannot read sequence {sequence}: {error}") from error
        return Message(found.subject or "", found.data or b"", sequence)

    async def subscribe(self, subject: str, handler: Handler) -> DirectSubscription:
        """What is published from now on, at most once."""

        async def deliver(delivery: Delivery) -> None:
            await handler(Message(delivery.subject, delivery.payload))

        subscription = DirectSubscription(
            self._lane, subject, deliver, self._told_slow,
            SUBSCRIPTION_MESSAGES_MAX, SUBSCRIPTION_BYTES_MAX,
        )  # fmt: skip
        await subscription.start()
        return subscription

    def _told_taken_over(self, durable: str) -> None:
        self.on_taken_over(durable)

    def _told_slow(self, subject: str) -> None:
        self.on_slow(subject)

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
    ) -> StreamReader:
        """Durable, ordered delivery; see `Bus.consume`."""
        kept = partial(floor_of, self._consumers, names.ORDERS_STREAM, durable)
        floor = max(after, await asked_again(kept, f"where {durable} is in the stream"))
        last = max(floor, await self.last_sequence()) if recall else floor
        if history is not None and last > after:
            fold = history

            async def look_back(message: Message) -> None:
                if message.sequence <= floor or matches_any(recall, message.subject):
                    await fold(message)

            await self._read_until([*subjects, *recall], after + 1, last, look_back)
        if live is not None:
            await live()
        reader = StreamReader(
            self._lane, self._consumers, names.ORDERS_STREAM, subjects, handler, floor + 1, durable,
            self._told_taken_over,
        )  # fmt: skip
        await reader.start()
        await asked_again(reader.end_older, f"who else reads as {durable}")
        return reader

    async def _read_until(
        self, subjects: Sequence[str], first: int, last: int, handler: Handler
    ) -> None:
        done = asyncio.Event()

        async def read(message: Message) -> None:
            if message.sequence <= last:
                await handler(message)
            if message.sequence >= last:
                done.set()

        reader = StreamReader(
            self._lane, self._consumers, names.ORDERS_STREAM, subjects, read, first,
            window=HISTORY_WINDOW,
        )  # fmt: skip
        await reader.start()
        try:
            await reader.caught_up(done)
        finally:
            await reader.stop()

    async def follow(
        self, subjects: Sequence[str], start_sequence: int, handler: Handler, *, window: int = 0
    ) -> StreamReader:
        """Ordered delivery from `start_sequence` on, keeping no place in it."""
        reader = StreamReader(
            self._lane, self._consumers, names.ORDERS_STREAM, subjects, handler,
            max(1, start_sequence), window=window,
        )  # fmt: skip
        await reader.start()
        return reader

    async def last_sequence(self, *, again: bool = True) -> int:
        """The sequence of the newest stored message; see `Bus.last_sequence`."""
        if self._door is not None:
            return await self._door.last_sequence()
        ask = partial(self._js.stream_info, names.ORDERS_STREAM)
        info = await (asked_again(ask, "the end of the stream") if again else ask())
        self._state = (time.monotonic(), info)
        return info.state.last_seq

    async def look_back(self, subject: str, since_ns: int, after: int, limit: int) -> Kept:
        """What is still kept of a subject; see `Bus.look_back`."""
        return await look_back(
            self._client, names.DECISIONS_STREAM, subject, since_ns, after, limit
        )  # fmt: skip

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """The first answer. Raises RequestTimeout."""
        try:
            answer = await self._client.request(subject, payload, timeout=timeout_s)
        except (TimeoutError, nats.errors.Error) as error:
            raise RequestTimeout(
                f"nobody answered on {subject!r} within {timeout_s:g} s"
            ) from error
        return answer.data

    async def gather(self, subject: str, payload: bytes, wait_s: float) -> list[bytes]:
        """Every answer that comes within `wait_s` seconds."""
        answers: list[bytes] = []

        async def collect(message: Msg) -> None:
            if message.data:  # an empty message is the server saying that nobody listens
                answers.append(message.data)

        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=collect)
        try:
            await self._client.publish(subject, payload, reply=inbox)
            await asyncio.sleep(wait_s)
        finally:
            await subscription.unsubscribe()
        return answers

    async def respond(self, subject: str, responder: Responder) -> _Plain:
        """Answer each request on `subject`."""

        async def deliver(message: Msg) -> None:
            answer = await responder(message.data)
            if message.reply and answer is not None:
                with contextlib.suppress(nats.errors.Error):
                    await self._client.publish(message.reply, answer)

        return _Plain(await self._client.subscribe(subject, cb=deliver))

    async def _bucket(self, bucket: str) -> None:
        if bucket in self._buckets or self._door is not None:
            return
        await ensure_bucket(self._js, bucket, self._replicas)
        self._buckets.add(bucket)

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        """Keep `value` as the last value of `key`. Raises BusError."""
        try:
            await self._bucket(bucket)
            await self._js.publish(f"$KV.{bucket}.{escape(key)}", value)
        except (nats.errors.Error, TimeoutError) as error:
            raise BusError(f"cannot keep {bucket}/{key}: {error}") from error

    async def kv_read(self, bucket: str, key: str) -> tuple[bytes, int]:
        """The last value of `key` and its revision; (b"", 0) without one. Raises BusError."""
        if self._door is not None:
            at_door = await self._door.value(bucket, escape(key))
            return at_door.payload, at_door.sequence
        try:
            await self._bucket(bucket)
            subject = f"$KV.{bucket}.{escape(key)}"
            found = await self._js.get_last_msg(f"KV_{bucket}", subject)
        except nats.js.errors.NotFoundError:
            return b"", 0
        except (nats.errors.Error, TimeoutError) as error:
            raise BusError(f"cannot read {bucket}/{key}: {error}") from error
        return found.data or b"", found.seq or 0

    async def kv_swap(self, bucket: str, key: str, value: bytes, revision: int) -> bool:
        """Keep `value` if the last one still is that of `revision`. Raises BusError."""
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        try:
            await self._bucket(bucket)
            await self._js.publish(f"$KV.{bucket}.{escape(key)}", value, headers=headers)
        except nats.js.errors.APIError as error:
            if error.err_code in WRONG_LAST_SEQUENCE:
                return False
            raise BusError(f"cannot keep {bucket}/{key}: {error}") from error
        except (nats.errors.Error, TimeoutError) as error:
            raise BusError(f"cannot keep {bucket}/{key}: {error}") from error
        return True

    async def kv_watch(self, bucket: str, handler: KeyHandler) -> StreamReader:
        """Every current value (before it returns), then each change. Raises BusError."""
        await asked_again(partial(self._bucket, bucket), f"the bucket {bucket}")
        prefix = f"$KV.{bucket}."

        async def deliver(message: Message) -> None:
            await handler(unescape(message.subject[len(prefix) :]), message.payload)

        reader = StreamReader(
            self._lane, self._consumers, f"KV_{bucket}", [f"{prefix}>"], deliver, 0
        )
        await reader.start()
        await reader.caught_up()
        return reader

    def measure(self) -> Iterator[tuple[str, float, dict[str, str]]]:
        """What is to be known of the connection: (name, value, labels) of each number."""
        stats = self._client.stats
        yield "bus_connected", float(self._client.is_connected), {}
        yield "bus_reconnects_total", stats["reconnects"], {}
        yield "store_retries_total", self._retries, {}
        yield from self._lane.measure()
        if self._state is not None and time.monotonic() - self._state[0] < STATE_AGE_S_MAX:
            info = self._state[1]
            yield "stream_bytes", info.state.bytes, {}
            yield "stream_last_sequence", info.state.last_seq, {}
            if info.config.max_bytes is not None and info.config.max_bytes > 0:
                yield "stream_bytes_max", info.config.max_bytes, {}

    def behind(self) -> Iterator[tuple[str, float]]:
        """Of the ORDERS stream, how many stored messages are still to be handled here."""
        for _, lag, labels in self._lane.measure():
            if labels.get("stream") == names.ORDERS_STREAM and lag >= 0:
                yield "orders_behind_messages", lag

    async def close(self) -> None:
        """Flush what is buffered and disconnect, in at most 6 s."""
        self._closing = True
        with contextlib.suppress(Exception):
            async with asyncio.timeout(3):
                await self._client.flush()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(3):
                await self._client.close()


def _expire(waiting: asyncio.Future[Delivery]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError(f"no answer in {REQUEST_TIMEOUT_S:g} s"))
