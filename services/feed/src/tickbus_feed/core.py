"""The feed: a venue's frames become normalised, sequenced market events.

Consumes: VenueFrame, SnapshotAnswer, ProbeAnswer, VenueConnected, VenueDisconnected, Instrument,
TimerFired.
Produces: Trade, Quote, BookDelta, BookSnapshot, FeedStatus; FetchSnapshot, ProbeBook, Resubscribe,
Reconnect, FrameRejected, SetTimer.
Invariants: within an epoch the sequence of an instrument's deltas rises by exactly one and the book
they build was never crossed; whatever breaks that starts a new epoch for that instrument alone. An
instrument is LIVE only while its book is in step and its changes are recent, or while the venue
confirmed that there were none.
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
    Quote,
    Recovered,
    SetTimer,
    TimerFired,
    Trade,
)
from tickbus_feed.config import FeedConfig
from tickbus_feed.sync import BookSync
from tickbus_feed.venue import (
    ANY,
    Dialect,
    Diff,
    FetchSnapshot,
    FrameRejected,
    Ignored,
    MarketQuote,
    MarketTrade,
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

TIMER = "feed"
SECOND_NS = 1_000_000_000
QUIET_DOUBLINGS = 3
"""A market confirmed to be quiet is believed for longer, up to 8 times `stale_after_s`."""
DEAD_MAX = 3
"""A stream that stays dead after so many subscriptions is not the stream's trouble."""

Events = Sequence[Event]


