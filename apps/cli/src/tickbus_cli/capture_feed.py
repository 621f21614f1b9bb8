"""Recorded messages as the feed's core would have got them from its connections."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlparse

from tickbus.captures import CapturedMessage
from tickbus.events import Event
from tickbus_feed.adapter import Adapter
from tickbus_feed.core import FeedCore
from tickbus_feed.venue import SnapshotAnswer, VenueConnected, VenueDisconnected, VenueFrame

KEY = "key"
"""Stands for an instrument, to see which parameter of a request names it."""


class CaptureFeed:
    """Turns each message into events for a core whose instruments may appear as it goes.

    `feed` is what the events are given to, `core.handle` for instance.
    """

    def __init__(
        self, core: FeedCore, adapter: Adapter, feed: Callable[[Event, int], None]
    ) -> None:
        self._core = core
        self._adapter = adapter
        self._feed = feed
        self._open: dict[str, int] = {}

    def open_lines(self, now: int) -> None:
        """Say that there are connections, where the recording does not tell when they began."""
        for line in self._core.streams:
            if line not in self._open:
                self._open[line] = 0
                self._feed(VenueConnected(now, now, line, 0), now)

    def take(self, message: CapturedMessage) -> None:
        """Pass one message on."""
        now, line = message.ts_recv, self._adapter.route_of(message.url)
        if message.kind == "frame":
            self._feed(VenueFrame(now, now, message.payload, line, message.link), now)
        elif message.kind == "rest":
            symbol = self._book_of(message.url)
            if symbol:
                self._feed(SnapshotAnswer(now, now, symbol, message.payload), now)
        elif message.kind == "connect" and message.link:
            before = self._open.get(line)
            self._open[line] = message.link
            self._feed(VenueConnected(now, now, line, message.link), now)
            if before == 0:
                self._feed(VenueDisconnected(now, now, "the recording begins", line, 0), now)
        elif message.kind == "disconnect":
            reason = message.payload.decode(errors="replace") or "as recorded"
            self._feed(VenueDisconnected(now, now, reason, line, message.link), now)

    def _book_of(self, url: str) -> str:
        """The key of what a REST answer holds the book of; "" for any other answer."""
        parsed, request = urlparse(url), self._adapter.book_request(KEY, self._adapter.levels)
        if request is None or _last(parsed.path) != _last(request.path):
            return ""
        query = parse_qs(parsed.query)
        names = [name for name, value in request.params.items() if value == KEY]
        return query.get(names[0], [""])[0] if names else ""


def _last(path: str) -> str:
    return path.rpartition("/")[2]
