"""The shell around a core: it receives, decodes, calls the core, publishes, counts."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tickbus import codec, subjects
from tickbus.bus import Bus, BusError, Consumption, Message, Subscription
from tickbus.bus.base import matches_any
from tickbus.clock import Clock, Timer, WallClock
from tickbus.codec import Envelope, Hop, MalformedMessage
from tickbus.config import PlatformConfig
from tickbus.ending import end
from tickbus.events import (
    CaughtUp,
    Event,
    MessageDead,
    Recovered,
    SetTimer,
    TimerFired,
)
from tickbus.order import client_order_id_of
from tickbus.runtime import buckets
from tickbus.runtime.context import Context
from tickbus.runtime.deadletters import DeadLetters
from tickbus.runtime.lease import LeaseLost
from tickbus.runtime.listening import Listening
from tickbus.runtime.orderlog import OrderLog
from tickbus.runtime.quarantine import Quarantine
from tickbus.runtime.seat import Seat
from tickbus.runtime.snapshots import Remembering, code_of
from tickbus.runtime.snapshotter import Snapshotter
from tickbus.runtime.spec import Edge, ServiceSpec, Sink
from tickbus.runtime.status import status_of
from tickbus.runtime.storing import store
from tickbus.runtime.telemetry import Reading, Telemetry, Ways
from tickbus.runtime.watching import Watch
from tickbus.seal import Seal
from tickbus.tracing import about

if TYPE_CHECKING:
    from tickbus.traces.tracer import Tracer

STOP_TIMEOUT_S, NEVER = 8.0, float("inf")


async def _for_ever() -> None:
    await asyncio.Event().wait()


class Shell:
    """Runs one service on a bus until it is told to stop or something breaks."""

    def __init__(
        self, spec: ServiceSpec, bus: Bus, *, clock: Clock | None = None, instance: str = "0",
        telemetry: Telemetry | None = None, metrics_url: str = "",
        platform: PlatformConfig | None = None, seal: Seal | None = None, venue: str = "",
        tracer: "Tracer | None" = None,
    ) -> None:  # fmt: skip
        self.spec = spec
        self.tracer = tracer
        self.venue = venue
        self._seal = seal
        self._checks_seal = seal is not None and any(map(seal.covers, spec.consume))
        self.bus = bus
        self._wants = spec.wants
        self.clock: Clock = clock or WallClock()
        self.telemetry = telemetry or Telemetry(spec.name)
        self.telemetry.readers.append(self._measure)
        self._ways = Ways(self.telemetry, spec.name)
        self.instance = instance
        self.metrics_url = metrics_url
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self.log = logging.getLogger(f"tickbus.{spec.name}")
        self._order_log = OrderLog(self.log, self.clock)
        self.quarantine = Quarantine(spec.name, bus, self.telemetry, self.clock, self.log)
        platform = platform or PlatformConfig()
        self._durable = spec.durable or spec.name
        self._letters = DeadLetters(
            spec.name, self._durable, bus, platform.deliveries_max, self.telemetry, self.clock,
            self.log,
        )  # fmt: skip
        self._snapshotter = self._make_snapshotter(platform)
        self._noting: asyncio.Task[None] | None = None
        self._sinks: dict[type, Sink] = dict(spec.sinks)
        self.seat: Seat | None = None
        """Set before the start where further processes stand by."""
        self._waiting: dict[str, str] = {"start": "the start of the service"}
        self.listening = Listening(bus, self._on_message, self.spawn)
        self._subscriptions: list[Subscription] = [self.listening]
        self._consumption: asyncio.Future[Consumption | None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, Timer] = {}
        self._edges: list[Edge] = []
        """Those that were started: an edge is not stopped before."""
        self.started_s = time.monotonic()
        self._live = False
        self._first_of_ours = NEVER

    def _make_snapshotter(self, platform: PlatformConfig) -> Snapshotter | None:
        spec = self.spec
        if spec.twin is None or not spec.recover or not platform.snapshot_every_s:
            return None
        return Snapshotter(
            self.bus, self._durable, (*spec.consume, *spec.recall), spec.twin,
            code_of(spec.core, spec.consume, spec.recall),
            every_s=platform.snapshot_every_s, every_events=platform.snapshot_every_events,
            skips=self._skips, telemetry=self.telemetry, log=self.log,
        )  # fmt: skip

    # -- life ------------------------------------------------------------------------------------

    async def run_until_stopped(self) -> None:
        """Start, serve until `stopping` is set, stop. Raises what broke the service."""
        starting = asyncio.create_task(self.start())
        told = asyncio.create_task(self.stopping.wait())
        try:
            # Reading history may take a while, and being told to stop must not have to wait for it.
            await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                await told
        finally:
            await end((starting, told))
            await self.stop()
        if self.failure is not None:
            raise self.failure

    async def start(self) -> None:
        """Subscribe, recover, start the edges; then the service is ready unless an edge waits."""
        self.quarantine.start(self.spawn)
        await self._keep(self.bus.respond(subjects.STATUS, self._status))
        if self.seat is not None:
            await self.seat.take(Context(self, "seat"))
        if self.spec.load is not None:
            await self.spec.load(self.bus)
        for bucket in self.spec.watch:
            await self._keep(self.bus.kv_watch(bucket, self._on_key(bucket)))
        self._consumption = asyncio.get_running_loop().create_future()
        if self.spec.consume:
            self._consumption.set_result(await self._consume())
        else:
            self._consumption.set_result(None)
            await self._go_live()
        # Only now: what the core says of the market before it is live would be lost.
        for subject in self.spec.subscribe:
            await self._keep(self.bus.subscribe(subject, self._on_message))
        for subject, responder in self.spec.responders.items():
            await self._keep(self.bus.respond(subject, responder))
        self.spawn(Watch(self.telemetry, self.clock, self.log).run(), "watch")
        self.set_waiting("start", "")

    async def _consume(self) -> Consumption:
        self.set_waiting("history", "the history of the ORDERS stream")
        await self._keep(self._letters.load())
        known = 0
        if self._snapshotter is not None and isinstance(self.spec.core, Remembering):
            known = await self._snapshotter.restore(self.spec.core)
        consumption = await self.bus.consume(
            self._durable,
            self.spec.consume,
            self._on_stored,
            history=self._on_history if self.spec.recover else None,
            live=self._go_live,
            recall=self.spec.recall,
            after=known,
        )
        self._subscriptions.append(consumption)
        # The place in the stream is ours by now: what is stored from here on nobody else is given.
        self._first_of_ours = await self.bus.last_sequence() + 1
        if self._snapshotter is not None:
            self.spawn(self._snapshotter.run(), "snapshots")
        self.set_waiting("history", "")
        return consumption

    async def caught_up(self) -> None:
        """Return once what the stream held at the start is handled. Raises BusError."""
        assert self._consumption is not None, "start first"
        consumption = await asyncio.shield(self._consumption)
        if consumption is not None:
            await consumption.caught_up()

    async def _go_live(self) -> None:
        """History is over: tell the core, start the edges, then do what the core wants."""
        now = self.clock.now_ns()
        outputs = self._call(Recovered(now, now, backlog=bool(self.spec.consume)))
        self._live = True
        # Before any live event: the core's wishes may go to an edge.
        for edge in self.spec.edges:
            self._edges.append(edge)
            await edge.start(Context(self, type(edge).__name__))
        if outputs:
            await self._send_out(outputs, (), now)

    async def stop(self) -> None:
        """Deliver nothing more, stop the edges, finish what is being published, disconnect."""
        self.stopping.set()
        for handle in self._timers.values():
            handle.cancel()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                if self._noting is not None:
                    await asyncio.wait([self._noting])
                for subscription in reversed(self._subscriptions):
                    await subscription.stop()
                for edge in reversed(self._edges):
                    await edge.stop()
                if self.seat is not None:
                    await self.seat.leave()
        except TimeoutError:
            self.log.error("did not stop within %g s; what was left is cut", STOP_TIMEOUT_S)
        await end(self._tasks)

    def fail(self, error: BaseException, doing: str, order_id: str = "") -> None:
        """A bug: say it once, stop the service; the process then ends with an error."""
        if self.failure is None:
            self.failure = error
            ids = about(order_id)
            # Where in the code another process took the lease says nothing of why.
            where = None if isinstance(error, LeaseLost) else error
            self.log.critical("stopping: %s: %r", doing, error, exc_info=where, extra=ids)
        self.telemetry.error("bug")
        self.stopping.set()

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a supervised task."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)

        def done(finished: asyncio.Task[None]) -> None:
            self._tasks.discard(finished)
            if not finished.cancelled() and finished.exception() is not None:
                self.fail(finished.exception() or RuntimeError(name), name)

        task.add_done_callback(done)
        return task

    async def _keep(self, subscribing: Coroutine[Any, Any, Subscription]) -> None:
        self._subscriptions.append(await subscribing)

    # -- readiness and status ----------------------------------------------------------------------

    def set_waiting(self, who: str, what: str) -> None:
        """Note what `who` waits for; '' when it is ready."""
        if what:
            if self._waiting.get(who) != what:
                self.log.info("waiting for %s", what)
            self._waiting[who] = what
        elif self._waiting.pop(who, None) is not None and not self._waiting:
            self.log.info("ready")

    def waiting(self) -> dict[str, str]:
        """Who waits for what; empty when the service is ready, or stands by as it is to."""
        return {} if self.seat is not None and self.seat.stands_by else dict(self._waiting)

    def _measure(self) -> Iterator[Reading]:
        yield Reading("ready", float(not self.waiting()))
        yield Reading("uptime_seconds", time.monotonic() - self.started_s)
        if self.spec.measure is not None:
            yield from self.spec.measure(self.clock.now_ns())

    async def _status(self, _: bytes) -> bytes:
        return codec.encode_value(status_of(self))

    # -- events ------------------------------------------------------------------------------------

    async def _on_stored(self, message: Message) -> None:
        """A message of the ORDERS stream: acknowledged when this returns."""
        if message.sequence >= self._first_of_ours:
            self._first_of_ours = NEVER
            now = self.clock.now_ns()
            await self._handle([CaughtUp(now, now)], (), now)
        if self._letters.is_due(message):
            await self._bury(message)
        elif not self._letters.is_dead(message):
            await self._on_message(message, stored=True)
        if self._snapshotter is not None:
            self._snapshotter.position = message.sequence

    async def _bury(self, message: Message) -> None:
        envelope, now = self._decode(message), self.clock.now_ns()
        broken: BaseException | None = None
        for event in envelope.events if envelope else ():
            try:
                outputs = self.spec.core.handle(MessageDead(now, now, event, "given up"))
            except Exception as error:  # noqa: BLE001 - then nobody is answered, and it is said
                broken = error
            else:
                # Answered before it is buried: a repeat of the answer has the same message id.
                await self._send_out(outputs, (), now)
        try:
            await self._letters.bury(message)
        except BusError as error:
            broken = error
        if broken is not None:
            self.fail(broken, f"giving up the message at sequence {message.sequence}")
            await _for_ever()

    async def _on_message(self, message: Message, stored: bool = False) -> None:
        if self._wants is not None and not self._wants(message.subject):
            return
        received = self.clock.now_ns()
        envelope = self._decode(message)
        if envelope is None:
            return
        hops = envelope.hops
        if stored and self.tracer is not None:
            for event in envelope.events:
                self.tracer.heard(event, hops, received)
        await self._handle(envelope.events, hops, received, message if stored else None)
        if hops:  # told last: nothing waits for it
            last = hops[-1]
            self._ways[last.service].record(received - last.ts_sent)

    async def _on_history(self, message: Message) -> None:
        if self._letters.is_due(message):
            try:
                await self._letters.bury(message)  # whoever waited for an answer has had it
            except BusError as error:
                self.fail(error, f"giving up the message at sequence {message.sequence}")
                await _for_ever()
        if self._snapshotter is not None and matches_any(self.spec.consume, message.subject):
            self._snapshotter.position = message.sequence  # an earlier process has handled it
        if self._skips(message):
            return
        envelope = self._decode(message)
        for event in envelope.events if envelope else ():
            try:
                self.spec.core.handle(event)
            except Exception as error:  # noqa: BLE001 - whatever a core raises is a bug
                await self._letters.note(message, error)
                doing = f"folding history at sequence {message.sequence}: {event!r}"
                self.fail(error, doing, client_order_id_of(event))
                await _for_ever()  # nothing behind it may be folded; stop() cancels this
            self.telemetry.count(type(event).__name__, "folded")

    def _decode(self, message: Message) -> Envelope | None:
        try:
            if not self._is_proven(message):
                self.telemetry.error("approval_without_proof")
                raise MalformedMessage("an approval without risk's proof: it is not obeyed")
            return codec.decode_said(message.subject, message.payload)
        except MalformedMessage as error:
            self.quarantine.add(message.subject, message.payload, error)
            return None

    def _skips(self, message: Message) -> bool:
        """Whether a message of the history is not to be folded."""
        if self._letters.is_dead(message):
            return True
        if self._is_proven(message):
            return False
        # Refused and said so when it came, or stored before approvals had proofs.
        self.telemetry.count("OrderApproved", "unproven")
        return True

    def _is_proven(self, message: Message) -> bool:
        """Whether the message needs no proof of ours, or has it."""
        seal = self._seal
        if seal is None or not self._checks_seal or not seal.covers(message.subject):
            return True
        return seal.holds(message.subject, message.payload)

    def _on_key(self, bucket: str) -> Any:
        kind = buckets.TYPES[bucket]

        async def handle(key: str, payload: bytes) -> None:
            try:
                value = codec.decode_value(payload, kind)
            except MalformedMessage as error:
                self.quarantine.add(f"{bucket}/{key}", payload, error)
                return
            if self._snapshotter is not None:
                self._snapshotter.tell(value)
            await self._handle([value], (), self.clock.now_ns())

        return handle

    async def run(self, events: Sequence[Any], hops: tuple[Hop, ...]) -> None:
        """Events of an edge or a timer through the core."""
        if events:
            received = getattr(events[0], "ts_recv", 0) or self.clock.now_ns()
            await self._handle(events, hops, received)

    async def _handle(
        self, events: Sequence[Any], hops: tuple[Hop, ...], received: int,
        message: Message | None = None,
    ) -> None:  # fmt: skip
        outputs: list[Event] = []
        handled = self.telemetry.handled
        for event in events:
            if self.failure is None:
                outputs.extend(self._call(event, message))
            if self.failure is not None:
                await _for_ever()  # nothing behind a failure is acknowledged; stop() cancels this
            handled[type(event)] += 1
        if outputs and self._live:
            await self._send_out(outputs, hops, received)
        elif outputs:
            # A core keeps what it has to say until it is told that history is over.
            self.telemetry.error("said_before_live", len(outputs))
            self.log.error("said before it was live, heard by nobody: %s", outputs[0])

    def _call(self, event: Any, message: Message | None = None) -> Sequence[Event]:
        try:
            return self.spec.core.handle(event)
        except Exception as error:  # noqa: BLE001 - whatever a core raises is a bug
            if message is not None and self._noting is None:
                self._noting = asyncio.create_task(self._letters.note(message, error))
            self.fail(error, f"handling {event!r}", client_order_id_of(event))
            return ()

    async def _send_out(self, outputs: Sequence[Any], hops: tuple[Hop, ...], received: int) -> None:
        try:
            await self._dispatch(outputs, hops, received)
        except Exception as error:  # noqa: BLE001 - a sink that raises is a bug like any other
            # What led here must not be acknowledged, or it would be lost.
            self.fail(error, "giving out what the core decided")
            await _for_ever()

    async def _dispatch(self, outputs: Sequence[Any], hops: tuple[Hop, ...], received: int) -> None:
        batch: list[Event] = []
        batch_subject = ""
        way = (*hops, Hop(self.spec.name, received, self.clock.now_ns()))
        for event in outputs:
            kind = type(event)
            sink = self._sinks.get(kind)
            if sink is None and kind is not SetTimer and not subjects.is_durable(event):
                subject = subjects.of(event)
                if subject != batch_subject and batch:
                    await self._send(batch_subject, batch, way)
                    batch = []
                batch_subject = subject
                batch.append(event)
                continue
            if batch:
                await self._send(batch_subject, batch, way)
                batch = []
            if sink is not None:
                await sink(event, way)
            elif isinstance(event, SetTimer):
                self._set_timer(event)
            else:
                await self._store(event, way)
        if batch:
            await self._send(batch_subject, batch, way)

    async def publish(self, events: Sequence[Event], hops: tuple[Hop, ...]) -> None:
        """Events straight to the bus."""
        if events:
            await self._dispatch(events, hops, events[0].ts_recv or self.clock.now_ns())

    async def _send(self, subject: str, events: list[Event], hops: tuple[Hop, ...]) -> None:
        try:
            await self.bus.publish(subject, codec.encode(events, hops))
        except BusError as error:
            # Market data is at most once: while the bus is away it is dropped, counted, and healed
            # by the next keyframe.
            self.telemetry.error("market_data_dropped", len(events))
            self.log.debug("%s", error)
            return
        self.telemetry.published[type(events[0])] += len(events)

    async def _store(self, event: Event, hops: tuple[Hop, ...]) -> None:
        subject, payload = subjects.of(event), codec.encode([event], hops)
        if self._seal is not None and self._seal.covers(subject):
            payload = self._seal.put(subject, payload)
        # Said before, by a process that died or had been thought dead; what was stored then counts,
        # whatever we would say today.
        before = await store(self.bus, event, subject, payload, self.telemetry, self.log)
        for earlier in before:
            self._call(earlier)
        if not before:
            if self.tracer is not None:
                self.tracer.said(event, hops)
            self._order_log.said(event)

    def _set_timer(self, timer: SetTimer) -> None:
        old = self._timers.pop(timer.key, None)
        if old is not None:
            old.cancel()
        fire = partial(self._fire, timer.key)
        self._timers[timer.key] = self.clock.call_at(timer.at_ns, fire)

    def _fire(self, key: str) -> asyncio.Task[None] | None:
        self._timers.pop(key, None)
        if self.stopping.is_set():
            return None
        now = self.clock.now_ns()
        return self.spawn(self.run([TimerFired(now, now, key)], ()), f"timer {key}")
