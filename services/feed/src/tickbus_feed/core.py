"""The feed: a venue's frames become normalised, sequenced market events.

Consumes: VenueFrame, SnapshotAnswer, ProbeAnswer, VenueConnected, VenueDisconnected, Instrument,
KeyframeWanted, TimerFired.
Produces: Trade, Quote, BookDelta, BookSnapshot, Liquidation, Funding, FeedStatus; FetchSnapshot,
ProbeBook, Resubscribe, Reconnect, Renew, FrameRejected, SetTimer.
Invariants: within an epoch the sequence of an instrument's deltas rises by exactly one, the book
they build was never crossed and agreed with every checksum that the venue sent; whatever breaks
that starts a new epoch for that instrument alone. An instrument is LIVE only while its book is in
step, all its connections are open and its changes are recent, or while the venue confirmed that
there were none.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tickbus.events import (
    BookDelta,
    BookSnapshot,
    Event,
    FeedState,
    FeedStatus,
    Instrument,
    KeyframeWanted,
    Recovered,
    SetTimer,
    TimerFired,
)
from tickbus_feed.adapter import (
    Adapter,
    Diff,
    Farewell,
    Ignored,
    MarketFunding,
    MarketLiquidation,
    MarketQuote,
    MarketTrade,
    Numbered,
    Refused,
    Unreadable,
    Whole,
)
from tickbus_feed.config import FeedConfig
from tickbus_feed.links import Links, Place, place_streams, route_of
from tickbus_feed.silence import Silence
from tickbus_feed.sync import BookSync
from tickbus_feed.tape import Tape
from tickbus_feed.venue import (
    ANY,
    FetchSnapshot,
    FrameRejected,
    ProbeAnswer,
    Reconnect,
    Renew,
    Resubscribe,
    SnapshotAnswer,
    VenueConnected,
    VenueDisconnected,
    VenueFrame,
)

TIMER = "feed"
SECOND_NS = 1_000_000_000
RESUBSCRIBED_MAX = 20
"""Books lost at once that are subscribed anew one by one; for more a new connection is quicker."""
KEYFRAME_LEVELS_MAX = 10_000
"""A side; more would not fit into one message of the bus, and nobody's order goes that deep."""
KNOWN_MAX = 200
"""Changes in a row that were known already: more than an overlap of two connections brings."""
KINDS_MAX = 50
"""Kinds of ignored messages that are counted by name: the names come from outside."""

Events = Sequence[Event]


