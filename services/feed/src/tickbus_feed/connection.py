"""The feed's IO: the venue's stream, its snapshots and its list of instruments."""

import asyncio
import contextlib
import difflib
import logging
import time
from collections.abc import Awaitable, Callable

import msgspec
from websockets.exceptions import WebSocketException

from tickbus import codec
from tickbus.backoff import delays_s
from tickbus.bus import BusError
from tickbus.clock import Clock
from tickbus.codec import Hop
from tickbus.config import VenueConfig
from tickbus.events import Event, FeedState, Instrument
from tickbus.runtime import Context
from tickbus.websocket import FrameStream
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import FeedCore
from tickbus_feed.rest import RestClient, VenueUnavailable, WeightBudget
from tickbus_feed.venue import (
    Dialect,
    FetchSnapshot,
    FrameRejected,
    ProbeAnswer,
    ProbeBook,
    Reconnect,
    Resubscribe,
    SnapshotAnswer,
    Unreadable,
    VenueConnected,
    VenueDisconnected,
    VenueFrame,
)

CONNECT_TIMEOUT_S = 10.0
SUBSCRIBE_BATCH = 100
SUBSCRIBE_PAUSE_S = 0.3
"""Binance allows 5 messages a second from us, pongs included."""
PENDING_PAUSE = 20_000
PENDING_RESUME = 2_000
"""Frames waiting for the core: above the first the socket is not read, below the second again."""
BATCH_MAX = 512
SNAPSHOTS_AT_ONCE = 4
LIVED_LONG_S = 60.0
PROBE_LEVELS = 5
RESUBSCRIBE_MAX = 1_000
"""Symbols waiting to be subscribed; past that the connection is given up and subscribes to all."""


