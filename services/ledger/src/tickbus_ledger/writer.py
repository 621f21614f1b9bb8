"""Follows the ORDERS stream and writes batches, each in one transaction with its position."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from tickbus import codec, subjects
from tickbus.backoff import delays_s
from tickbus.bus import Message, Subscription
from tickbus.codec import Hop, MalformedMessage
from tickbus.config import ConfigError
from tickbus.events import Event, OrderFilled
from tickbus.order import client_order_id_of
from tickbus.runtime import Context
from tickbus.runtime.orderlog import about_message
from tickbus.tracing import about
from tickbus_ledger.config import LedgerConfig
from tickbus_ledger.core import LedgerCore, TaintedBooks
from tickbus_ledger.recorded import Recorded
from tickbus_ledger.rows import batch_of
from tickbus_ledger.store import AWAY, Store

PUBLISH_INTERVAL_S = 0.2
SAID_EVERY_S = 10.0
REASON_CHARS_MAX = 500
STREAM_EVERY_S = 15.0
FLUSH_TIMEOUT_S = 4.0
"""For the last batch, when the service stops."""
ANCHOR_INTERVAL_S = 300.0
"""How often the log says where the audit log ends; `ledger.portfolio` says it each time."""
T = TypeVar("T")


class Writer:
    """The edge that makes the books durable.

    Postgres away: it tries again with back-off for ever, one batch in hand; meanwhile at most
    `buffer_events_max` more events wait in memory, then the stream is not read any further. The
    stream keeps what is not written, and the next start goes on from the position in the database.

    A message that the books cannot take in becomes a row that says so, with all of it. If it failed
    half-way, the books are loaded anew from the database first, and it is passed over then.
    """

    def __init__(
        self, core: LedgerCore, config: LedgerConfig, dsn: str, mode: str, venue: str
    ) -> None:
        self.store: Store | None = None
        self._core = core
        self._config = config
        self._dsn = dsn
        self._books = (mode, venue)
        self._subscription: Subscription | None = None
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._over = asyncio.Event()
        self._refused: dict[int, str] = {}
        self._lock = asyncio.Lock()
        self._published_s = self._anchored_s = 0.0
        self._said_s = 0.0

    async def start(self, context: Context) -> None:
        """Begin in the background: Postgres may take its time."""
        self._context = context
        self._recorded = Recorded(context)
        context.set_ready(False, "Postgres")
        context.spawn(self._run(), "ledger writer")
        context.spawn(self._watch_stream(), "ledger stream")

    async def stop(self) -> None:
        """Write what was read, as far as Postgres lets us within a few seconds."""
        self._over.set()
        if self._subscription is not None:
            await self._subscription.stop()
        store, self.store = self.store, None
        if store is None:
            return
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await self._flush(store)
        except (TimeoutError, *AWAY) as error:
            self._context.log.warning("the last batch stays in the stream: %r", error)
        self._context.log.info("audit head %s", self._core.audit_head)
        await store.close()

    async def _watch_stream(self) -> None:
        """Look how far the stream is, and with that how large: the bus tells who scrapes."""
        while True:
            try:
                await self._context.bus.last_sequence(again=False)
            except Exception as error:  # noqa: BLE001 - of whatever kind, it is only looked at
                self._context.log.debug("how large the stream is is not known: %r", error)
            await asyncio.sleep(STREAM_EVERY_S)

    async def _run(self) -> None:
        store = await self._until_there(self._open)
        await self._until_there(partial(store.claim, *self._books))
        while True:
            await self._begin(store)
            while not self._core.tainted:
                await self._wait()
                # Retries hold the lock: stop() flushes the same batch or none.
                await self._flush(store)
                await self._publish()
            self._over.set()
            if self._subscription is not None:
                await self._subscription.stop()

    async def _begin(self, store: Store) -> None:
        """Follow the stream from where the books in the database end."""
        books = await self._until_there(store.load)
        self._core.load(books)
        self._recorded.take()  # what was not written is read again
        last = await self._context.bus.last_sequence()
        if books.position > last:
            raise ConfigError(
                f"the books end at {books.position} of the ORDERS stream, which has only {last}"
                " messages: they belong to another stream. Restore it, name another database"
                " (TICKBUS_POSTGRES_DSN) or start over with --fresh"
            )
        self.store = store
        self._context.log.info("the books are at %d of %d", books.position, last)
        self._over = asyncio.Event()
        self._subscription = await self._context.bus.follow(
            [subjects.ORDERS_ALL], books.position + 1, partial(self._on_message, self._over)
        )
        self._context.set_ready(True)

    async def _wait(self) -> None:
        # Events make a batch; without any, samples of equity are written every few seconds.
        try:
            await asyncio.wait_for(self._work.wait(), self._config.equity_interval_s)
        except TimeoutError:
            return
        if self._core.pending < self._config.batch_events_max:
            await asyncio.sleep(self._config.batch_interval_ms / 1000)

    async def _open(self) -> Store:
        return await Store.open(self._dsn, self._context.log.info)

    async def _until_there(self, ask: Callable[[], Awaitable[T]]) -> T:
        for delay_s in delays_s(0.2, 5.0):
            try:
                return await ask()
            except AWAY as error:
                self._context.set_ready(False, "Postgres")
                self._say("waiting for Postgres: %s", error)
            await asyncio.sleep(delay_s)
        raise AssertionError("delays_s is endless")

    async def _on_message(self, over: asyncio.Event, message: Message) -> None:
        while self._core.pending >= self._config.buffer_events_max and not over.is_set():
            self._room.clear()
            await self._room.wait()
        if over.is_set():
            return  # read again from where the books begin anew
        context = self._context
        if message.sequence > self._core.position + 1:
            # The stream keeps every order event, so this should not happen; the books say where.
            missing = message.sequence - self._core.position - 1
            context.log.error(
                "the stream has lost %d messages before %d", missing, message.sequence
            )
            context.telemetry.error("stream_gap")
        received = context.clock.now_ns()
        try:
            event, hops = self._read(message)
        except (MalformedMessage, ValueError) as error:
            self._refuse(message, error)
            return
        duplicate = self._core.is_doubtful(event) and await self._has_fill(event)
        try:
            self._core.fold(message.sequence, event, hops, duplicate=duplicate)
        except TaintedBooks as error:
            self._refused[message.sequence] = str(error)
            context.log.critical(
                "the books cannot take in the message at %d, and are loaded anew without it: %r",
                message.sequence, error, exc_info=error, extra=about(client_order_id_of(event)),
            )  # fmt: skip
            self._work.set()
            await over.wait()  # nothing behind it may be folded
        except Exception as error:  # noqa: BLE001 - it would fail again after every restart
            self._refuse(message, error)
        else:
            context.telemetry.count(type(event).__name__, "folded")
            self._recorded.folded(event, hops, received)
            self._work.set()

    def _read(self, message: Message) -> tuple[Event, tuple[Hop, ...]]:
        """The event in `message`. Raises MalformedMessage, or ValueError for one that failed."""
        why = self._refused.pop(message.sequence, "")
        if why:
            raise ValueError(why)
        envelope = codec.decode_said(message.subject, message.payload)
        if len(envelope.events) != 1:
            # A second one would have no place of its own in the log.
            raise MalformedMessage(f"{len(envelope.events)} events in a message: expected one")
        return envelope.events[0], envelope.hops

    def _refuse(self, message: Message, error: Exception) -> None:
        context, sequence = self._context, message.sequence
        context.quarantine(message.subject, message.payload, error)
        context.telemetry.error("message_refused")
        context.log.error(
            "the books have a hole: they refuse the message at %d: %s", sequence, error,
            extra=about_message(message.payload),
        )  # fmt: skip
        self._core.skip(sequence, message.payload, str(error)[:REASON_CHARS_MAX])
        self._work.set()

    async def _has_fill(self, event: OrderFilled) -> bool:
        assert self.store is not None
        for delay_s in delays_s(0.1, 5.0):
            try:
                return await self.store.has_fill(event)
            except AWAY as error:
                self._say("an old fill waits for Postgres: %s", error)
            await asyncio.sleep(delay_s)
        raise AssertionError("delays_s is endless")

    async def _flush(self, store: Store) -> None:
        async with self._lock:
            self._work.clear()
            if self._core.tainted:
                return
            changes, recorded = self._core.take_changes(), self._recorded.take()
            self._room.set()
            if not changes:
                return
            batch = batch_of(changes)
            started = time.monotonic()
            for delay_s in delays_s(0.1, 5.0):
                try:
                    await store.write(batch)
                    break
                except AWAY as error:
                    self._context.telemetry.error("postgres_away")
                    self._context.set_ready(False, "Postgres")
                    self._say("Postgres does not take the batch, trying again: %s", error)
                await asyncio.sleep(delay_s)
            self._context.set_ready(True)
            self._core.written(batch.position, batch.head)
            self._recorded.written(recorded)
            self._anchor()
            telemetry = self._context.telemetry
            telemetry.observe_us("write", (time.monotonic() - started) * 1e6)
            telemetry.gauge("position", batch.position)
            telemetry.count("Batch", "written")

    def _anchor(self) -> None:
        # In a place that whoever changes the database does not write to.
        now_s = time.monotonic()
        if now_s - self._anchored_s > ANCHOR_INTERVAL_S:
            self._anchored_s = now_s
            self._context.log.info("audit head %s", self._core.audit_head)

    async def _publish(self) -> None:
        now_s = time.monotonic()
        if now_s - self._published_s < PUBLISH_INTERVAL_S or self._core.tainted:
            return  # the timer tells it within a second
        self._published_s = now_s
        await self._context.publish([self._core.portfolio()])

    def _say(self, text: str, error: BaseException) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s > SAID_EVERY_S:
            self._said_s = now_s
            self._context.log.warning(text, str(error) or type(error).__name__)