class FeedCore:
    """The feed of one venue; instruments are added by giving it `Instrument`s."""

    def __init__(self, config: FeedConfig, venue: str, adapter: Adapter) -> None:
        self._venue = venue
        self._adapter = adapter
        self._read = adapter.read
        self._books_in_stream = adapter.books_in_stream
        self._frames_numbered = adapter.frames_numbered
        self.quotes_from_book = adapter.quotes_from_book
        self._buffer_max = config.buffer_max
        self._keyframe_ns = int(config.keyframe_interval_s * SECOND_NS)
        self._links = Links()
        self._silence = Silence(self, config, adapter, self._links)
        self._tape = Tape(self, venue, self._links)
        self.streams: dict[str, dict[str, None]] = {}
        """The streams of each line, in the order of the instruments."""
        self.syncs: dict[str, BookSync] = {}
        self.states: dict[str, FeedState] = {}
        self._now = 0
        self.rejected = 0
        self.ignored: dict[str, int] = {}
        self._handlers: dict[type, Callable[[Any], Events]] = {
            VenueFrame: self._frame,
            SnapshotAnswer: self._snapshot,
            ProbeAnswer: self._probed,
            VenueConnected: self._on_connected,
            VenueDisconnected: self._on_disconnected,
            Instrument: self._instrument,
            TimerFired: self._timer,
            KeyframeWanted: self._wanted,
            Recovered: self._recovered,
        }
        self._readers: dict[type, Callable[[VenueFrame, Any], Events]] = {
            Diff: self._diff,
            Whole: self._whole,
            MarketTrade: self._tape.trade,
            MarketQuote: self._tape.quote,
            MarketLiquidation: self._tape.liquidation,
            MarketFunding: self._tape.funding,
            Numbered: self._numbered,
            Farewell: self._farewell,
            Refused: self._refused,
            Ignored: self.ignore,
        }

    @property
    def gaps(self) -> int:
        """Holes found in what the venue sent, over all instruments."""
        return sum(sync.gaps for sync in self.syncs.values())

    @property
    def resyncs(self) -> int:
        """Books given up and asked for anew."""
        return sum(sync.resyncs for sync in self.syncs.values())

    @property
    def crossed(self) -> int:
        """Books that were crossed."""
        return sum(sync.crossed for sync in self.syncs.values())

    @property
    def checksum_failures(self) -> int:
        """Books whose checksum was not the venue's."""
        return sum(sync.checksum_failures for sync in self.syncs.values())

    def handle(self, event: Any, /) -> Events:
        """What `event` means for the market, and what the connection shall do about it."""
        handler = self._handlers.get(type(event))
        return handler(event) if handler is not None else ()

    # -- frames ------------------------------------------------------------------------------------

    def _frame(self, frame: VenueFrame) -> Events:
        self._now = frame.ts_recv
        if self._frames_numbered:
            self._links.heard(frame.line, frame.link, frame.ts_recv)
            self._adapter.connection = frame.link
        try:
            messages = self._read(frame.payload, route_of(frame.line))
        except Unreadable as error:
            return self._unreadable(frame, str(error))
        if len(messages) == 1:
            message = messages[0]
            return self._readers[type(message)](frame, message)
        out: list[Event] = []
        for message in messages:
            if type(message) is Numbered and self._place(frame, message) is Place.OLD:
                self.ignore(frame, Ignored("old frame"))
                if self._links.is_stuck(frame.line, frame.link):
                    reason = f"frame numbers of the connection went back to {message.number}"
                    out.extend(self._lose(frame, reason))
                break
            out.extend(self._readers[type(message)](frame, message))
        return out

    def reject(self, ts_event: int, ts_recv: int, payload: bytes, reason: str) -> FrameRejected:
        """Count what could not be read, for the connection to keep."""
        self.rejected += 1
        return FrameRejected(ts_event, ts_recv, payload, reason)

    def _unreadable(self, frame: VenueFrame, reason: str) -> Events:
        """Keep it; where nothing is numbered it may have been a change of any book."""
        out: list[Event] = [self.reject(frame.ts_event, frame.ts_recv, frame.payload, reason)]
        if not self._adapter.books_numbered:
            out.extend(self._lose(frame, "an unreadable frame"))
        return out

    def _lose(self, frame: VenueFrame, reason: str) -> Events:
        """Something of any book of this connection may be missing."""
        now, out = frame.ts_recv, list[Event]()
        lost = [s for s in self.syncs.values() if s.link == frame.link and s.synced]
        for sync in lost:
            if len(lost) <= RESUBSCRIBED_MAX:
                out.extend(self.resync(sync, None, now, reason))
                continue
            sync.resyncs += 1
            sync.reset()
            out.extend(self.set_state(sync, FeedState.SYNCING, reason, now, now))
        if len(lost) > RESUBSCRIBED_MAX:
            out.append(Reconnect(now, now, reason, frame.line))
        return out

    def _refused(self, frame: VenueFrame, message: Refused) -> Events:
        return (self.reject(frame.ts_event, frame.ts_recv, frame.payload, message.reason),)

    def ignore(self, _: VenueFrame, message: Ignored) -> Events:
        """Count what is understood and not needed."""
        kind = message.kind
        if kind not in self.ignored and len(self.ignored) >= KINDS_MAX:
            kind = "other"
        self.ignored[kind] = self.ignored.get(kind, 0) + 1
        return ()

    def foreign(self, frame: VenueFrame, what: str) -> Events:
        """Count what is of an instrument that is not ours."""
        return self.ignore(frame, Ignored(f"{what} of another instrument"))

    def _farewell(self, frame: VenueFrame, message: Farewell) -> Events:
        return (Renew(frame.ts_event, frame.ts_recv, message.reason, frame.line, frame.link),)

    # -- changes of books --------------------------------------------------------------------------

    def _diff(self, frame: VenueFrame, diff: Diff) -> Events:
        sync = self.syncs.get(diff.symbol)
        if sync is None:
            return self.foreign(frame, "book")
        if self._books_in_stream and frame.link != sync.link:
            return self.ignore(frame, Ignored("change of a book from another connection"))
        if not sync.synced:
            sync.ts_diff = frame.ts_recv
            sync.buffer(diff)
            return ()
        return self._apply(sync, diff, frame.ts_recv)

    def _apply(self, sync: BookSync, diff: Diff, ts_recv: int) -> Events:
        accepted = sync.accepts(diff)
        if accepted is None:
            sync.known_in_a_row += not sync.is_bridging  # what the whole book covers is no repeat
            if sync.known_in_a_row <= KNOWN_MAX:
                return ()
            # Repeats are few, after a hand-over; so many mean that the numbers began anew.
            sync.gaps += 1
            return self.resync(sync, None, ts_recv, f"its numbers went back: {diff.last}")
        sync.known_in_a_row = 0
        if not accepted:
            sync.gaps += 1
            reason = f"gap: {diff.first} after {sync.last_id}"
            return self.resync(sync, diff, ts_recv, reason)
        if diff.last == sync.last_id and not (diff.bids or diff.asks):
            return self._silence.confirmed(sync, ts_recv)  # the venue says that it is alive
        sync.heard(ts_recv)
        changed = sync.apply(diff, ts_recv)
        if changed is None:
            sync.checksum_failures += 1
            return self.resync(sync, None, ts_recv, f"checksum {diff.checksum} is not that of ours")
        if sync.book.is_crossed:
            sync.crossed += 1
            return self.resync(sync, None, ts_recv, f"crossed at {diff.last}")
        delta = BookDelta(
            diff.ts_event or ts_recv, ts_recv, self._venue, sync.instrument_id,
            sync.epoch, sync.sequence, changed[0], changed[1], diff.last,
        )  # fmt: skip
        more = self.go_live(sync, "", diff.ts_event, ts_recv)
        if self.quotes_from_book:
            more = (*self._tape.of_book(sync, diff.ts_event, ts_recv, diff.last), *more)
        if ts_recv - sync.ts_keyframe < self._keyframe_ns:
            return (delta, *more) if more else (delta,)
        return (delta, *more, self.keyframe(sync, diff.ts_event, ts_recv))

    def _whole(self, frame: VenueFrame, whole: Whole) -> Events:
        """A book that came in the stream: a beginning, or the answer to a new subscription."""
        sync, now = self.syncs.get(whole.symbol), frame.ts_recv
        if sync is None:
            return self.foreign(frame, "book")
        if frame.link < sync.link:
            return self.ignore(frame, Ignored("book from an older connection"))
        sync.ts_ahead, sync.ts_diff = 0, now
        if frame.link == sync.link and sync.is_same(whole):
            sync.last_id, sync.ts_whole, sync.ts_audit = whole.update_id, now, 0
            return self._silence.confirmed(sync, now)
        if not sync.load_whole(whole, frame.link, now):
            sync.checksum_failures += 1
            reason = f"checksum {whole.checksum} is not that of the venue's own book"
            return self.resync(sync, None, now, reason)
        if sync.book.is_crossed:
            sync.crossed += 1
            return self.resync(sync, None, now, "the venue's own book is crossed")
        more = self.go_live(sync, "", whole.ts_event, now)
        if self.quotes_from_book:
            more = (*self._tape.of_book(sync, whole.ts_event, now, whole.update_id), *more)
        return (self.keyframe(sync, whole.ts_event, now), *more)

    def _place(self, frame: VenueFrame, message: Numbered) -> Place:
        return self._links.place(frame.line, frame.link, message.number)

    def _numbered(self, frame: VenueFrame, message: Numbered) -> Events:
        """A hole in a connection's own numbers may be in any of its books."""
        if not self._links.take(frame.line, frame.link, message.number):
            return ()
        for sync in self.syncs.values():
            sync.gaps += sync.link == frame.link and sync.synced
        reason = f"gap in the frames of the connection before {message.number}"
        return self._lose(frame, reason)

    # -- synchronisation ---------------------------------------------------------------------------

    def resync(self, sync: BookSync, diff: Diff | None, ts_recv: int, reason: str) -> Events:
        """Give the book up and ask for a whole one; `diff` is the first that it may carry on."""
        sync.resyncs += 1
        sync.reset()
        if diff is not None:
            sync.buffer(diff)
        return (
            *self.set_state(sync, FeedState.SYNCING, reason, ts_recv, ts_recv),
            self.ask(sync, ts_recv),
        )

    def ask(self, sync: BookSync, now_ns: int) -> Event:
        """The wish for a whole book, by the venue's own way, with a back-off."""
        at_ns = sync.retry_at_ns(now_ns)
        sync.attempts += 1
        sync.ts_asked = at_ns
        if self._adapter.books_in_stream:
            return Resubscribe(now_ns, now_ns, sync.symbol, at_ns)
        sync.fetch_number += 1
        return FetchSnapshot(now_ns, now_ns, sync.symbol, at_ns, sync.fetch_number)

    def _snapshot(self, answer: SnapshotAnswer) -> Events:
        sync = self.syncs.get(answer.symbol)
        if sync is None or sync.synced or not self._links.is_open(sync.line):
            return ()
        if answer.number not in (ANY, sync.fetch_number):
            return ()  # asked for before the last trouble; the answer to the newer wish follows
        now = answer.ts_recv
        if answer.error:
            return (self.ask(sync, now),)
        try:
            book = self._adapter.read_book(answer.payload)
        except Unreadable as error:
            rejected = self.reject(answer.ts_event, now, answer.payload, f"snapshot: {error}")
            return (rejected, self.ask(sync, now))
        sync.ts_diff = max(sync.ts_diff, now)  # its silence begins now
        waiting = sync.load(book, now)
        if waiting is None:
            return (self.ask(sync, now),)
        if sync.book.is_crossed:
            sync.crossed += 1
            return self.resync(sync, None, now, "the venue's own book is crossed")
        out: list[Event] = [self.keyframe(sync, now, now)]
        for place, diff in enumerate(waiting, 1):
            out.extend(self._apply(sync, diff, now))
            if not sync.synced:
                # The book broke; what came after waits for the next snapshot like any other change.
                for later in waiting[place:]:
                    sync.buffer(later)
                break
        if sync.synced and not sync.dead:  # a stream that was dead has to show that it lives
            out.extend(self.go_live(sync, "", now, now))
        return out

    def keyframe(self, sync: BookSync, ts_event: int, ts_recv: int) -> BookSnapshot:
        """The whole book as it is now."""
        sync.ts_keyframe = ts_recv
        bids, asks = sync.book.depth(KEYFRAME_LEVELS_MAX)
        return BookSnapshot(
            ts_event or ts_recv, ts_recv, self._venue, sync.instrument_id,
            sync.epoch, sync.sequence, bids, asks, sync.last_id,
        )  # fmt: skip

    def _wanted(self, wish: KeyframeWanted) -> Events:
        """Repeat a book for who lost it; once a second serves all who did."""
        now = self._now  # the wish's own time is of before what was said since
        for sync in self.syncs.values():
            if sync.instrument_id == wish.instrument_id and sync.synced:
                if now - sync.ts_keyframe < SECOND_NS // 2:
                    return ()
                return (self.keyframe(sync, now, now),)
        return ()

    # -- the state of the feed ---------------------------------------------------------------------

    def set_state(
        self, sync: BookSync, state: FeedState, reason: str, ts_event: int, ts_recv: int
    ) -> Events:
        """Say so where it changed."""
        if self.states.get(sync.instrument_id) is state:
            return ()
        self.states[sync.instrument_id] = state
        ts_event = ts_event or ts_recv
        return (FeedStatus(ts_event, ts_recv, self._venue, sync.instrument_id, state, reason),)

    def go_live(self, sync: BookSync, reason: str, ts_event: int, ts_recv: int) -> Events:
        """LIVE, unless a connection with other data of the instrument is missing."""
        if self.states.get(sync.instrument_id) is FeedState.LIVE:
            return ()
        missing = [line for line in sync.lines if not self._links.is_open(line)]
        if missing:
            reason = f"no connection for {' and '.join(missing)} data"
            return self.set_state(sync, FeedState.STALE, reason, ts_event, ts_recv)
        return self.set_state(sync, FeedState.LIVE, reason, ts_event, ts_recv)

    def _instrument(self, instrument: Instrument) -> Events:
        symbol = self._adapter.key(instrument)
        if symbol in self.syncs:
            self.syncs[symbol].halted = not instrument.trading
            return ()
        sync = BookSync(
            symbol, instrument.instrument_id, place_streams(self.streams, symbol, self._adapter),
            self._adapter, self._buffer_max,
        )  # fmt: skip
        sync.halted = not instrument.trading
        self.syncs[symbol] = sync
        if not self._links.is_open(sync.line):
            return ()  # subscribed with all the others, once there is a connection
        now = self._now
        said = self.set_state(sync, FeedState.SYNCING, "listed", now, now)
        if self._adapter.books_in_stream:
            return (*said, self.ask(sync, now))
        return (*said, Resubscribe(now, now, symbol), self.ask(sync, now))

    def _on_connected(self, event: VenueConnected) -> Events:
        if self._links.opened(event.line, event.link, event.ts_recv):
            return ()  # it takes over from one that is still open
        out: list[Event] = []
        for sync in self.syncs.values():
            if sync.line != event.line:
                continue
            sync.reset()
            sync.ts_diff = sync.ts_asked = event.ts_recv
            out.extend(
                self.set_state(sync, FeedState.SYNCING, "connected", event.ts_event, event.ts_recv)
            )
            if not self._adapter.books_in_stream:
                out.append(self.ask(sync, event.ts_recv))
        return out

    def _on_disconnected(self, event: VenueDisconnected) -> Events:
        now = event.ts_recv
        is_open = self._links.closed(event.line, event.link)
        self._adapter.closed(event.link)
        out: list[Event] = []
        for sync in self.syncs.values():
            if event.line not in sync.lines:
                continue
            of_book = sync.line == event.line
            if is_open and not (self._adapter.books_in_stream and sync.link == event.link):
                continue  # another connection goes on with it
            if not of_book:
                if self.states.get(sync.instrument_id) is FeedState.LIVE:
                    reason = f"no connection for {event.line} data: {event.reason}"
                    out.extend(self.set_state(sync, FeedState.STALE, reason, now, now))
                continue
            sync.reset()
            sync.attempts, sync.link = 0, -1
            if is_open:  # the older connection lives: it gets the book anew
                out.extend(self.set_state(sync, FeedState.SYNCING, event.reason, now, now))
                out.append(self.ask(sync, now))
                continue
            out.extend(self.set_state(sync, FeedState.DISCONNECTED, event.reason, now, now))
        return out

    def _recovered(self, event: Recovered) -> Events:
        return (SetTimer(event.ts_event, event.ts_recv, TIMER, event.ts_recv + SECOND_NS),)

    def _timer(self, event: TimerFired) -> Events:
        if event.key != TIMER:
            return ()
        now = self._now = max(self._now, event.ts_recv)
        out: list[Event] = []
        for sync in self.syncs.values():
            out.extend(self._silence.look(sync, now))
            if sync.synced and now - sync.ts_keyframe >= self._keyframe_ns:
                out.append(self.keyframe(sync, now, now))
            current = self.states.get(sync.instrument_id)
            if current is not None:
                # Repeated, so that whoever came late knows how things stand.
                out.append(FeedStatus(now, now, self._venue, sync.instrument_id, current, ""))
        out.append(SetTimer(now, now, TIMER, now + SECOND_NS))
        return out

    def _probed(self, answer: ProbeAnswer) -> Events:
        sync = self.syncs.get(answer.symbol)
        return () if sync is None else self._silence.probed(sync, answer)
