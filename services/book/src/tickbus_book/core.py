"""Keeps a replica of every order book and publishes views of them.

Consumes: BookSnapshot, BookDelta, FeedStatus, Instrument, TimerFired, Recovered.
Produces: BookTop on each change of the best levels or of `stale`, BookDepth at most once per
interval, ConsolidatedTop on each change of a top where several venues have the instrument,
KeyframeWanted while a replica is not in step, SetTimer.
Invariants: a view that is not `stale` is that of a book without a gap whose feed lives and says
that it is LIVE; the last state of a burst is always published.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tickbus.events import (
    BookDelta,
    BookDepth,
    BookSnapshot,
    BookTop,
    ConsolidatedTop,
    Event,
    FeedState,
    FeedStatus,
    Instrument,
    Recovered,
    SetTimer,
    TimerFired,
)
from tickbus.orderbook import BookReplica, imbalance
from tickbus_book.config import BookConfig

MS_NS = 1_000_000
SECOND_NS = 1_000_000_000
TIMER = "book"
SILENT_MAX = 5
"""Seconds without a word of the feed, which repeats its state every second: then it is dead."""
BEGINS_ANEW = (FeedState.SYNCING, FeedState.DISCONNECTED)
NOTHING = (0.0, 0.0)

Events = Sequence[Event]
Key = tuple[str, str]


class _View:
    """One instrument: its replica, and what was last said of it."""

    __slots__ = (
        "depth_due", "feed", "instrument_id", "replica", "silent", "top", "ts_depth", "ts_event",
        "ts_top", "venue",
    )  # fmt: skip

    def __init__(self, venue: str, instrument_id: str) -> None:
        self.venue = venue
        self.instrument_id = instrument_id
        self.replica = BookReplica()
        # Until the feed speaks, a book in step is taken as live: it just came from there.
        self.feed = FeedState.LIVE
        # Looks at the clock, one a second, since the feed last said how it is.
        self.silent = 0
        self.top: tuple[Any, ...] = ()
        self.ts_event = 0
        self.ts_top = 0
        self.ts_depth = 0
        self.depth_due = False

    @property
    def stale(self) -> bool:
        """Whether the book must not be acted on."""
        return not self.replica.in_step or self.feed is not FeedState.LIVE

    @property
    def crossed(self) -> bool:
        """Whether somebody bids as much as others ask: no market, but a mistake in the book."""
        bid, ask = self.replica.book.best_bid, self.replica.book.best_ask
        return bid is not None and ask is not None and bid[0] >= ask[0]


def _best_bid(top: tuple[str, float, float]) -> tuple[float, float, str]:
    return -top[1], -top[2], top[0]


def _best_ask(top: tuple[str, float, float]) -> tuple[float, float, str]:
    return top[1], -top[2], top[0]


class BookCore:
    """Replicas and views of all instruments that it hears of."""

    def __init__(self, config: BookConfig) -> None:
        self._levels = config.depth_levels
        self._depth_ns = config.depth_interval_ms * MS_NS
        self._top_ns = config.top_interval_ms * MS_NS
        self._views: dict[Key, _View] = {}
        self._instruments: dict[Key, Instrument] = {}
        self._venues: dict[str, list[_View]] = {}
        self._consolidated: dict[str, tuple[Any, Any]] = {}
        self.gaps = 0
        self._handlers: dict[type, Callable[[Any], Events]] = {
            BookDelta: self._delta,
            BookSnapshot: self._snapshot,
            FeedStatus: self._status,
            TimerFired: self._timer,
            Recovered: self._recovered,
            Instrument: self._instrument,
        }

    def handle(self, event: Any, /) -> Events:
        """The views that `event` changes."""
        handler = self._handlers.get(type(event))
        return handler(event) if handler is not None else ()

    def depth(self, venue: str, instrument_id: str, levels: int) -> BookSnapshot | None:
        """The book now, `levels` per side (0: all); None when it is not known or not in step."""
        view = self._views.get((venue, instrument_id))
        if view is None or view.stale:
            return None
        replica = view.replica
        bids, asks = replica.book.depth(levels) if levels else replica.book.levels()
        return BookSnapshot(
            view.ts_event, view.ts_event, venue, instrument_id,
            replica.epoch, replica.sequence, bids, asks, 0,
        )  # fmt: skip

    def known(self) -> list[Key]:
        """(venue, instrument) of every book in step."""
        return [key for key, view in self._views.items() if not view.stale]

    def by_venue(self) -> dict[str, list[_View]]:
        """The view of every book, by venue."""
        found: dict[str, list[_View]] = {}
        for (venue, _), view in self._views.items():
            found.setdefault(venue, []).append(view)
        return found

    def _view(self, event: BookDelta | BookSnapshot | FeedStatus) -> _View:
        key = (event.venue, event.instrument_id)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = _View(*key)
            self._venues.setdefault(event.instrument_id, []).append(view)
        return view

    def _delta(self, event: BookDelta) -> Events:
        view = self._view(event)
        replica = view.replica
        in_step = replica.in_step
        if not replica.on_delta(event):
            if in_step and not replica.in_step:
                self.gaps += 1
                stale = self._publish(view, event.ts_event, event.ts_recv)
                return (*stale, *replica.wish(event))
            return replica.wish(event)
        return self._publish(view, event.ts_event, event.ts_recv)

    def _snapshot(self, event: BookSnapshot) -> Events:
        view = self._view(event)
        if not view.replica.on_snapshot(event):
            return ()
        return self._publish(view, event.ts_event, event.ts_recv)

    def _status(self, event: FeedStatus) -> Events:
        view = self._view(event)
        changed = view.feed is not event.state
        view.feed, view.silent = event.state, 0
        if event.state in BEGINS_ANEW:
            view.replica.forget()
        wish = view.replica.ask(event) if event.state is FeedState.LIVE else ()
        if changed or event.ts_recv - view.ts_top >= self._top_ns:
            told = self._publish(view, event.ts_event, event.ts_recv, repeat=not view.stale)
            return (*told, *wish)
        return wish

    def _publish(self, view: _View, ts_event: int, ts_recv: int, *, repeat: bool = False) -> Events:
        view.ts_event = ts_event
        replica = view.replica
        if not replica.epoch:
            return ()  # nothing was ever known of it
        bid, ask = replica.book.best_bid or NOTHING, replica.book.best_ask or NOTHING
        stale = view.stale
        top = (*bid, *ask, stale)
        out: list[Event] = []
        if top != view.top or repeat:
            view.top, view.ts_top = top, ts_recv
            out.append(
                BookTop(
                    ts_event, ts_recv, view.venue, view.instrument_id,
                    *bid, *ask, replica.epoch, replica.sequence, stale,
                )
            )  # fmt: skip
            if len(self._venues[view.instrument_id]) > 1:
                out.extend(self._consolidate(view.instrument_id, ts_event, ts_recv))
        if ts_recv - view.ts_depth >= self._depth_ns:
            out.append(self._depth(view, ts_event, ts_recv))
        elif not view.depth_due:
            view.depth_due = True
            due = view.ts_depth + self._depth_ns
            out.append(SetTimer(ts_event, ts_recv, f"{view.venue}/{view.instrument_id}", due))
        return out

    def _depth(self, view: _View, ts_event: int, ts_recv: int) -> BookDepth:
        view.ts_depth, view.depth_due = ts_recv, False
        replica, book = view.replica, view.replica.book
        bids, asks = book.depth(self._levels)
        return BookDepth(
            ts_event, ts_recv, view.venue, view.instrument_id,
            bids, asks, replica.epoch, replica.sequence, view.stale,
            book.spread or 0.0, book.micro_price or 0.0, imbalance(bids, asks),
        )  # fmt: skip

    def _consolidate(self, instrument_id: str, ts_event: int, ts_recv: int) -> Events:
        """The tops of all venues side by side, if they changed; a book in doubt is left out."""
        sound = [v for v in self._venues[instrument_id] if v.top and not v.stale]
        bids = [(v.venue, v.top[0], self._base(v, *v.top[:2])) for v in sound if v.top[1]]
        asks = [(v.venue, v.top[2], self._base(v, *v.top[2:4])) for v in sound if v.top[3]]
        bids.sort(key=_best_bid)
        asks.sort(key=_best_ask)
        if self._consolidated.get(instrument_id) == (bids, asks):
            return ()
        self._consolidated[instrument_id] = (bids, asks)
        return (ConsolidatedTop(ts_event, ts_recv, instrument_id, tuple(bids), tuple(asks)),)

    def _base(self, view: _View, price: float, size: float) -> float:
        """Sizes side by side are of one unit: some venues count contracts."""
        instrument = self._instruments.get((view.venue, view.instrument_id))
        return size if instrument is None else instrument.base_size(price, size)

    def _instrument(self, instrument: Instrument) -> Events:
        self._instruments[instrument.venue, instrument.instrument_id] = instrument
        return ()

    def _recovered(self, event: Recovered) -> Events:
        return (SetTimer(event.ts_event, event.ts_recv, TIMER, event.ts_recv + SECOND_NS),)

    def _look(self, now: int) -> Events:
        """Whoever died says nothing: not that its books are stale, either."""
        out: list[Event] = []
        for view in self._views.values():
            view.silent += 1
            if view.silent == SILENT_MAX:
                view.feed = FeedState.DISCONNECTED
                view.replica.forget()
                out.extend(self._publish(view, view.ts_event, now))
        return (*out, SetTimer(now, now, TIMER, now + SECOND_NS))

    def _timer(self, event: TimerFired) -> Events:
        if event.key == TIMER:
            return self._look(event.ts_recv)
        venue, _, instrument_id = event.key.partition("/")
        view = self._views.get((venue, instrument_id))
        if view is None or not view.depth_due:
            return ()
        return (self._depth(view, view.ts_event, event.ts_recv),)
