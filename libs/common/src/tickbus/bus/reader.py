"""Ordered reading of a JetStream stream that notices a lost delivery and starts over behind it."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime

import nats.errors

from tickbus.bus.again import asked_again
from tickbus.bus.base import BusError, Handler, Message
from tickbus.bus.consumers import HEARTBEAT_S, Consumers, Wish
from tickbus.bus.direct import Delivery, DirectLane, DirectSubscription

log = logging.getLogger("tickbus.bus")

SILENCE_S = 3 * HEARTBEAT_S
"""A consumer from which neither message nor heartbeat came for so long is made anew."""
ACK_DELAY_S = 0.02
"""What was handled is acknowledged together, this much later: one message to the server instead of
many, and none while an order is on its way. After a crash that much is handled again, harmlessly.
"""
MESSAGES_MAX = 100_000
BYTES_MAX = 256 * 1024 * 1024
CATCH_UP_TIMEOUT_S = 120.0


async def floor_of(consumers: Consumers, stream: str, durable: str) -> int:
    """The highest acknowledged sequence of all incarnations of `durable`.

    A durable has incarnations (`risk-7`): a new process makes the next one just behind the
    acknowledged part and only then deletes the older ones, so that dying in between loses nothing,
    order is kept, and a process that should be dead gets no more messages.
    """
    found = await consumers.incarnations(stream, durable)
    return max((one.floor for one in found), default=0)


class StreamReader:
    """Delivers a stream in order from a sequence on; with `durable`, acknowledges what was handled.

    `start_sequence` 0 means the last value of each subject, then what follows. Whenever the server
    skips a delivery, goes silent or forgets the consumer, a new consumer is made behind the last
    message handled, unless a newer process has made one: then `on_taken_over` is told, and it ends.
    A handler's time is not limited, but nothing else is delivered meanwhile. With `window` at most
    so many messages are on their way at once.
    """

    def __init__(
        self,
        lane: DirectLane,
        consumers: Consumers,
        stream: str,
        subjects: Sequence[str],
        handler: Handler,
        start_sequence: int,
        durable: str = "",
        on_taken_over: Callable[[str], None] = lambda durable: None,
        window: int = 0,
    ) -> None:
        self._on_taken_over = on_taken_over
        self._lane = lane
        self._client = lane.client
        self._consumers = consumers
        self._stream = stream
        self._subjects = list(subjects)
        self._handler = handler
        self._start_sequence = start_sequence
        self._durable = durable
        self._window = window
        self._busy = False
        self._renewal: asyncio.Task[None] | None = None
        self._unacknowledged = ""
        self._in_window = 0
        self._ack_timer: asyncio.TimerHandle | None = None
        self._acking: asyncio.Task[None] | None = None
        self._last = start_sequence - 1 if start_sequence else 0
        self._expected_delivery = 1
        self._heard = 0.0
        self._pending = -1
        self._consumer = ""
        self._made: datetime | None = None
        self._makers: deque[str] = deque(maxlen=1000)
        self._subscription: DirectSubscription | None = None
        self._generation = 0
        self._stopped = False
        self._watchdog: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._progress = asyncio.Event()

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self._stream

    @property
    def lag(self) -> int:
        """How many messages were still to be handled when the last one that was handled was sent.

        At least what waits here: behind a slow handler nothing newer is known.
        """
        waiting = self._subscription.waiting if self._subscription is not None else 0
        return max(self._pending, waiting + self._busy)

    async def start(self) -> None:
        """Begin to deliver. Raises BusError when the consumer cannot be made within 30 s."""
        await self._renew()
        self._lane.lags[self] = None
        self._watchdog = asyncio.create_task(self._watch())

    async def end_older(self) -> None:
        """End the earlier incarnations of the durable, also one made while we read history."""
        for one in await self._consumers.incarnations(self._stream, self._durable):
            is_older = self._made is not None and one.created < self._made
            if is_older and one.name != self._consumer:
                await self._consumers.end(self._stream, one.name)

    async def stop(self) -> None:
        """Deliver nothing more; a durable keeps its place, another is forgotten after 30 s."""
        self._stopped = True
        self._lane.lags.pop(self, None)
        for task in (self._watchdog, self._renewal):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        await self._unsubscribe()
        if self._ack_timer is not None:
            self._ack_timer.cancel()
        await self._ack()

    async def caught_up(self, done: asyncio.Event | None = None) -> None:
        """Wait until nothing is pending, or `done`. Raises BusError after 120 s of silence."""
        while self._pending != 0 and not (done is not None and done.is_set()):
            self._progress.clear()
            try:
                await asyncio.wait_for(self._progress.wait(), CATCH_UP_TIMEOUT_S)
            except TimeoutError as error:
                raise BusError(
                    f"no message of {self._stream} came for {CATCH_UP_TIMEOUT_S:g} s while reading"
                    f" its history; {self._pending} are still to come: check the NATS server"
                ) from error

    async def _renew(self) -> None:
        async with self._lock:
            if self._stopped or await self._is_taken_over():
                return
            await asked_again(self._create_anew, f"reading {self._stream}")

    async def _is_taken_over(self) -> bool:
        """Whether a newer process reads our durable: then it is not made anew, but given up."""
        made = self._made
        if not self._durable or made is None:
            return False
        try:
            known = await self._consumers.incarnations(self._stream, self._durable)
        except (nats.errors.Error, TimeoutError, BusError):
            return False  # the server answers nobody now; it is asked again when one is made
        # The server's clock decides, as the hosts of two processes may differ in theirs.
        if not any(one.created > made for one in known if one.maker not in self._makers):
            return False
        self._stopped = True
        self._on_taken_over(self._durable)
        return True

    async def _create_anew(self) -> None:
        await self._unsubscribe()
        try:
            await self._create()
        except (nats.errors.Error, TimeoutError):
            await self._unsubscribe()
            raise

    async def _create(self) -> None:
        inbox = self._consumers.inbox()
        self._generation += 1
        generation = self._generation
        self._expected_delivery = 1
        self._pending = -1

        async def deliver(message: Delivery) -> None:
            if generation == self._generation and not self._stopped:
                await self._deliver(message)

        def on_slow(_: str) -> None:
            log.warning("bus: %s comes faster than it is handled, reading again", self._stream)

        # What is dropped here is missed at the next delivery, and read again.
        self._subscription = DirectSubscription(
            self._lane, inbox, deliver, on_slow, MESSAGES_MAX, BYTES_MAX
        )
        await self._subscription.start()
        old = self._consumer
        made = await self._consumers.make(self._wish(inbox))
        self._consumer, self._made = made.name, made.created
        self._heard = time.monotonic()
        if self._pending < 0:  # else a delivery overtook this answer and knows better
            self._pending = made.pending
        self._progress.set()
        if old and self._durable and old != made.name:
            await self._consumers.end(self._stream, old)

    def _wish(self, inbox: str) -> Wish:
        maker = ""
        if self._durable:
            maker = f"{self._durable}-{time.time_ns()}"
            self._makers.append(maker)
        start = self._last + 1 if self._last or self._start_sequence else 0
        return Wish(
            self._stream, tuple(self._subjects), inbox, start, self._durable, maker, self._window
        )

    async def _deliver(self, message: Delivery) -> None:
        self._heard = time.monotonic()
        if not message.reply.startswith("$JS.ACK."):
            return  # a heartbeat
        fields = message.reply.split(".")
        # With a domain and an account there are two tokens more before the stream's name.
        offset = 0 if len(fields) == 9 else 2
        sequence, delivery = int(fields[5 + offset]), int(fields[6 + offset])
        if sequence <= self._last:
            self._expected_delivery = max(self._expected_delivery, delivery + 1)
            self._acknowledge(message.reply)
            return
        if delivery != self._expected_delivery:
            log.warning(
                "bus: %s: delivery %d came where %d was due, reading again from %d",
                self._stream, delivery, self._expected_delivery, self._last + 1,
            )  # fmt: skip
            self._renewal = asyncio.create_task(self._renew())
            self._generation += 1  # what is still queued belongs to the abandoned consumer
            return
        self._expected_delivery += 1
        self._busy = True
        try:
            await self._handler(Message(message.subject, message.payload, sequence))
        finally:
            self._busy = False
            self._heard = time.monotonic()
        self._last = sequence
        self._acknowledge(message.reply)
        self._pending = int(fields[8 + offset])
        self._progress.set()
        self._in_window += 1
        if self._window and self._in_window >= self._window // 2:
            await self._ack()  # early enough for the next to be on their way already

    def _acknowledge(self, reply: str) -> None:
        if not self._durable and not self._window:
            return
        self._unacknowledged = reply
        if self._ack_timer is None:
            loop = asyncio.get_running_loop()
            self._ack_timer = loop.call_later(ACK_DELAY_S, self._start_ack)

    def _start_ack(self) -> None:
        self._ack_timer = None
        self._acking = asyncio.create_task(self._ack())

    async def _ack(self) -> None:
        reply, self._unacknowledged = self._unacknowledged, ""
        self._in_window = 0
        if reply:
            # Lost with the connection at worst: then it comes again and is recognised.
            with contextlib.suppress(nats.errors.Error):
                await self._lane.publish(reply, b"+ACK")

    async def _watch(self) -> None:
        while not self._stopped:
            await asyncio.sleep(HEARTBEAT_S)
            if self._busy or not self._client.is_connected:
                continue  # heartbeats queue behind a slow handler: that is not silence
            if time.monotonic() - self._heard > SILENCE_S:
                log.warning("bus: %s went silent, reading again", self._stream)
                with contextlib.suppress(BusError):
                    await self._renew()

    async def _unsubscribe(self) -> None:
        if self._subscription is not None:
            await self._subscription.stop()
            self._subscription = None
