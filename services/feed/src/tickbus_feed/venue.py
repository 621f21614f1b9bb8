"""What passes between the feed's core, which does no IO, and the connections that do."""

from tickbus.events import Event

ANY = -1


class VenueFrame(Event, frozen=True):
    """One WebSocket message as received; `ts_event` = `ts_recv` until somebody has read it.

    `line` says what the connection is for: the adapter's route, and `#n` where one connection does
    not hold all streams. `link` says which connection of that line it was: a higher number was
    opened later.
    """

    payload: bytes
    line: str = ""
    link: int = 0


class SnapshotAnswer(Event, frozen=True):
    """The body of a REST answer with a whole book of `symbol`; empty when the request failed.

    `number` is that of the wish it answers; ANY where nobody asked, as in a recording.
    """

    symbol: str
    payload: bytes
    error: str = ""
    number: int = ANY


class ProbeAnswer(Event, frozen=True):
    """The venue's book of `symbol` as it is now, to compare with ours; empty when it failed."""

    symbol: str
    payload: bytes
    error: str = ""


class VenueConnected(Event, frozen=True):
    """A stream is open and about to be subscribed.

    Where another link of the line is open it will take over from that one; else nothing of before
    can be trusted to connect.
    """

    line: str = ""
    link: int = 0


class VenueDisconnected(Event, frozen=True):
    """The stream is gone, or could not be opened."""

    reason: str
    line: str = ""
    link: int = 0


class FetchSnapshot(Event, frozen=True):
    """The connection shall fetch the book of `symbol`, not before `at_ns` (ns UTC).

    A later wish for the same symbol, with a higher `number`, takes this one's place.
    """

    symbol: str
    at_ns: int
    number: int = ANY


class ProbeBook(Event, frozen=True):
    """The connection shall ask how far the venue's book of `symbol` is."""

    symbol: str


class Resubscribe(Event, frozen=True):
    """The connection shall subscribe to the streams of `symbol`, anew if it had.

    Not before `at_ns` (ns UTC).
    """

    symbol: str
    at_ns: int = 0


class Reconnect(Event, frozen=True):
    """The connection of `line` shall be given up for a new one."""

    reason: str
    line: str = ""


class Renew(Event, frozen=True):
    """A new connection shall be made for `line` before `link`, which still works, is given up."""

    reason: str
    line: str = ""
    link: int = 0


class FrameRejected(Event, frozen=True):
    """A frame that could not be understood; the connection keeps it for inspection."""

    payload: bytes
    reason: str