class VenueConnection:
    """Keeps the core fed: connects, subscribes, fetches snapshots, and again after each break."""

    def __init__(
        self, core: FeedCore, venue: VenueConfig, config: FeedConfig, dialect: Dialect
    ) -> None:
        self._core = core
        self._venue = venue
        self._config = config
        self._dialect = dialect
        self._budget = WeightBudget()
        self._rest = RestClient(venue.rest_url, self._budget)
        self._pending: list[Event] = []
        self._arrived = asyncio.Event()
        self._stream: FrameStream | None = None
        self._paused = False
        self._heard = 0.0
        self._fetching = asyncio.Semaphore(SNAPSHOTS_AT_ONCE)
        self._fetches: dict[str, asyncio.Task[None]] = {}
        self._resubscribe: asyncio.Queue[str] = asyncio.Queue(RESUBSCRIBE_MAX)
        self._probing: set[str] = set()
        self._speaking = asyncio.Lock()
        self._requests = 0
        self._context: Context
        self._clock: Clock
        self._log: logging.Logger = logging.getLogger("tickbus.feed")
        self._instruments: dict[str, Instrument] = {}
        self._said_unlisted: set[str] = set()

    async def start(self, context: Context) -> None:
        """Begin; the service is ready when every instrument is LIVE."""
        self._context = context
        self._clock = context.clock
        self._log = context.log
        context.set_ready(False, f"the venue at {self._venue.rest_url}")
        context.spawn(self._run(), "venue connection")
        context.spawn(self._consume(), "frames")
        context.spawn(self._watch(), "readiness")
        context.spawn(self._resubscribing(), "subscriptions")

    async def stop(self) -> None:
        """Close the stream."""
        if self._stream is not None:
            await self._stream.close()
        await self._rest.close()

    # -- sinks: what the core asks of us -----------------------------------------------------------

    async def fetch(self, wish: FetchSnapshot, _: tuple[Hop, ...]) -> None:
        """Get a book; the answer comes to the core in line with the frames."""
        before = self._fetches.get(wish.symbol)
        if before is not None:
            before.cancel()  # its answer would not be wanted any more
        task = self._context.spawn(self._fetch(wish), f"snapshot of {wish.symbol}")
        self._fetches[wish.symbol] = task

    async def probe(self, wish: ProbeBook, _: tuple[Hop, ...]) -> None:
        """Ask how far the venue is; the answer comes in line with the frames."""
        if wish.symbol not in self._probing:
            self._probing.add(wish.symbol)
            self._context.spawn(self._probe(wish), f"probe of {wish.symbol}")

    async def resubscribe(self, wish: Resubscribe, _: tuple[Hop, ...]) -> None:
        """Subscribe to one symbol on the connection there is."""
        try:
            self._resubscribe.put_nowait(wish.symbol)
        except asyncio.QueueFull:
            self._give_up("too many streams to subscribe to anew")

    async def reconnect(self, wish: Reconnect, _: tuple[Hop, ...]) -> None:
        """Begin anew."""
        self._give_up(wish.reason)

    def _give_up(self, reason: str) -> None:
        self._log.warning("giving the connection up: %s", reason)
        if self._stream is not None:
            self._stream.abort()

    async def reject(self, rejected: FrameRejected, _: tuple[Hop, ...]) -> None:
        """Keep a frame that nobody could read."""
        source = f"{self._venue.name} {self._venue.ws_url}"
        self._context.quarantine(source, rejected.payload, Unreadable(rejected.reason))

    async def _fetch(self, wish: FetchSnapshot) -> None:
        await asyncio.sleep(max(0.0, (wish.at_ns - self._clock.now_ns()) / 1e9))
        payload, error = await self._get_book(wish.symbol, self._config.snapshot_levels)
        now = self._clock.now_ns()
        self._put([SnapshotAnswer(now, now, wish.symbol, payload, error, wish.number)])

    async def _probe(self, wish: ProbeBook) -> None:
        try:
            payload, error = await self._get_book(wish.symbol, PROBE_LEVELS)
        finally:
            self._probing.discard(wish.symbol)
        now = self._clock.now_ns()
        self._put([ProbeAnswer(now, now, wish.symbol, payload, error)])

    async def _get_book(self, symbol: str, levels: int) -> tuple[bytes, str]:
        """The body of the answer, or b"" and what went wrong."""
        async with self._fetching:
            try:
                weight = self._dialect.depth_weight(levels)
                path = self._dialect.depth_path
                return await self._rest.get(path, weight, symbol=symbol, limit=levels), ""
            except VenueUnavailable as problem:
                self._context.telemetry.error("snapshot_failed")
                self._log.warning("no snapshot of %s: %s", symbol, problem)
                return b"", str(problem)

    async def _resubscribing(self) -> None:
        while True:
            symbol = await self._resubscribe.get()
            stream = self._stream
            if stream is None:
                continue  # the next connection subscribes to all
            self._log.warning("subscribing to %s anew", symbol)
            self._context.telemetry.error("resubscribed")
            names = self._dialect.streams([symbol])
            with contextlib.suppress(WebSocketException):
                for method in ("UNSUBSCRIBE", "SUBSCRIBE"):
                    await self._request(stream, method, names)

    async def _request(self, stream: FrameStream, method: str, names: list[str]) -> None:
        """Send, and keep the line for the pause that the venue's limit of messages asks for."""
        async with self._speaking:
            self._requests += 1
            request = {"method": method, "params": names, "id": self._requests}
            stream.send(msgspec.json.encode(request).decode())
            await asyncio.sleep(SUBSCRIBE_PAUSE_S)

    # -- frames ------------------------------------------------------------------------------------

    def _on_messages(self, messages: list[bytes]) -> None:
        now = self._clock.now_ns()
        self._heard = time.monotonic()
        self._put([VenueFrame(now, now, message) for message in messages])

    def _put(self, events: list[Event]) -> None:
        self._pending.extend(events)
        self._arrived.set()
        if len(self._pending) > PENDING_PAUSE and self._stream is not None and not self._paused:
            self._paused = True
            self._stream.pause()

    async def _consume(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._pending:
                batch, self._pending = self._pending[:BATCH_MAX], self._pending[BATCH_MAX:]
                await self._context.emit(batch)
                if self._paused and len(self._pending) < PENDING_RESUME:
                    self._paused = False
                    if self._stream is not None:
                        self._stream.resume()

    # -- the connection's life ---------------------------------------------------------------------

    async def _run(self) -> None:
        await self._retry("instruments", self._load_instruments)
        self._context.spawn(self._refresh(), "instruments")
        delays = delays_s(0.5, 30.0)
        while True:
            started = time.monotonic()
            reason = await self._connection()
            now = self._clock.now_ns()
            self._put([VenueDisconnected(now, now, reason)])
            self._context.telemetry.error("disconnected")
            if time.monotonic() - started > LIVED_LONG_S:
                delays = delays_s(0.5, 30.0)
            delay_s = next(delays)
            self._log.warning("%s; again in %.1f s", reason, delay_s)
            await asyncio.sleep(delay_s)

    async def _connection(self) -> str:
        """Serve one connection to its end; why it ended."""
        url = f"{self._venue.ws_url.rstrip('/')}/stream"
        try:
            self._stream = await FrameStream.connect(
                url, self._on_messages, timeout_s=CONNECT_TIMEOUT_S
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            return (
                f"no stream at {url}: {str(error) or type(error).__name__}; is the venue up, and"
                " venue.ws_url right?"
            )
        try:
            await self._subscribe(self._stream)
            return await self._until_closed(self._stream)
        except WebSocketException as error:
            return f"{url}: {error}"
        finally:
            stream, self._stream, self._paused = self._stream, None, False
            stream.abort()

    async def _subscribe(self, stream: FrameStream) -> None:
        self._heard = time.monotonic()
        now = self._clock.now_ns()
        self._put([VenueConnected(now, now)])
        names = self._dialect.streams([i.symbol for i in self._instruments.values()])
        for begin in range(0, len(names), SUBSCRIBE_BATCH):
            await self._request(stream, "SUBSCRIBE", names[begin : begin + SUBSCRIBE_BATCH])

    async def _until_closed(self, stream: FrameStream) -> str:
        limit = self._config.first_event_s
        while True:
            done, _ = await asyncio.wait([stream.closed], timeout=1.0)
            if done:
                return f"the stream was {stream.closed.result()}"
            silent = time.monotonic() - self._heard
            if silent > limit:
                # An acknowledged subscription that never delivers looks just like this.
                return f"the stream was silent for {silent:.0f} s"

    async def _watch(self) -> None:
        """Readiness and gauges, four times a second."""
        core, context = self._core, self._context
        while True:
            await asyncio.sleep(0.25)
            live = [s for s in core.states.values() if s is FeedState.LIVE]
            names = [n for n, s in core.states.items() if s is not FeedState.LIVE]
            for name, value in (
                ("instruments_live", len(live)), ("gaps", core.gaps), ("resyncs", core.resyncs),
                ("crossed", core.crossed), ("rest_weight_used", self._budget.used),
                ("frames_waiting", len(self._pending)),
            ):  # fmt: skip
                context.telemetry.gauge(name, value)
            if not self._instruments:
                continue
            waiting = f"{len(names)} books of {self._venue.name}: {', '.join(names[:5])}"
            context.set_ready(bool(live) and not names, waiting)

    # -- instruments -------------------------------------------------------------------------------

    async def _refresh(self) -> None:
        while True:
            interval_s = self._config.instruments_interval_s
            await asyncio.sleep(interval_s)
            for delay_s in delays_s(1.0, interval_s):
                try:
                    await self._load_instruments()
                    break
                except (VenueUnavailable, Unreadable, BusError) as error:
                    self._context.telemetry.error("instruments_not_refreshed")
                    self._log.warning(
                        "the list of instruments stays as it was: %s; again in %.1f s",
                        error, delay_s,
                    )  # fmt: skip
                await asyncio.sleep(delay_s)

    async def _load_instruments(self) -> None:
        """Read the venue's list; keep what is configured, in the bus and in the core."""
        payload = await self._rest.get(self._dialect.instruments_path, 20)
        listed = {i.instrument_id: i for i in self._dialect.instruments(payload, self._venue.name)}
        self._budget.limit = self._dialect.weight_limit(payload) or self._budget.limit
        for name in self._venue.instruments:
            if name not in listed:
                self._say_unlisted(name, list(listed))
                continue
            instrument = listed[name]
            if self._instruments.get(name) != instrument:
                key = f"{self._venue.name}.{name}"
                await self._context.bus.kv_put("instruments", key, codec.encode_value(instrument))
                await self._context.emit([instrument])
                self._instruments[name] = instrument  # last: what failed before is tried again
        if not self._instruments:
            raise VenueUnavailable(
                f"none of venue.instruments ({', '.join(self._venue.instruments)}) is listed at "
                f"{self._venue.rest_url}"
            )

    def _say_unlisted(self, name: str, listed: list[str]) -> None:
        if name in self._said_unlisted:
            return
        self._said_unlisted.add(name)
        self._context.telemetry.error("instrument_unlisted")
        near = difflib.get_close_matches(name, listed, n=3, cutoff=0.5) or listed[:3]
        self._log.error(
            "venue.instruments: %s is not listed at %s; did you mean %s? The others go on",
            name, self._venue.name, " or ".join(near),
        )  # fmt: skip

    async def _retry(self, what: str, action: Callable[[], Awaitable[None]]) -> None:
        for delay_s in delays_s(0.5, 30.0):
            try:
                await action()
                return
            except (VenueUnavailable, Unreadable, BusError) as error:
                self._context.set_ready(False, f"{what} of the venue: {error}")
                self._log.warning("no %s: %s; again in %.1f s", what, error, delay_s)
            await asyncio.sleep(delay_s)
