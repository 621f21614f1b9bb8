"""Silence of a stream: a quiet market, or a dead stream? The venue is asked in good time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tickbus.events import Event, FeedState
from tickbus_feed.adapter import Adapter, Unreadable
from tickbus_feed.config import FeedConfig
from tickbus_feed.links import Links
from tickbus_feed.sync import BookSync
from tickbus_feed.venue import ProbeAnswer, ProbeBook, Reconnect, Resubscribe

if TYPE_CHECKING:
    from tickbus_feed.core import FeedCore

SECOND_NS = 1_000_000_000
QUIET_DOUBLINGS = 3
"""A market confirmed to be quiet is believed for longer, up to 8 times `stale_after_s`."""
DEAD_MAX = 3
"""A stream that stays dead after so many subscriptions is not the stream's trouble."""
PROBE_LEVELS = 5
SPARSE_NS = 600 * SECOND_NS
"""A book that was confirmed to be quiet within so long is one that is quiet now and then."""

Events = Sequence[Event]


class Silence:
    """Looks at one instrument after another, once a second; belongs to the feed's core."""

    def __init__(
        self, core: "FeedCore", config: FeedConfig, adapter: Adapter, links: Links
    ) -> None:
        self._core = core
        self._adapter = adapter
        self._links = links
        self._stale_ns = int(config.stale_after_s * SECOND_NS)
        self._first_ns = int(config.first_event_s * SECOND_NS)
        self._keepalive_ns = int(adapter.keepalive_s * 1.1 * SECOND_NS)
        self._audit_ns = int(adapter.audit_every_s * SECOND_NS)

    def look(self, sync: BookSync, now: int) -> Events:
        """What to do about an instrument's silence, if anything."""
        core = self._core
        if self._adapter.frames_numbered and sync.synced:
            # The connection speaks and numbers its frames: nothing of this book was lost.
            sync.ts_diff = max(sync.ts_diff, self._links.ts_heard(sync.line, sync.link))
        silent_ns = now - sync.ts_diff
        out: list[Event] = []
        is_live = core.states.get(sync.instrument_id) is FeedState.LIVE
        # A market that was quiet is believed for longer, as long as our questions are answered.
        unanswered = sync.ts_doubt > sync.ts_diff and now - sync.ts_doubt > self._stale_ns // 2
        if is_live and (unanswered or silent_ns > self._patience_ns(sync, now)):
            reason = f"no change for {silent_ns / SECOND_NS:.1f} s"
            out.extend(core.set_state(sync, FeedState.STALE, reason, now, now))
        if not self._links.is_open(sync.line):
            return out
        if not sync.synced:
            out.extend(self._never_came(sync, now))
        elif sync.ts_ahead and now - sync.ts_ahead >= SECOND_NS:
            out.extend(self._dead(sync, now))  # what the venue had then did not come since
        elif sync.ts_audit and now - sync.ts_audit > self._first_ns:
            out.extend(self._core.resync(sync, None, now, "the venue does not repeat the book"))
        elif sync.halted:
            pass  # its silence means nothing
        elif self._audit_ns and not sync.ts_audit and now - sync.ts_whole > self._audit_ns:
            sync.ts_audit = now
            out.append(Resubscribe(now, now, sync.symbol, now))
        else:
            out.extend(self._in_doubt(sync, now))
        return out

    def _never_came(self, sync: BookSync, now: int) -> Events:
        """A subscription that was acknowledged and never delivered, where books come that way."""
        if not self._adapter.books_in_stream or now - sync.ts_asked < self._first_ns:
            return ()
        return (self._core.ask(sync, now),)

    def _patience_ns(self, sync: BookSync, now: int) -> int:
        """How long a silent book is believed: until the venue's own word that it is, where due."""
        if self._is_vouched_for(sync, now):
            return self._keepalive_ns + self._stale_ns // 2
        return self._stale_ns << sync.quiet

    def _is_vouched_for(self, sync: BookSync, now: int) -> bool:
        """Whether the venue says of this book that it is quiet; a busy one is doubted at once."""
        return bool(self._keepalive_ns) and now - sync.ts_confirmed < SPARSE_NS

    def _in_doubt(self, sync: BookSync, now: int) -> Events:
        asked_lately = now - sync.ts_probed < self._stale_ns // 2
        before_ns = (self._stale_ns << sync.quiet) // 2
        if self._is_vouched_for(sync, now):
            before_ns = self._keepalive_ns
        if now - sync.ts_diff < before_ns or asked_lately:
            return ()
        sync.ts_probed = now
        if sync.ts_doubt <= sync.ts_diff:
            sync.ts_doubt = now
        if self._adapter.books_in_stream:
            return (Resubscribe(now, now, sync.symbol, now),)  # the book that it begins with tells
        return (ProbeBook(now, now, sync.symbol),)

    def confirmed(self, sync: BookSync, now: int) -> Events:
        """The venue has what we have."""
        sync.ts_ahead = 0
        sync.ts_diff = sync.ts_confirmed = now
        sync.quiet = min(sync.quiet + 1, QUIET_DOUBLINGS)
        return self._core.go_live(sync, "quiet: the venue has no more", now, now)

    def _dead(self, sync: BookSync, now: int) -> Events:
        reason = f"dead stream: the venue was at {sync.venue_id}, we are at {sync.last_id}"
        sync.ts_diff = now
        sync.dead += 1
        if sync.dead == DEAD_MAX + 1:
            # Once: where that does not help either, the others on the line are left in peace.
            return (Reconnect(now, now, f"{sync.symbol}: {reason}", sync.line),)
        return (Resubscribe(now, now, sync.symbol), *self._core.resync(sync, None, now, reason))

    def probed(self, sync: BookSync, answer: ProbeAnswer) -> Events:
        """Compare the venue's book with ours."""
        now = answer.ts_recv
        if not sync.synced or answer.error or sync.ts_diff >= sync.ts_probed:
            return ()  # of no use, or a change came meanwhile; the timer asks again
        try:
            book = self._adapter.read_book(answer.payload)
        except Unreadable as error:
            reason = f"probe: {error}"
            return (self._core.reject(answer.ts_event, now, answer.payload, reason),)
        if sync.known_in_a_row and 0 <= book.update_id < sync.last_id:
            sync.gaps += 1
            return self._core.resync(sync, None, now, f"its numbers went back: {book.update_id}")
        if self._adapter.is_ahead(book, sync.last_id, sync.book.depth(PROBE_LEVELS)):
            if not sync.ts_ahead:  # the change may be on its way
                sync.ts_ahead, sync.venue_id = now, book.update_id
            return ()
        return self.confirmed(sync, now)
