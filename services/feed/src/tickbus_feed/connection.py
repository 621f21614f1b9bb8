"""The feed's IO: the venue's streams, its books over REST and its list of instruments."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from tickbus.backoff import delays_s
from tickbus.budget import WeightBudget
from tickbus.bus import BusError
from tickbus.codec import Hop
from tickbus.config import ConfigError, VenueConfig
from tickbus.events import Event, FeedState, FeedStatus
from tickbus.runtime import Context
from tickbus.shard import Shard
from tickbus.websocket import FrameStream
from tickbus_feed.adapter import Adapter, Unreadable
from tickbus_feed.clock_check import keep_measuring
from tickbus_feed.config import FeedConfig
from tickbus_feed.core import FeedCore
from tickbus_feed.line import Line, Wiring
from tickbus_feed.links import route_of
from tickbus_feed.listing import Listing
from tickbus_feed.recorder import Recorder
from tickbus_feed.rest import Lane, RestClient, VenueUnavailable
from tickbus_feed.silence import PROBE_LEVELS
from tickbus_feed.sync import BookSync
from tickbus_feed.venue import (
    FetchSnapshot,
    FrameRejected,
    ProbeAnswer,
    ProbeBook,
    Reconnect,
    Renew,
    Resubscribe,
    SnapshotAnswer,
    VenueConnected,
)

PENDING_PAUSE = 20_000
PENDING_RESUME = 2_000
"""Frames waiting for the core: above the first the sockets are not read, below the second again."""
BATCH_MAX = 512
RESUBSCRIBE_MAX = 1_000
"""Symbols waiting to be subscribed; past that the connections are given up and subscribe to all."""
PROGRESS_S = 5.0


class VenueConnection:
    """Keeps the core fed: connects, subscribes, fetches books, and again after each break.

    `first` are the instruments that are subscribed and fetched before all others; only those of
    `shard` are this process's.
    """

    def __init__(
        self, core: FeedCore, venue: VenueConfig, config: FeedConfig, adapter: Adapter,
        first: frozenset[str] = frozenset(), shard: Shard = Shard(),
    ) -> None:  # fmt: skip
        self._core = core
        self._venue = venue
        self._config = config
        self._adapter = adapter
        self._first = first
        self._shard = shard
        self._pending: list[Event] = []
        self._arrived = asyncio.Event()
        self._lines: dict[str, Line] = {}
        self._paused = False
        self._fetches: dict[str, asyncio.Task[None]] = {}
        self._resubscribe: asyncio.Queue[Resubscribe] = asyncio.Queue(RESUBSCRIBE_MAX)
        self._to_resubscribe: set[str] = set()
        self._probing: set[str] = set()
        self._recorder: Recorder | None = None
        self._context: Context
        self._budget: WeightBudget
        self._rest: RestClient
        self._wiring: Wiring
        self._log: logging.Logger = logging.getLogger("tickbus.feed")
        self._listing: Listing

    async def start(self, context: Context) -> None:
        """Begin; the service is ready when every instrument is LIVE."""
        self._context = context
        self._clock = context.clock
        self._log = context.log
        key = WeightBudget.key(self._venue.rest_url, self._config.egress)
        self._budget = WeightBudget(context.bus, context.clock, key)
        self._rest = RestClient(self._venue.rest_url, self._budget)
        if self._config.record:
            self._recorder = Recorder(
                Path(self._config.record), self._venue.name, self._adapter.name
            )
            try:
                self._recorder.start()
            except OSError as error:
                raise ConfigError(
                    f"feed.record = {self._config.record!r}: {error}; name a directory that this"
                    " process may write to"
                ) from error
        self._wiring = Wiring(
            self._venue.name, self._venue.ws_url, self._adapter, self._config, context.clock,
            self._put, context.telemetry.error, self._recorder,
        )  # fmt: skip
        self._listing = Listing(
            self._venue, self._adapter, self._rest, context, self._first, self._shard,
            self._recorder,
        )  # fmt: skip
        context.set_ready(False, f"the venue at {self._venue.rest_url}")
        context.spawn(self._run(), "venue connection")
        context.spawn(self._consume(), "frames")
        context.spawn(self._watch(), "readiness")
        context.spawn(self._resubscribing(), "subscriptions")
        measuring = keep_measuring(
            self._adapter, self._rest, context.clock, context.telemetry,
            self._config.clock_interval_s,
        )  # fmt: skip
        context.spawn(measuring, "clock")

    async def stop(self) -> None:
        """Close the streams and the recording; say that the books are left."""
        await asyncio.gather(*(line.close() for line in self._lines.values()))
        now, venue = self._clock.now_ns(), self._venue.name
        left = (FeedState.DISCONNECTED, "the feed stops")
        await self._context.publish(
            [FeedStatus(now, now, venue, s.instrument_id, *left) for s in self._core.syncs.values()]
        )
        await self._rest.close()
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)

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
        """Subscribe to one symbol on the connections there are.

        To see whether a sound book still is the venue's, once however often it is wished; a book
        that broke meanwhile is asked for again.
        """
        sync = self._core.syncs[wish.symbol]
        if sync.synced and wish.symbol in self._to_resubscribe:
            return
        self._to_resubscribe.add(wish.symbol)
        try:
            self._resubscribe.put_nowait(wish)
        except asyncio.QueueFull:
            for line in self._lines.values():
                line.give_up("too many streams to subscribe to anew")

    async def reconnect(self, wish: Reconnect, _: tuple[Hop, ...]) -> None:
        """Begin anew."""
        if wish.line in self._lines:
            self._lines[wish.line].give_up(wish.reason)

    async def renew(self, wish: Renew, _: tuple[Hop, ...]) -> None:
        """Take over before the venue ends the connection."""
        self._log.info("%s", wish.reason)
        if wish.line in self._lines:
            self._lines[wish.line].renew(wish.link)

    async def reject(self, rejected: FrameRejected, _: tuple[Hop, ...]) -> None:
        """Keep a frame that nobody could read."""
        source = f"{self._venue.name} {self._venue.ws_url}"
        self._context.quarantine(source, rejected.payload, Unreadable(rejected.reason))

    async def _fetch(self, wish: FetchSnapshot) -> None:
        await asyncio.sleep(max(0.0, (wish.at_ns - self._clock.now_ns()) / 1e9))
        sync = self._core.syncs[wish.symbol]
        if sync.line in self._lines:
            # A book from before its changes come would be too old, and asked for in vain.
            names = self._adapter.routes(wish.symbol)[route_of(sync.line)]
            await self._lines[sync.line].until_asked(names)
        payload, error = await self._get_book(wish.symbol, self._config.snapshot_levels, whole=True)
        now = self._clock.now_ns()
        self._put([SnapshotAnswer(now, now, wish.symbol, payload, error, wish.number)])

    async def _probe(self, wish: ProbeBook) -> None:
        try:
            payload, error = await self._get_book(wish.symbol, PROBE_LEVELS, whole=False)
        finally:
            self._probing.discard(wish.symbol)
        now = self._clock.now_ns()
        self._put([ProbeAnswer(now, now, wish.symbol, payload, error)])

    async def _get_book(self, symbol: str, levels: int, *, whole: bool) -> tuple[bytes, str]:
        """The body of the answer, or b"" and what went wrong.

        Only a `whole` book is recorded: a replay must not begin with what was a probe.
        """
        request = self._adapter.book_request(symbol, levels)
        if request is None:
            return b"", f"{self._adapter.name} has no books to ask for"
        lane = Lane.BOOKS if whole else Lane.PROBES
        if self._core.syncs[symbol].instrument_id in self._first:
            lane = Lane.TRADED
        try:
            body = await self._rest.get(request, lane)
        except VenueUnavailable as problem:
            self._context.telemetry.error("snapshot_failed")
            self._log.warning("no snapshot of %s: %s", symbol, problem)
            return b"", str(problem)
        if self._recorder is not None and whole:
            self._recorder.answered(self._clock.now_ns(), self._rest.url(request), body)
        return body, ""

    async def _resubscribing(self) -> None:
        while True:
            wishes = [await self._resubscribe.get()]
            while not self._resubscribe.empty():  # all that waited go together
                wishes.append(self._resubscribe.get_nowait())
            due: list[str] = []
            for wish in wishes:
                delay_s = (wish.at_ns - self._clock.now_ns()) / 1e9
                if delay_s > 0.01:
                    # Not in the way of the others; a later wish for the same does no harm.
                    later = self._later(wish.symbol, delay_s)
                    self._context.spawn(later, f"subscription of {wish.symbol}")
                else:
                    due.append(wish.symbol)
            await self._subscribe_anew(due)
            self._to_resubscribe.difference_update(wish.symbol for wish in wishes)

    async def _later(self, symbol: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self._subscribe_anew([symbol])

    async def _subscribe_anew(self, symbols: list[str]) -> None:
        """Ask for streams again, those of one line together; books in doubt first."""
        syncs = [self._core.syncs[symbol] for symbol in symbols if symbol in self._core.syncs]
        wanted: dict[str, list[str]] = {}
        for sync in sorted(syncs, key=lambda sync: sync.synced):
            if sync.synced:
                self._log.debug("asking for the book of %s to compare ours with it", sync.symbol)
            else:
                self._log.warning("subscribing to %s anew", sync.symbol)
                self._context.telemetry.error("resubscribed")
            for name, streams in self._to_ask_again(sync):
                wanted.setdefault(name, []).extend(streams)
        for name, streams in wanted.items():
            if name in self._lines:
                await self._lines[name].resubscribe(list(dict.fromkeys(streams)))

    def _to_ask_again(self, sync: BookSync) -> list[tuple[str, list[str]]]:
        """(line, streams): what was never asked for, else the book, else everything of the symbol.

        The book alone where it comes in the stream: trades need not stop for it.
        """
        wanted = self._adapter.routes(sync.symbol)
        never = [
            (name, [s for s in wanted[route_of(name)] if s not in self._lines[name].asked])
            for name in sync.lines
            if name in self._lines
        ]
        if any(streams for _, streams in never):
            if self._adapter.books_in_stream and not sync.synced:
                never.append((sync.line, wanted[route_of(sync.line)][:1]))
            return [(name, streams) for name, streams in never if streams]
        if self._adapter.books_in_stream:
            return [(sync.line, wanted[route_of(sync.line)][:1])]
        return [(name, wanted[route_of(name)]) for name in sync.lines]

    # -- frames ------------------------------------------------------------------------------------

    def _put(self, events: list[Event]) -> None:
        self._pending.extend(events)
        self._arrived.set()
        is_new = type(events[0]) is VenueConnected  # one that is read, though the others wait
        if is_new if self._paused else len(self._pending) > PENDING_PAUSE:
            self._paused = True
            for stream in self._streams():
                stream.pause()

    def _streams(self) -> list[FrameStream]:
        return [stream for line in self._lines.values() for stream in line.streams]

    async def _consume(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._pending:
                batch, self._pending = self._pending[:BATCH_MAX], self._pending[BATCH_MAX:]
                await self._context.emit(batch)
                if self._paused and len(self._pending) < PENDING_RESUME:
                    self._paused = False
                    for stream in self._streams():
                        stream.resume()

    # -- the connections ---------------------------------------------------------------------------

    async def _run(self) -> None:
        await self._retry("instruments", self._read_list)
        self._context.spawn(self._refresh(), "instruments")
        self._open_lines()

    def _open_lines(self) -> None:
        """A line for every name that the core has streams for."""
        for name, streams in self._core.streams.items():
            if name not in self._lines:
                line = Line(name, self._wiring, lambda streams=streams: list(streams))  # type: ignore[misc]
                self._lines[name] = line
                self._context.spawn(line.run(), f"connection {name}".strip())

    async def _watch(self) -> None:
        """Readiness, gauges and progress, four times a second."""
        core, context = self._core, self._context
        loop = asyncio.get_running_loop()
        said, told_at = 0, loop.time()
        while True:
            await asyncio.sleep(0.25)
            live = sum(1 for state in core.states.values() if state is FeedState.LIVE)
            names = [n for n, s in core.states.items() if s is not FeedState.LIVE]
            for name, value in (
                ("instruments_live", live), ("gaps", core.gaps), ("resyncs", core.resyncs),
                ("crossed", core.crossed), ("checksum_failures", core.checksum_failures),
                ("rest_weight_used", self._budget.used), ("frames_waiting", len(self._pending)),
                ("rest_weight_left", max(0, self._budget.limit - self._budget.used)),
                ("rest_weight_limit", self._budget.limit),
                ("recording_lost", self._recorder.lost if self._recorder is not None else 0),
                ("recording_failed", bool(self._recorder is not None and self._recorder.failure)),
            ):  # fmt: skip
                context.telemetry.gauge(name, value)
            instruments = self._listing.instruments
            names = [n for n in names if n not in instruments or instruments[n].trading]
            if not self._listing.is_read:
                continue
            if not instruments:
                context.set_ready(True, "none of the instruments is in this shard")
                continue
            total = len(instruments)
            if live != said and (live == total or loop.time() - told_at > PROGRESS_S):
                said, told_at = live, loop.time()
                self._log.info("%d of %d books are live%s", live, total, self._takes(total - live))
            waiting = f"{len(names)} of {total} books of {self._venue.name}: {', '.join(names[:5])}"
            context.set_ready(live > 0 and not names, waiting)

    def _takes(self, missing: int) -> str:
        """How long books take that have to be asked for one by one, where that is long."""
        request = self._adapter.book_request("", self._config.snapshot_levels)
        minutes = missing * request.weight / self._budget.per_minute if request is not None else 0
        return f"; the venue's request limit makes it {minutes:.0f} minutes" if minutes > 1 else ""

    # -- instruments -------------------------------------------------------------------------------

    async def _refresh(self) -> None:
        while True:
            interval_s = self._config.instruments_interval_s
            await asyncio.sleep(interval_s)
            for delay_s in delays_s(1.0, interval_s):
                try:
                    await self._read_list()
                    break
                except (VenueUnavailable, Unreadable, BusError) as error:
                    self._context.telemetry.error("instruments_not_refreshed")
                    self._log.warning(
                        "the list of instruments stays as it was: %s; again in %.1f s",
                        error, delay_s,
                    )  # fmt: skip
                await asyncio.sleep(delay_s)

    async def _read_list(self) -> None:
        await self._listing.read()
        self._budget.limit = self._listing.weight_limit or self._budget.limit
        if self._lines:
            self._open_lines()

    async def _retry(self, what: str, action: Callable[[], Awaitable[None]]) -> None:
        for delay_s in delays_s(0.5, 30.0):
            try:
                await action()
                return
            except (VenueUnavailable, Unreadable, BusError) as error:
                self._context.set_ready(False, f"{what} of the venue: {error}")
                self._log.warning("no %s: %s; again in %.1f s", what, error, delay_s)
            await asyncio.sleep(delay_s)
