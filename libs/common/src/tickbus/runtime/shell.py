"""The shell around a core: it receives, decodes, calls the core, publishes, counts."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from tickbus import __version__, codec, subjects
from tickbus.bus import Bus, BusError, Consumption, Message, Subscription
from tickbus.bus.base import matches_any
from tickbus.clock import Clock, WallClock
from tickbus.codec import Envelope, Hop, MalformedMessage
from tickbus.config import PlatformConfig
from tickbus.events import (
    Event,
    MessageDead,
    Recovered,
    ServiceStatus,
    SetLimit,
    SetTimer,
    SetTradingState,
    TimerFired,
)
from tickbus.instruments import Instrument
from tickbus.runtime.context import Context
from tickbus.runtime.deadletters import DeadLetters
from tickbus.runtime.quarantine import Quarantine
from tickbus.runtime.snapshots import Remembering, code_of
from tickbus.runtime.snapshotter import Snapshotter
from tickbus.runtime.spec import ServiceSpec, Sink
from tickbus.runtime.storing import store
from tickbus.runtime.telemetry import Telemetry
from tickbus.seal import Seal

STOP_TIMEOUT_S = 8.0
CLOCK_SET_BACK_NS = 50_000_000
"""Less is what a well-kept clock does now and then."""
_BUCKET_TYPES: dict[str, Any] = {
    "instruments": Instrument, "control": SetTradingState, "limits": SetLimit,
}  # fmt: skip


async def _for_ever() -> None:
    await asyncio.Event().wait()


class Shell:
    """Runs one service on a bus until it is told to stop or something breaks."""

    def __init__(
        self, spec: ServiceSpec, bus: Bus, *, clock: Clock | None = None, instance: str = "0",
        telemetry: Telemetry | None = None, metrics_url: str = "",
        platform: PlatformConfig | None = None, seal: Seal | None = None, venue: str = "",
    ) -> None:  # fmt: skip
        self.spec = spec
        self.venue = venue
        self._seal = seal
        self._checks_seal = seal is not None and any(map(seal.covers, spec.consume))
        self.bus = bus
        self._wants = spec.wants
        self.clock: Clock = clock or WallClock()
        self.telemetry = telemetry or Telemetry(spec.name)
        self.instance = instance
        self.metrics_url = metrics_url
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self.log = logging.getLogger(f"tickbus.{spec.name}")
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
        self._waiting: dict[str, str] = {"start": "the start of the service"}
        self._subscriptions: list[Subscription] = []
        self._consumption: asyncio.Future[Consumption | None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._started = time.monotonic()
        self._clock_ahead_ns = 0
        self._live = False

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
            for task in (starting, told):
                task.cancel()
            await asyncio.gather(starting, told, return_exceptions=True)
            await self.stop()
        if self.failure is not None:
            raise self.failure

    async def start(self) -> None:
        """Subscribe, recover, start the edges; then the service is ready unless an edge waits."""
        self.quarantine.start(self.spawn)
        await self._keep(self.bus.respond(subjects.STATUS, self._status))
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
        self.spawn(self._watch_loop(), "loop lag")
        self.set_waiting("start", "")

    async def _consume(self) -> Consumption:
        self.set_waiting("history", "the history of the ORDERS stream")
        await self._letters.load()
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
        outputs = self._call(Recovered(now, now))
        self._live = True
        # Before any live event: the core's wishes may go to an edge.
        for edge in self.spec.edges:
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
                for edge in reversed(self.spec.edges):
                    await edge.stop()
        except TimeoutError:
            self.log.error("did not stop within %g s; what was left is cut", STOP_TIMEOUT_S)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def fail(self, error: BaseException, doing: str) -> None:
        """A bug: say it once, stop the service; the process then ends with an error."""
        if self.failure is None:
            self.failure = error
            self.log.critical("stopping: %s: %r", doing, error, exc_info=error)
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
        """Who waits for what; empty when the service is ready."""
        return dict(self._waiting)

    async def _status(self, _: bytes) -> bytes:
        now = self.clock.now_ns()
        latencies = self.telemetry.latencies.items()
        return codec.encode_value(
            ServiceStatus(
                ts_event=now,
                ts_recv=now,
                service=self.spec.name,
                instance=self.instance,
                version=__version__,
                ready=not self._waiting,
                waiting_for="; ".join(self._waiting.values()),
                uptime_s=time.monotonic() - self._started,
                counts={f"{k}/{o}": n for (k, o), n in self.telemetry.counts.items()},
                gauges=dict(self.telemetry.gauges),
                latency_us={
                    hop: (x.quantile_us(0.5), x.quantile_us(0.99), x.count) for hop, x in latencies
                },
                errors=dict(self.telemetry.errors),
                metrics_url=self.metrics_url,
                venue=self.venue,
            )
        )

    async def _watch_loop(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(1.0)
            self.telemetry.gauge("loop_lag_seconds", time.monotonic() - before - 1.0)
            if isinstance(self.clock, WallClock):
                self._look_at(self.clock)

    def _look_at(self, clock: WallClock) -> None:
        ahead_ns = clock.ahead_ns
        self.telemetry.gauge("clock_ahead_seconds", ahead_ns / 1e9)
        set_back_ns, self._clock_ahead_ns = ahead_ns - self._clock_ahead_ns, ahead_ns
        if set_back_ns > CLOCK_SET_BACK_NS:
            self.telemetry.error("clock_set_back")
            self.log.warning(
                "the machine's clock was set back by %.1f s; this service follows slowly, so that"
                " no age gets negative: restart it to follow at once", set_back_ns / 1e9,
            )  # fmt: skip

    # -- events ------------------------------------------------------------------------------------

    async def _on_stored(self, message: Message) -> None:
        """A message of the ORDERS stream: acknowledged when this returns."""
        if self._letters.is_due(message.sequence):
            await self._bury(message)
        elif not self._letters.is_dead(message.sequence):
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
        await self._handle(envelope.events, hops, received, message if stored else None)
        if hops:  # told last: nothing waits for it
            last = hops[-1]
            self.telemetry.observe_ns(f"{last.service}>{self.spec.name}", received - last.ts_sent)

    async def _on_history(self, message: Message) -> None:
        if self._letters.is_due(message.sequence):
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
                self.fail(error, f"folding history at sequence {message.sequence}: {event!r}")
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
        if self._letters.is_dead(message.sequence):
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
        kind = _BUCKET_TYPES[bucket]

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
        counts = self.telemetry.counts
        for event in events:
            if self.failure is None:
                outputs.extend(self._call(event, message))
            if self.failure is not None:
                await _for_ever()  # nothing behind a failure is acknowledged; stop() cancels this
            key = (type(event).__name__, "handled")
            counts[key] = counts.get(key, 0) + 1
        if outputs and self._live:
            await self._send_out(outputs, hops, received)

    def _call(self, event: Any, message: Message | None = None) -> Sequence[Event]:
        try:
            return self.spec.core.handle(event)
        except Exception as error:  # noqa: BLE001 - whatever a core raises is a bug
            if message is not None and self._noting is None:
                self._noting = asyncio.create_task(self._letters.note(message, error))
            self.fail(error, f"handling {event!r}")
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
        self.telemetry.count(type(events[0]).__name__, "published", len(events))

    async def _store(self, event: Event, hops: tuple[Hop, ...]) -> None:
        subject, payload = subjects.of(event), codec.encode([event], hops)
        if self._seal is not None and self._seal.covers(subject):
            payload = self._seal.put(subject, payload)
        # Said before, by a process that died or had been thought dead; what was stored then counts,
        # whatever we would say today.
        for earlier in await store(self.bus, event, subject, payload, self.telemetry, self.log):
            self._call(earlier)

    def _set_timer(self, timer: SetTimer) -> None:
        old = self._timers.pop(timer.key, None)
        if old is not None:
            old.cancel()
        delay_s = max(0.0, (timer.at_ns - self.clock.now_ns()) / 1e9)
        self._timers[timer.key] = asyncio.get_running_loop().call_later(
            delay_s, self._fire, timer.key
        )

    def _fire(self, key: str) -> None:
        self._timers.pop(key, None)
        if self.stopping.is_set():
            return
        now = self.clock.now_ns()
        self.spawn(self.run([TimerFired(now, now, key)], ()), f"timer {key}")
