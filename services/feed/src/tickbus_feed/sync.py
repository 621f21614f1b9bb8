"""One instrument's book, kept in step with the venue's numbering, or known not to be."""

from collections import deque
from itertools import pairwise
from zlib import crc32

from tickbus.orderbook import OrderBook
from tickbus_feed.venue import Book, Dialect, Diff

RETRY_FIRST_NS = 500_000_000
RETRY_CAP_NS = 30_000_000_000
SETTLED_NS = 10_000_000_000
"""A book that held for so long had a good snapshot: its next trouble is a new one."""


class BookSync:
    """Snapshot and changes of one symbol become a gapless sequence of our own.

    `epoch` changes with each synchronisation and never repeats, also over restarts: it is the time
    (ns UTC) of the snapshot. `sequence` rises by one per change applied. A silent stream is asked
    about at `ts_probed`; since `ts_ahead` the venue is known to be ahead of us, at `venue_id`;
    `quiet` and `dead` count how often in a row it had nothing new, or had.
    """

    def __init__(self, symbol: str, instrument_id: str, dialect: Dialect, buffer_max: int) -> None:
        self.symbol = symbol
        self.instrument_id = instrument_id
        self.book = OrderBook()
        self.epoch = 0
        self.sequence = 0
        self.last_id = -1
        self.synced = False
        self.ts_diff = 0
        self.ts_keyframe = 0
        self.attempts = 0
        self.fetch_number = 0
        self.ts_probed = 0
        self.ts_ahead = 0
        self.venue_id = -1
        self.quiet = 0
        self.dead = 0
        self._dialect = dialect
        self._bridging = False
        self._buffer: deque[Diff] = deque(maxlen=buffer_max)

    def heard(self, now_ns: int) -> None:
        """A change came: the stream is neither quiet nor dead."""
        self.ts_diff = now_ns
        self.quiet = self.dead = self.ts_ahead = 0

    def reset(self) -> None:
        """Forget what was in step; changes are buffered until the next snapshot."""
        self.synced = False
        self.ts_ahead = 0
        self._bridging = False
        self._buffer.clear()

    def buffer(self, diff: Diff) -> None:
        """Keep a change until the snapshot comes; past the bound the oldest is forgotten.

        That only makes an old snapshot unusable, which `load` notices.
        """
        self._buffer.append(diff)

    def retry_at_ns(self, now_ns: int) -> int:
        """When to ask for the next snapshot: back-off doubling from 0.5 s to 30 s, with jitter.

        The jitter is a hash of symbol and attempt: cores draw no random numbers, and different
        symbols still spread out.
        """
        if not self.attempts:
            return now_ns
        ceiling = min(RETRY_CAP_NS, RETRY_FIRST_NS << min(self.attempts - 1, 10))
        jitter = crc32(f"{self.symbol}:{self.attempts}".encode()) / 2**32
        return now_ns + int(ceiling * (0.5 + jitter / 2))

    def load(self, book: Book, now_ns: int) -> list[Diff] | None:
        """Begin with a snapshot; the buffered changes to apply to it, None when it is too old."""
        waiting = [d for d in self._buffer if not self._dialect.is_covered(d, book.update_id)]
        if waiting and not self._dialect.bridges(waiting[0], book.update_id):
            return None
        for before, after in pairwise(waiting):
            if not self._dialect.follows(after, before.last):
                return None  # the gap is in the buffer; a later snapshot will be behind it
        self.book.load(book.bids, book.asks)
        self.epoch = max(self.epoch + 1, now_ns)
        self.sequence = 0
        self.last_id = book.update_id
        self.synced = True
        self._bridging = True
        self._buffer.clear()
        return waiting

    def accepts(self, diff: Diff) -> bool | None:
        """True: the next change; None: already known; False: there is a gap before it."""
        if self._bridging:
            if self._dialect.is_covered(diff, self.last_id):
                return None
            return self._dialect.bridges(diff, self.last_id)
        if diff.last <= self.last_id:
            return None
        return self._dialect.follows(diff, self.last_id)

    def apply(self, diff: Diff, ts_recv: int) -> None:
        """Take in a change that `accepts`, received at `ts_recv` (ns UTC)."""
        if self.attempts and ts_recv - self.epoch > SETTLED_NS:
            self.attempts = 0
        self.book.apply(diff.bids, diff.asks)
        self.last_id = diff.last
        self.sequence += 1
        self._bridging = False