class FeedCore:
    """The feed of one venue; instruments are added by giving it `Instrument`s."""

    def __init__(self, config: FeedConfig, venue: str, dialect: Dialect) -> None:
        self._venue = venue
        self._dialect = dialect
        self._buffer_max = config.buffer_max
        self._keyframe_ns = int(config.keyframe_interval_s * SECOND_NS)
        self._stale_ns = int(config.stale_after_s * SECOND_NS)
        self.syncs: dict[str, BookSync] = {}
        self.states: dict[str, FeedState] = {}
        self.gaps = 0
        self.resyncs = 0
        self.crossed = 0
        self.rejected = 0
        self.ignored: dict[str, int] = {}
        self._connected = False
        self._handlers: dict[type, Callable[[Any], Events]] = {
            VenueFrame: self._frame,
            SnapshotAnswer: self._snapshot,
            ProbeAnswer: self._probed,
            VenueConnected: self._on_connected,
            VenueDisconnected: self._on_disconnected,
            Instrument: self._instrument,
            TimerFired: self._timer,
            Recovered: self._recovered,
        }
        self._readers: dict[type, Callable[[VenueFrame, Any], Events]] = {
            Diff: self._diff,
            MarketTrade: self._trade,
            MarketQuote: self._quote,
            Ignored: self._ignore,
        }

    def handle(self, event: Any, /) -> Events:
        """What `event` means for the market, and what the connection shall do about it."""
        handler = self._handlers.get(type(event))
        return handler(event) if handler is not None else ()

    # -- frames ------------------------------------------------------------------------------------

    def _frame(self, frame: VenueFrame) -> Events:
        try:
            message = self._dialect.read(frame.payload)
        except Unreadable as error:
            self.rejected += 1
            reason = str(error)
            return (FrameRejected(frame.ts_event, frame.ts_recv, frame.payload, reason),)
        return self._readers[type(message)](frame, message)

    def _ignore(self, _: VenueFrame, message: Ignored) -> Events:
        self.ignored[message.kind] = self.ignored.get(message.kind, 0) + 1
        return ()

    def _trade(self, frame: VenueFrame, t: MarketTrade) -> Events:
        sync = self.syncs.get(t.symbol)
        if sync is None:
            return self._ignore(frame, Ignored("trade of another instrument"))
        return (
            Trade(
                t.ts_event, frame.ts_recv, self._venue, sync.instrument_id,
                t.trade_id, t.price, t.size, t.aggressor_side,
            ),
        )  # fmt: skip

    def _quote(self, frame: VenueFrame, q: MarketQuote) -> Events:
        sync = self.syncs.get(q.symbol)
        if sync is None:
            return self._ignore(frame, Ignored("quote of another instrument"))
        return (
            Quote(
                q.ts_event or frame.ts_recv, frame.ts_recv, self._venue, sync.instrument_id,
                q.bid, q.bid_size, q.ask, q.ask_size, q.update_id,
            ),
        )  # fmt: skip

    def _diff(self, frame: VenueFrame, diff: Diff) -> Events:
        sync = self.syncs.get(diff.symbol)
        if sync is None:
            return self._ignore(frame, Ignored("book of another instrument"))
        sync.heard(frame.ts_recv)
        if not sync.synced:
            sync.buffer(diff)
            return ()
        return self._apply(sync, diff, frame.ts_recv)

    def _apply(self, sync: BookSync, diff: Diff, ts_recv: int) -> Events:
        accepted = sync.accepts(diff)
        if accepted is None:
            return ()
        if not accepted:
            self.gaps += 1
            reason = f"gap: {diff.first} after {sync.last_id}"
            return self._resync(sync, diff, ts_recv, reason)
        sync.apply(diff, ts_recv)
        if sync.book.is_crossed:
            self.crossed += 1
            return self._resync(sync, None, ts_recv, f"crossed at {diff.last}")
        delta = BookDelta(
            diff.ts_event, ts_recv, self._venue, sync.instrument_id,
            sync.epoch, sync.sequence, diff.bids, diff.asks, diff.last,
        )  # fmt: skip
        live = self._set_state(sync, FeedState.LIVE, "", diff.ts_event, ts_recv)
        if ts_recv - sync.ts_keyframe < self._keyframe_ns:
            return (delta, *live) if live else (delta,)
        return (delta, *live, self._keyframe(sync, diff.ts_event, ts_recv))

    # -- synchronisation ---------------------------------------------------------------------------

    def _resync(self, sync: BookSync, diff: Diff | None, ts_recv: int, reason: str) -> Events:
        self.resyncs += 1
        sync.reset()
        if diff is not None:
            sync.buffer(diff)
        return (
            *self._set_state(sync, FeedState.SYNCING, reason, ts_recv, ts_recv),
            self._fetch(sync, ts_recv),
        )

    def _fetch(self, sync: BookSync, now_ns: int) -> FetchSnapshot:
        at_ns = sync.retry_at_ns(now_ns)
        sync.attempts += 1
        sync.fetch_number += 1
        return FetchSnapshot(now_ns, now_ns, sync.symbol, at_ns, sync.fetch_number)

    def _snapshot(self, answer: SnapshotAnswer) -> Events:
        sync = self.syncs.get(answer.symbol)
        if sync is None or sync.synced or not self._connected:
            return ()
        if answer.number not in (ANY, sync.fetch_number):
            return ()  # asked for before the last trouble; the answer to the newer wish follows
        if answer.error:
            return (self._fetch(sync, answer.ts_recv),)
        try:
            book = self._dialect.read_book(answer.payload)
        except Unreadable as error:
            self.rejected += 1
            rejected = FrameRejected(
                answer.ts_event, answer.ts_recv, answer.payload, f"snapshot: {error}"
            )
            return (rejected, self._fetch(sync, answer.ts_recv))
        sync.ts_diff = max(sync.ts_diff, answer.ts_recv)  # its silence begins now
        waiting = sync.load(book, answer.ts_recv)
        if waiting is None:
            return (self._fetch(sync, answer.ts_recv),)
        now = answer.ts_recv
        out: list[Event] = [self._keyframe(sync, now, now)]
        for place, diff in enumerate(waiting, 1):
            out.extend(self._apply(sync, diff, now))
            if not sync.synced:
                # The book broke; what came after waits for the next snapshot like any other change.
                for later in waiting[place:]:
                    sync.buffer(later)
                break
        if sync.synced:
            out.extend(self._set_state(sync, FeedState.LIVE, "", now, now))
        return out

    def _keyframe(self, sync: BookSync, ts_event: int, ts_recv: int) -> BookSnapshot:
        sync.ts_keyframe = ts_recv
        bids, asks = sync.book.levels()
        return BookSnapshot(
            ts_event, ts_recv, self._venue, sync.instrument_id,
            sync.epoch, sync.sequence, bids, asks, sync.last_id,
        )  # fmt: skip

    # -- the state of the feed ---------------------------------------------------------------------

    def _set_state(
        self, sync: BookSync, state: FeedState, reason: str, ts_event: int, ts_recv: int
    ) -> Events:
        if self.states.get(sync.instrument_id) is state:
            return ()
        self.states[sync.instrument_id] = state
        return (FeedStatus(ts_event, ts_recv, self._venue, sync.instrument_id, state, reason),)

    def _instrument(self, instrument: Instrument) -> Events:
        symbol = instrument.symbol
        if symbol in self.syncs:
            return ()
        sync = BookSync(symbol, instrument.instrument_id, self._dialect, self._buffer_max)
        self.syncs[symbol] = sync
        if not self._connected:
            return ()  # subscribed with all the others, once there is a connection
        return (Resubscribe(0, 0, symbol), self._fetch(sync, 0))

    def _on_connected(self, event: VenueConnected) -> Events:
        self._connected = True
        out: list[Event] = []
        for sync in self.syncs.values():
            sync.reset()
            sync.ts_diff = event.ts_recv
            out.extend(
                self._set_state(sync, FeedState.SYNCING, "connected", event.ts_event, event.ts_recv)
            )
            out.append(self._fetch(sync, event.ts_recv))
        return out

    def _on_disconnected(self, event: VenueDisconnected) -> Events:
        self._connected = False
        out: list[Event] = []
        for sync in self.syncs.values():
            sync.reset()
            sync.attempts = 0
            out.extend(
                self._set_state(
                    sync, FeedState.DISCONNECTED, event.reason, event.ts_event, event.ts_recv
                )
            )
        return out

    def _recovered(self, event: Recovered) -> Events:
        return (SetTimer(event.ts_event, event.ts_recv, TIMER, event.ts_recv + SECOND_NS),)

    def _timer(self, event: TimerFired) -> Events:
        if event.key != TIMER:
            return ()
        now = event.ts_recv
        out: list[Event] = []
        for sync in self.syncs.values():
            state = self.states.get(sync.instrument_id)
            silent_ns = now - sync.ts_diff
            if state is FeedState.LIVE and silent_ns > self._stale_ns << sync.quiet:
                reason = f"no change for {silent_ns / SECOND_NS:.1f} s"
                out.extend(self._set_state(sync, FeedState.STALE, reason, now, now))
            out.extend(self._silence(sync, now))
            if sync.synced and now - sync.ts_keyframe >= self._keyframe_ns:
                out.append(self._keyframe(sync, now, now))
            if state is not None:
                # Repeated, so that whoever came late knows how things stand.
                current = self.states[sync.instrument_id]
                out.append(FeedStatus(now, now, self._venue, sync.instrument_id, current, ""))
        out.append(SetTimer(now, now, TIMER, now + SECOND_NS))
        return out

    # -- silence: a quiet market or a dead stream? -------------------------------------------------

    def _silence(self, sync: BookSync, now: int) -> Events:
        """Ask the venue in good time: a stream of changes says nothing where nothing changes."""
        if not sync.synced or not self._connected:
            return ()
        if sync.ts_ahead and now - sync.ts_ahead >= SECOND_NS:
            return self._dead(sync, now)  # what the venue had then did not come since
        patience_ns = self._stale_ns << sync.quiet
        asked_lately = now - sync.ts_probed < self._stale_ns // 2
        if now - sync.ts_diff < patience_ns // 2 or asked_lately:
            return ()
        sync.ts_probed = now
        return (ProbeBook(now, now, sync.symbol),)

    def _dead(self, sync: BookSync, now: int) -> Events:
        reason = f"dead stream: the venue was at {sync.venue_id}, we are at {sync.last_id}"
        sync.ts_diff = now
        sync.dead += 1
        if sync.dead > DEAD_MAX:
            sync.dead = 0
            return (Reconnect(now, now, f"{sync.symbol}: {reason}"),)
        return (Resubscribe(now, now, sync.symbol), *self._resync(sync, None, now, reason))

    def _probed(self, answer: ProbeAnswer) -> Events:
        sync, now = self.syncs.get(answer.symbol), answer.ts_recv
        if sync is None or not sync.synced or answer.error or sync.ts_diff >= sync.ts_probed:
            return ()  # of no use, or a change came meanwhile; the timer asks again
        try:
            venue_id = self._dialect.read_book(answer.payload).update_id
        except Unreadable as error:
            self.rejected += 1
            reason = f"probe: {error}"
            return (FrameRejected(answer.ts_event, now, answer.payload, reason),)
        if venue_id > sync.last_id:
            if not sync.ts_ahead:  # the change may be on its way
                sync.ts_ahead, sync.venue_id = now, venue_id
            return ()
        sync.ts_ahead = 0
        sync.ts_diff = now
        sync.quiet = min(sync.quiet + 1, QUIET_DOUBLINGS)
        return self._set_state(sync, FeedState.LIVE, "quiet: the venue has no more", now, now)
